"""A deletion takes its place among the writes of its response, in one batch and in several."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from response_store.backends.base import Store
from response_store.errors import RowRefusedError, TransientStoreError
from response_store.model.records import Change, Deletion
from tests.contract.at_once import at_once
from tests.contract.backends import Backend, Row, SqliteMemory
from tests.contract.changes import changes, cuts
from tests.contract.contents import Contents
from tests.contract.test_monotonic import snapshot
from tests.harness.postgres_backend import PostgresDatabase
from tests.harness.records import ANSWER, QUESTION, numbered, record, response

GONE = Deletion("t1", "r1")
WHOLE = response(asked=[QUESTION], answered=[ANSWER])


@pytest.fixture(params=["one batch", "a batch each"])
def write(request: pytest.FixtureRequest, contents: Contents) -> Any:
    """Makes changes, together or one after the other."""

    def written(*made: Change) -> None:
        if request.param == "one batch":
            contents.write(*made)
        else:
            for one in made:
                contents.write(one)

    return written


def test_a_deletion_removes_the_response_alone(write: Any, contents: Contents) -> None:
    """The row of the response goes; the exchange stays as it was, and names it."""
    exchange = record("e1", WHOLE, output_text="hi", request_body=b"asked")
    contents.write(exchange)
    before = contents.exchange()
    write(GONE)
    assert contents.responses() == []
    assert contents.exchange() == before
    assert before["response_id"] == "r1"


def test_what_is_not_there_is_no_error(write: Any, contents: Contents) -> None:
    """Deleting nothing, or twice, changes nothing."""
    write(GONE, *numbered(3, start=5), GONE, GONE)
    assert [row["id"] for row in contents.responses()] == ["r5", "r6", "r7"]


def test_only_what_is_named_goes(write: Any, contents: Contents) -> None:
    """The same id of another tenant stays, and so do the tenant's other ids."""
    write(
        record("e1", WHOLE),
        record("e2", response("r1", tenant_id="t2", asked=[])),
        record("e3", response("r10", asked=[])),
        record("e4", response("R1", asked=[])),
        GONE,
    )
    kept = {(row["tenant_id"], row["id"]) for row in contents.responses()}
    assert kept == {("t2", "r1"), ("t1", "r10"), ("t1", "R1")}


@pytest.mark.parametrize("first", ["completed", "queued"])
@pytest.mark.parametrize("second", ["completed", "queued"])
def test_insert_delete_insert(write: Any, contents: Contents, first: str, second: str) -> None:
    """What comes after a deletion is new: it neither yields to what was deleted nor keeps of it."""
    write(
        record("e1", response(status=first, asked=[QUESTION], answered=[ANSWER], model="gpt-5")),
        GONE,
        record("e2", response(status=second, model="")),
    )
    row = contents.response()
    assert contents.member("status") == second
    assert (row["input"], row["messages"], row["model"]) == ("[]", "[]", "")


def test_delete_insert_delete(write: Any, contents: Contents) -> None:
    """The last word counts."""
    write(GONE, record("e1", WHOLE), GONE)
    assert contents.responses() == []
    write(GONE, record("e1", WHOLE))
    assert contents.member("status") == "completed"


def test_deletions_among_many(write: Any, contents: Contents) -> None:
    """Every second response of a long batch goes again, wherever its key stands in the order."""
    made: list[Change] = [*numbered(100)]
    made += [Deletion("t1", f"r{at}") for at in range(0, 100, 2)]
    write(*made)
    assert {row["id"] for row in contents.responses()} == {f"r{at}" for at in range(1, 100, 2)}
    assert len(contents.exchanges()) == 100


def test_a_refused_batch_deletes_nothing(contents: Contents) -> None:
    """A row that the database refuses takes the deletions of its batch back with it."""
    contents.write(record("e1", WHOLE))
    bad = record("bad", output_text="\ud800")
    for batch in ([GONE, bad], [bad, GONE], [GONE, *numbered(40, start=9), bad]):
        with pytest.raises(RowRefusedError):
            contents.write(*batch)
        assert [row["id"] for row in contents.responses()] == ["r1"]


