"""Where a journal stands is written with the batch that comes from it: both or neither."""

from __future__ import annotations

import time

import pytest

from response_store.backends.base import Checkpoint, CheckpointMovedError
from response_store.errors import RowRefusedError, TransientStoreError
from response_store.model.records import Deletion
from tests.contract.at_once import at_once
from tests.contract.backends import Backend
from tests.contract.contents import Contents
from tests.harness.records import QUESTION, numbered, record, response

OTHERS = "SELECT journal_id, position FROM openai_exchanges_journals WHERE journal_id <> ''"


def ids(contents: Contents) -> list[str]:
    return [row["exchange_id"] for row in contents.exchanges()]


def positions(backend: Backend) -> dict[str, int]:
    return {row["journal_id"]: row["position"] for row in backend.execute(OTHERS)}


def test_a_batch_and_its_position(contents: Contents) -> None:
    """Each batch moves the journal on; what is not known of has no position."""
    store = contents.store
    assert store.position("j") is None
    store.write(numbered(2), Checkpoint("j", 2, None))
    assert store.position("j") == 2
    store.write(numbered(2, start=2), Checkpoint("j", 900, 2))
    assert store.position("j") == 900
    assert len(ids(contents)) == 4


def test_a_position_without_changes(contents: Contents) -> None:
    """Frames that make no row move the journal all the same."""
    contents.store.write([], Checkpoint("j", 5, None))
    contents.store.write([], Checkpoint("j", 6, 5))
    assert contents.store.position("j") == 6


def test_a_batch_that_moves_nothing(contents: Contents) -> None:
    """The position may stay where it is; the batch is guarded as any other."""
    contents.store.write([record("e1")], Checkpoint("j", 5, None))
    contents.store.write([record("e2")], Checkpoint("j", 5, 5))
    with pytest.raises(CheckpointMovedError):
        contents.store.write([record("e3")], Checkpoint("j", 4, 4))
    assert (contents.store.position("j"), ids(contents)) == (5, ["e1", "e2"])


def test_when_it_changed(contents: Contents) -> None:
    """Beside the position stands when it was written, in Unix seconds."""
    before = time.time()
    contents.store.write([], Checkpoint("j", 1, None))
    contents.store.write([], Checkpoint("j", 2, 1))
    (row,) = contents.backend.execute(
        "SELECT changed_at, database_id FROM openai_exchanges_journals WHERE journal_id = 'j'"
    )
    assert before <= row["changed_at"] <= time.time()
    assert row["database_id"] is None


@pytest.mark.parametrize("place", [0, 150, 300])
def test_a_refused_batch_moves_nothing(contents: Contents, place: int) -> None:
    """A row that the database refuses undoes the rows and the position together."""
    contents.store.write([record("before", response("r1"))], Checkpoint("j", 1, None))
    batch = [*numbered(300, start=10), Deletion("t1", "r1")]
    batch.insert(place, record("bad", output_text="\ud800"))
    for journal, expected in (("j", 1), ("new", None)):
        with pytest.raises(RowRefusedError):
            contents.store.write(batch, Checkpoint(journal, 301, expected))
    assert positions(contents.backend) == {"j": 1}
    assert ids(contents) == ["before"]
    assert len(contents.responses()) == 1


@pytest.mark.parametrize("expected", [None, 0, 6, 8, 900])
def test_a_journal_that_stands_elsewhere(contents: Contents, expected: int | None) -> None:
    """Where the journal does not stand where it was thought to, nothing at all is written."""
    contents.store.write([record("e1", response("r1"))], Checkpoint("j", 7, None))
    batch = [record("e2"), record("e1", output_text="new"), Deletion("t1", "r1")]
    with pytest.raises(CheckpointMovedError) as caught:
        contents.store.write(batch, Checkpoint("j", 9, expected))
    assert isinstance(caught.value, TransientStoreError)
    assert contents.store.position("j") == 7
    assert ids(contents) == ["e1"]
    assert len(contents.responses()) == 1
    contents.store.write(batch, Checkpoint("j", 9, 7))
    assert ids(contents) == ["e1", "e2"]


def test_a_journal_that_is_thought_to_be_known(contents: Contents) -> None:
    """So is it where the database knows nothing of a journal, as an older copy of it does."""
    with pytest.raises(CheckpointMovedError):
        contents.store.write([record()], Checkpoint("j", 9, 8))
    assert contents.store.position("j") is None
    assert ids(contents) == []


def test_what_was_deleted_does_not_come_back(contents: Contents) -> None:
    """A batch that is written again, as its reader did not hear of its end, is refused."""
    batch = [record("e1", response("r1", asked=[QUESTION])), record("e2")]
    contents.store.write(batch, Checkpoint("j", 2, None))
    contents.clear()  # pruned
    with pytest.raises(CheckpointMovedError):
        contents.store.write(batch, Checkpoint("j", 2, None))
    assert (ids(contents), contents.responses()) == ([], [])


def test_journals_do_not_meddle(contents: Contents) -> None:
    """Each has its own position, and one that is finished is forgotten by itself."""
    store = contents.store
    for at, journal in enumerate("abc"):
        store.write([record(f"e{at}")], Checkpoint(journal, at, None))
    store.write([], Checkpoint("b", 10, 1))
    store.finish("a")
    store.finish("a")
    store.finish("never")
    assert positions(contents.backend) == {"b": 10, "c": 2}
    assert store.position("a") is None
    assert len(ids(contents)) == 3


def test_a_position_outlives_the_store(backend: Backend) -> None:
    """A store that is opened anew finds where journals stand, in the same database."""
    if not backend.many_stores:
        return
    first = Contents(backend).store
    first.write([record()], Checkpoint("j", 2**40, None))
    first.close()
    second = backend.store()
    assert second.position("j") == 2**40
    assert second.database_id == first.database_id != ""
    second.write([], Checkpoint("j", 2**62, 2**40))
    assert positions(backend) == {"j": 2**62}


def test_a_closed_store_opens_by_itself(backend: Backend) -> None:
    """Whatever is asked of a store, it opens where it is not open."""
    if not backend.many_stores:
        return
    store = backend.store()
    store.write([record("e1")])
    store.close()
    assert store.position("j") is None
    store.close()
    assert store.close_abandoned() == 0
    store.close()
    store.finish("j")
    store.close()
    assert store.accepts(record())


def test_the_database_keeps_its_id(contents: Contents) -> None:
    """It stands in a row of its own, is no journal's, and stays whatever is finished."""
    known = contents.store.database_id
    contents.store.write([record()], Checkpoint("j", 1, None))
    contents.store.finish("j")
    contents.store.close_abandoned()
    (row,) = contents.backend.execute("SELECT * FROM openai_exchanges_journals")
    assert (row["journal_id"], row["database_id"]) == ("", known)
    assert len(known) == 36


def test_readers_of_one_journal_at_once(backend: Backend) -> None:
    """Of several that apply the same frames each batch is written by one: every row once."""
    if not backend.many_stores:
        return
    stores = [backend.store() for _ in range(4)]
    written: list[int] = []

    def work(at: int) -> None:
        store = stores[at]
        while (before := store.position("j") or 0) < 20:
            try:
                batch = [record(f"e{before + 1}", output_text=f"by {at}")]
                store.write(batch, Checkpoint("j", before + 1, before or None))
                written.append(before + 1)
            except TransientStoreError:
                continue

    assert at_once(stores, work) == []
    assert sorted(written) == list(range(1, 21))
    assert len(backend.execute("SELECT 1 FROM openai_exchanges")) == 20
