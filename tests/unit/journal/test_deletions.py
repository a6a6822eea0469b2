"""A deletion waits in the journal like a record, in its place, and is seen as if it were done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.config import Durability
from response_store.errors import StoreError
from response_store.store.drain_batch import changes_of
from response_store.store.journal import shelf as journal_shelf
from response_store.store.journal.entry import (
    DELETION,
    Entry,
    UnreadableEntryError,
    decoded,
    values,
)
from response_store.store.journal.file import JournalFile
from response_store.store.journal.inlet import Journal
from response_store.store.journal.outlet import Outlet
from response_store.store.journal.reading import JournalReading
from response_store.store.query import Query
from response_store.store.records import Change, Deletion
from tests.contract.changes import changes, cuts
from tests.harness.records import NAMES, QUESTION, record, response
from tests.sampling import examples
from tests.unit.journal.bench import MEGABYTE, JournalBench
from tests.unit.journal.conftest import MakeBench
from tests.unit.store.files import opened, rows, script, store_on
from tests.unit.store.scripted import LOCKED

GONE = Deletion("t1", "r1")
WHOLE = record("e1", response(asked=[QUESTION]))
TABLES = ("openai_responses", "openai_exchanges")


def test_it_has_a_kind_and_names_no_exchange(bench: JournalBench) -> None:
    """A deletion is one row, which the index of responses leads to."""
    bench.write_records(WHOLE, GONE)
    columns = "kind, tenant_id, response_id, exchange_id, size = length(payload)"
    found = rows(bench.path, f"SELECT {columns} FROM waiting ORDER BY sequence")
    assert found == [("record", "t1", "r1", "e1", 1), ("deletion", "t1", "r1", "", 1)]
    assert bench.journal.status.records == 2


def test_any_id_comes_back() -> None:
    """What is read again is what was written."""
    text = "".join(map(chr, [0, 1, 0x7F, 0xD7FF, 0xE000, 0x10FFFF]))
    one = Deletion(text, text * 100)
    assert decoded(DELETION, values(one, 0.0)[-1]) == one


@pytest.mark.parametrize("kind", ["record", "other"])
def test_a_deletion_is_read_as_nothing_else(kind: str) -> None:
    """Under another kind it is damage, which the dead letters get."""
    with pytest.raises(UnreadableEntryError):
        decoded(kind, values(GONE, 0.0)[-1])


def test_it_keeps_its_place(bench: JournalBench) -> None:
    """Before and after an outage, a deletion reaches the target between its neighbours."""
    bench.target.down = LOCKED
    bench.write_records(WHOLE, GONE)
    bench.write_records(record("e2"), GONE)
    bench.write_records(WHOLE)
    bench.start(batch=2)
    bench.target.down = None
    bench.drain()
    assert bench.target.changes == [WHOLE, GONE, record("e2"), GONE, WHOLE]
    assert bench.counts.get("drained") == 5


def test_it_outlives_its_run(bench: JournalBench, make_bench: MakeBench, tmp_path: Path) -> None:
    """A deletion that one run leaves in the journal removes what an earlier one has stored."""
    path = tmp_path / "responses.db"
    with opened(path) as store:
        store.write([WHOLE])
    bench.write_records(GONE)
    bench.close()
    again = make_bench()
    again.start(store_on(path))
    again.drain()
    again.close()
    assert rows(path, "SELECT id FROM openai_responses") == []
    assert rows(path, "SELECT response_id FROM openai_exchanges") == [("r1",)]


def test_one_that_the_target_refuses_is_buried(bench: JournalBench) -> None:
    """What stands around it goes in, and the dead letters name the response."""
    bench.target.refused = {"-r1"}
    bench.write_records(record("e1"), GONE, record("e2"))
    bench.start()
    bench.drain()
    assert bench.target.names == ["e1", "e2"]
    with JournalReading(bench.path) as reading:
        (dead,) = reading.dead_letters()
    assert (dead.tenant_id, dead.response_id, dead.exchange_id) == ("t1", "r1", "")


def test_a_damaged_one_blocks_nothing(bench: JournalBench) -> None:
    """What can't be read is put aside."""
    bench.write_records(record("e1"), GONE, record("e2"))
    script(bench.path, "UPDATE waiting SET payload = x'c1' WHERE kind = 'deletion'")
    bench.start()
    bench.drain()
    assert bench.target.names == ["e1", "e2"]
    assert bench.counts.get("dead_letters") == 1