@pytest.mark.parametrize("key", ["tenant_id", "id"])
def test_an_impossible_id_is_refused(contents: Contents, key: str) -> None:
    """A deletion that no row can mean is a bad row, told from a failure without its value."""
    named = {"tenant_id": "t1", "id": "r1", key: "bad\ud800"}
    with pytest.raises(RowRefusedError) as caught:
        contents.write(record("e1", WHOLE), Deletion(**named))
    assert "bad" not in str(caught.value)
    assert contents.exchanges() == []


@pytest.mark.parametrize("text", ["", "'; --%s ?1", "a\nb", "\U0010ffff", "i" * 20_000])
def test_any_id(contents: Contents, text: str) -> None:
    """What could be stored under an id can be deleted by it."""
    contents.write(record("e1", response(text, tenant_id=text or "t1", asked=[])))
    assert len(contents.responses()) == 1
    contents.write(Deletion(text or "t1", text))
    assert contents.responses() == []


def test_a_queued_exchange_climbs(write: Any, contents: Contents) -> None:
    """A row that several snapshots share goes from `queued` over `in_progress` to the end."""
    seen = []
    for state in ("queued", "in_progress", "queued", "completed", "in_progress"):
        answer = response(status=state, asked=[QUESTION], answered=[ANSWER])
        write(record("shared", answer, state, output_text=state))
        row = contents.exchange()
        assert row["output_text"] == row["state"] == contents.member("status")
        seen.append(row["state"])
    assert seen == ["queued", "in_progress", "in_progress", "completed", "completed"]


def test_a_deleted_response_that_climbs(write: Any, contents: Contents) -> None:
    """After a deletion a response begins at the bottom again."""
    write(
        record("e1", snapshot("completed", repeats_input=True)),
        GONE,
        record("e2", snapshot("queued", repeats_input=False)),
        record("e3", snapshot("in_progress", repeats_input=True)),
        record("e4", snapshot("queued", repeats_input=True)),
    )
    assert contents.member("status") == "in_progress"
    assert json.loads(contents.response()["messages"]) == [QUESTION]


def tables(contents: Contents) -> tuple[list[Row], list[Row]]:
    return contents.responses(), contents.exchanges()


def test_any_batching_is_as_one_by_one(contents: Contents) -> None:
    """However a sequence is cut, every database ends as SQLite does that takes it one by one.

    So it does where the end of the sequence comes a second time, as after a kill.
    """
    most = 25 if isinstance(contents.backend, PostgresDatabase) else 60

    @settings(max_examples=most, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        made = data.draw(st.lists(changes, min_size=1, max_size=10))
        with closing(SqliteMemory(Path())) as reference:
            one_by_one = Contents(reference)
            for change in made:
                one_by_one.write(change)
            expected = tables(one_by_one)
        contents.clear()
        for cut in data.draw(cuts(len(made))):
            contents.write(*made[cut])
        assert tables(contents) == expected
        contents.write(*made[data.draw(st.integers(0, len(made))) :])
        assert tables(contents) == expected

    check()


def until_written(store: Store, batch: list[Change], attempts: int = 20) -> None:
    """Write as a drainer does: what may pass is tried again."""
    for left in reversed(range(attempts)):
        try:
            store.open()
            store.write(batch)
        except TransientStoreError:
            if not left:
                raise
        else:
            return


def test_deletions_at_the_same_time(backend: Backend) -> None:
    """Stores that write and delete the same responses at once lose nothing.

    A database that finds them in each other's way has one of them try again.
    """
    if not backend.many_stores:
        return
    stores = [backend.store() for at in range(4)]

    def work(at: int) -> None:
        for number, turn in product(range(3), (1, -1)):
            shared = [f"s{key}" for key in range(6)][::turn]
            batch: list[Change] = [
                record(f"{at}-{number}-{key}", response(key, "queued", asked=[QUESTION]))
                for key in shared
            ]
            batch += [Deletion("t1", key) for key in shared[: at + 1]]
            until_written(stores[at], batch)

    assert at_once(stores, work) == []
    assert len(backend.execute("SELECT 1 FROM openai_exchanges")) == 4 * 3 * 6
    for key in range(6):
        stores[0].write([Deletion("t1", f"s{key}")])
    assert backend.execute("SELECT 1 FROM openai_responses") == []
