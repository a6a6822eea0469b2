"""What waits in a journal is found as if it were stored already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.config import Durability
from response_store.errors import StoreError
from response_store.store.journal import shelf as journal_shelf
from response_store.store.journal.file import JournalFile
from response_store.store.journal.inlet import Journal
from response_store.store.journal.outlet import Outlet
from response_store.store.journal.reading import JournalReading
from response_store.store.lookup import CANDIDATES, Found
from response_store.store.query import Query
from response_store.store.records import Record
from tests.harness.records import ANSWER, NAMES, QUESTION, record, response
from tests.sampling import examples
from tests.unit.store.files import opened as store_opened

MEGABYTE = 1024 * 1024
IDENTIFIERS = ("r1", "r2", "e1", "e2", "e3", "r", "e", "x")


def journalled(path: Path, records: Sequence[Record]) -> Path:
    """A journal that holds records."""
    with closing(
        Journal(JournalFile(path, max_bytes=MEGABYTE, durability=Durability.PROCESS))
    ) as journal:
        journal.open()
        for one in records:
            journal.write([one])
    return path


def written(path: Path, records: Sequence[Record]) -> Path:
    """A SQLite store that holds records, written one by one."""
    with store_opened(path) as store:
        for one in records:
            store.write([one])
    return path


EXCHANGES = {"e1": ("r1", 1.0), "e2": ("r1", 2.0), "e3": ("r2", 1.5)}


@st.composite
def a_record(draw: st.DrawFn) -> Record:
    """A record of one of three exchanges, two of which name one response, in any state.

    An open row does not know its response yet.
    """
    exchange_id = draw(st.sampled_from([*EXCHANGES]))
    response_id, started_at = EXCHANGES[exchange_id]
    raw = draw(st.sampled_from([None, b"x", b"longer"]))
    state = draw(st.sampled_from(["open", "queued", "completed", "interrupted", "refused"]))
    more = {"started_at": started_at, "raw_response": raw}
    if state == "open":
        return record(exchange_id, None, state, **more)
    if draw(st.booleans()):
        return record(exchange_id, None, state, response_id=response_id, **more)
    status = draw(st.sampled_from(["queued", "in_progress", "completed", "failed"]))
    asked = draw(st.sampled_from([None, [], [QUESTION]]))
    answer = response(response_id, status, asked=asked, answered=[ANSWER])
    return record(exchange_id, answer, state, **more)


def said(query: Query, identifier: str, journal: JournalReading | None = None) -> Found | str:
    """What is found, or in short why nothing is."""
    try:
        if journal is None:
            return query.find("t1", identifier)
        return journal_shelf.find(journal, "t1", identifier, query)
    except StoreError as error:
        return str(error).rpartition(": ")[2]


@settings(deadline=None, max_examples=examples(20))
@given(records=st.lists(a_record(), max_size=6), drained=st.integers(0, 6))
def test_it_is_as_if_the_journal_had_been_drained(
    records: list[Record], drained: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Wherever the drainer stands, the same is found as after its work."""
    folder = tmp_path_factory.mktemp("shelf")
    whole = written(folder / "whole.db", records)
    part = written(folder / "part.db", records[:drained])
    path = journalled(folder / "journal.db", records[drained:])
    with (
        Query.open(whole, NAMES, shown_as="db") as after,
        Query.open(part, NAMES, shown_as="db") as before,
        JournalReading(path) as journal,
    ):
        for identifier in IDENTIFIERS:
            assert said(before, identifier, journal) == said(after, identifier), identifier


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalReading]:
    """A journal without a database."""
    records = [
        record("e1", response("resp_a", "queued", asked=[QUESTION])),
        record("e2", response("resp_a", "completed", answered=[ANSWER]), started_at=2e9),
        record("e3", response("resp_b", tenant_id="t2")),
        *(record(f"many-{at:02}") for at in range(30)),
    ]
    with JournalReading(journalled(tmp_path / "journal.db", records)) as reading:
        yield reading


def test_the_journal_alone_is_enough(journal: JournalReading) -> None:
    """Without a database, what waits is found, and its input is that of the earlier record."""
    found = journal_shelf.find(journal, "t1", "resp_")
    assert found.exchange is not None
    assert found.exchange.exchange_id == "e2"
    assert found.response is not None
    assert '"completed"' in found.response.response_object
    assert "hello" in found.response.input
    assert set(msgspec.structs.asdict(found.response)) >= {"tenant_id", "id", "messages"}


@pytest.mark.parametrize("drained", range(3))
def test_the_furthest_state_stands_for_a_response(tmp_path: Path, drained: int) -> None:
    """A stream that was resumed and cut does not hide the whole answer, wherever either is."""
    records = [
        record("e1", state="completed", response_id="r1", started_at=1.0),
        record("e2", state="interrupted", response_id="r1", started_at=2.0),
    ]
    path = journalled(tmp_path / "journal.db", records[drained:])
    stored = written(tmp_path / "stored.db", records[:drained])
    with Query.open(stored, NAMES) as query, JournalReading(path) as journal:
        exchange = journal_shelf.find(journal, "t1", "r1", query).exchange
    assert exchange is not None
    assert exchange.exchange_id == "e1"


@pytest.mark.parametrize("identifier", ["", "e3", "resp_b", "nothing", "\udcff", "\U0010ffff"])
def test_an_unknown_identifier_is_an_error(journal: JournalReading, identifier: str) -> None:
    """Nothing of another tenant, and nothing under an impossible id, is found."""
    with pytest.raises(StoreError, match="stored"):
        journal_shelf.find(journal, "t1", identifier)


def test_a_very_ambiguous_beginning_lists_some(journal: JournalReading) -> None:
    """Of many candidates a few are named."""
    with pytest.raises(StoreError) as caught:
        journal_shelf.find(journal, "t1", "many")
    assert str(caught.value).count("\n") == CANDIDATES + 1
    assert str(caught.value).endswith("...")


def test_a_row_that_is_not_replaced_keeps_its_response(tmp_path: Path) -> None:
    """A record that comes too late to be written names no response either."""
    records = [record("e1", state="refused"), record("e1", state="open", response_id="resp_late")]
    with (
        JournalReading(journalled(tmp_path / "journal.db", records)) as journal,
        pytest.raises(StoreError, match="nothing is stored"),
    ):
        journal_shelf.find(journal, "t1", "resp_late")


def test_a_look_at_the_journal_stays_as_it_began(tmp_path: Path) -> None:
    """What is drained in the middle of a look is still there until its end."""
    file = JournalFile(tmp_path / "journal.db", max_bytes=MEGABYTE, durability=Durability.PROCESS)
    with closing(Journal(file)) as journal, closing(Outlet(file)) as outlet:
        journal.open()
        journal.write([record("e1"), record("e2")])
        outlet.open()
        with JournalReading(tmp_path / "journal.db") as reading:
            with reading.snapshot():
                outlet.remove(outlet.take(1, 1))
                assert reading.of_exchange("t1", "e1") == [record("e1")]
                assert reading.depth() == 2
            assert reading.of_exchange("t1", "e1") == []
            assert reading.depth() == 1
            outlet.remove(outlet.take(1, 1))
            assert reading.depth() == 0