def test_an_open_row_beside_it() -> None:
    """Which open rows are left out does not depend on deletions, nor are these ever left out."""
    made = [GONE, record("", state="open"), GONE, record(""), GONE]
    with_entries = entries(made)
    assert changes_of(with_entries, "recorder", lambda _: False) == [GONE, GONE, record(""), GONE]


def entries(made: Sequence[Change]) -> list[Entry]:
    found: list[Entry] = []
    for sequence, change in enumerate(made, start=1):
        kind, *_, exchange_id, payload = values(change, 0.0)
        found.append(Entry(sequence, kind, exchange_id, 1, payload))
    return found


# Looked up

IDENTIFIERS = ("r1", "r2", "t1-1", "t1-2", "t2-1", "r", "t1", "")


def said(query: Query, identifier: str, journal: JournalReading | None = None) -> object:
    """What is found, or in short why nothing is."""
    try:
        if journal is None:
            return query.find("t1", identifier)
        return journal_shelf.find(journal, "t1", identifier, query)
    except StoreError as error:
        return str(error).rpartition(": ")[2]


@settings(deadline=None, max_examples=examples(15))
@given(data=st.data())
def test_drained_in_any_batching(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However a sequence is cut on its two ways, the database ends as if it had come one by one.

    In the middle of it the journal and the database together show what will be.
    """
    made = data.draw(st.lists(changes, min_size=1, max_size=8))
    folder = tmp_path_factory.mktemp("drained")
    file = JournalFile(folder / "journal.db", max_bytes=MEGABYTE, durability=Durability.PROCESS)
    with (
        opened(folder / "whole.db") as reference,
        opened(folder / "drained.db", "drained") as target,
        closing(Journal(file)) as journal,
        closing(Outlet(file)) as outlet,
    ):
        for change in made:
            reference.write([change])
        journal.open()
        for cut in data.draw(cuts(len(made))):
            journal.write(made[cut])
        outlet.open()
        with (
            Query.open(folder / "whole.db", NAMES, shown_as="db") as whole,
            Query.open(folder / "drained.db", NAMES, shown_as="db") as drained,
            JournalReading(folder / "journal.db") as reading,
        ):
            for cut in data.draw(cuts(len(made))):
                for identifier in IDENTIFIERS:
                    assert said(drained, identifier, reading) == said(whole, identifier)
                taken = outlet.take(cut.stop - cut.start, MEGABYTE)
                target.write(changes_of(taken, None, outlet.follows))
                outlet.remove(taken)
    for table in TABLES:
        every = f"SELECT * FROM {table} ORDER BY 1, 2"
        assert rows(folder / "drained.db", every) == rows(folder / "whole.db", every)


def test_show_says_what_will_be(bench: JournalBench, tmp_path: Path) -> None:
    """While its deletion waits, a stored response is not shown any more; its exchange is."""
    path = tmp_path / "responses.db"
    with opened(path) as store:
        store.write([WHOLE, record("e2", response("r2", asked=[]), response_id=None)])
    bench.write_records(GONE, Deletion("t1", "r2"), Deletion("t2", "r1"))
    with Query.open(path, NAMES, shown_as="db") as query, JournalReading(bench.path) as journal:
        found = journal_shelf.find(journal, "t1", "r1", query)
        assert found.exchange is not None
        assert (found.exchange.exchange_id, found.response) == ("e1", None)
        assert said(query, "r2", journal) == "response-store list"
        assert journal_shelf.find(journal, "t1", "r", query) == found
