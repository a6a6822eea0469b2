"""The indexer: what it finds to do, how much of it a step does, and when it gives way."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from response_store.backends.registry import open_index
from response_store.config import SqliteTarget
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import (
    PermanentStoreError,
    RowRefusedError,
    StoppedError,
    TransientStoreError,
)
from response_store.search.index import Index, index_missing
from response_store.search.indexer import Indexer
from tests.harness.postgres_shared import target_of
from tests.unit.cli.conftest import Anywhere
from tests.unit.queries.stored import NAMES, Stored

LONG = " ".join(f"w{number}" for number in range(100_000))
INTERVAL = 300.0


class Run:
    """An indexer on a database, a clock that stands, and what has been done."""

    def __init__(self, stored: Anywhere) -> None:
        self.stored = stored
        self.counters = Counters()
        self.now = 1000.0
        self.yields = 0
        self.on_yield: Callable[[], None] = lambda: None
        self.open: Callable[[], Index] = self.open_index
        self.indexer = Indexer(
            self._open, yield_if_due=self._yield, counters=self.counters,
            errors=ErrorReporter(self.counters), clock=lambda: self.now,
        )  # fmt: skip

    def open_index(self) -> Index:
        """Open the index as the ingester does: it waits for nobody."""
        if isinstance(self.stored, Stored):
            return open_index(SqliteTarget(self.stored.path), NAMES, busy_ms=0)
        return open_index(target_of(self.stored.database.url()), NAMES)

    def put_fails(self, fail: Callable[[str], None]) -> None:
        """Call `fail` with the exchange before each entry that is written."""

        def opened() -> Index:
            index = self.open_index()
            put = index.put

            def failing(entry: Any, yield_if_due: Any) -> None:
                fail(entry.exchange_id)
                put(entry, yield_if_due)

            index.put = failing  # type: ignore[method-assign]
            return index

        self.open = opened

    def step(self) -> None:
        assert self.indexer.due() <= self.now, "nothing is due"
        self.indexer.step()

    def work(self) -> int:
        """Take all steps that are due now; how many those were."""
        steps = 0
        while self.indexer.due() <= self.now:
            self.indexer.step()
            steps += 1
            assert steps < 1000, "it never ends"
        return steps

    def exchanges(self, *names: str, **columns: Any) -> None:
        for name in names:
            self.stored.exchange(name, **{"output_text": "x", **columns})

    def entries(self) -> list[str]:
        """The exchanges whose entries are whole."""
        asked = "SELECT exchange_id FROM {exchanges_search} WHERE state = 'completed'"
        with self.stored.open() as query:
            return sorted(name for (name,) in query.reader.rows(asked))

    def begun(self) -> list[str]:
        """The exchanges whose entries are being written."""
        asked = "SELECT exchange_id FROM {exchanges_search} WHERE state LIKE '#%'"
        with self.stored.open() as query:
            return [name for (name,) in query.reader.rows(asked)]

    def _open(self) -> Index:
        return self.open()

    def _yield(self) -> None:
        self.yields += 1
        self.on_yield()


@pytest.fixture
def running(anywhere: Anywhere) -> Iterator[Run]:
    """An indexer on a database of either kind."""
    made = Run(anywhere)
    yield made
    made.indexer.close()


@pytest.fixture
def in_file(stored: Stored) -> Iterator[Run]:
    """An indexer on a file."""
    made = Run(stored)
    yield made
    made.indexer.close()


def test_what_is_there_and_what_comes(running: Run) -> None:
    """What nobody has indexed is found at the start, and what is noted is indexed."""
    running.exchanges("old")
    running.work()
    assert running.entries() == ["old"]
    assert running.indexer.due() == running.now + INTERVAL
    running.exchanges("new")
    running.indexer.note(["new"])
    running.work()
    assert running.entries() == ["new", "old"]
    assert running.counters.snapshot() == {}


def test_what_others_write(running: Run) -> None:
    """The tables are compared again after some minutes, not before."""
    running.work()
    running.exchanges("theirs")
    running.now += INTERVAL - 1
    assert running.work() == 0
    running.now += 1
    running.work()
    assert running.entries() == ["theirs"]


def test_what_is_gone_again(running: Run) -> None:
    """An exchange that was removed since it was noted costs nothing, and is not looked for."""
    running.work()
    running.indexer.note(["gone"])
    assert running.work() == 1
    assert (running.entries(), running.counters.snapshot()) == ([], {})


def test_more_than_is_remembered(running: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much to remember is found by comparing the tables, as soon as may be."""
    monkeypatch.setattr("response_store.search.indexer._MAX_NOTED", 2)
    running.work()
    names = [f"e{number}" for number in range(6)]
    running.exchanges(*names)
    running.indexer.note(names)
    running.work()
    assert running.entries() == names
    running.exchanges("later")
    assert running.indexer.due() == running.now + INTERVAL


def test_tables_are_compared_in_pages(running: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many exchanges there are: those without an entry, and those that have changed."""
    monkeypatch.setattr("response_store.search.indexer._PAGE_SIZE", 3)
    monkeypatch.setattr("response_store.search.indexer._STEP_ENTRIES", 1)
    names = [f"e{number:02}" for number in range(12)]
    running.exchanges(*names[::2], state="queued")
    running.work()
    assert running.entries() == []
    running.exchanges(*names[1::2])
    running.stored.script("UPDATE {exchanges} SET state = 'completed' WHERE exchange_id <> 'e04'")
    running.now += INTERVAL
    assert running.work() == 5 + 11  # pages, and exchanges
    assert running.entries() == [name for name in names if name != "e04"]


def test_a_comparison_that_takes_long_is_made_seldom(
    running: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a hundredth of the time at most; what is indexed meanwhile does not count."""
    monkeypatch.setattr("response_store.search.indexer._PAGE_SIZE", 2)
    running.exchanges("a", "b", "c")
    opened, ended_at = running.open_index(), 0.0

    def slow(statement: str, values: Any = ()) -> Any:
        nonlocal ended_at
        if "OFFSET" in statement:  # once a page, of which there are two
            running.now += 2.5
            ended_at = running.now
        return rows(statement, values)

    rows, opened.rows = opened.rows, slow  # type: ignore[method-assign]
    running.open = lambda: opened
    running.on_yield = lambda: setattr(running, "now", running.now + 100.0)
    while not ended_at or running.indexer.due() <= running.now:
        running.step()
    assert running.entries() == ["a", "b", "c"]
    assert running.indexer.due() == ended_at + 2 * 2.5 * 100


def test_a_step_takes_a_moment(running: Run) -> None:
    """Some short exchanges, until the time is over; the loop gets its turn after each."""
    running.work()
    names = [f"e{number:02}" for number in range(10)]
    running.exchanges(*names)
    running.indexer.note(names)
    running.on_yield = lambda: setattr(running, "now", running.now + 0.004)
    running.yields = 0
    running.step()
    assert 1 <= len(running.entries()) <= 3
    assert running.yields >= len(running.entries())
    running.work()
    assert running.entries() == names


@pytest.mark.exhaustive
def test_a_step_is_bounded_by_number_too(running: Run) -> None:
    """Where the clock stands still, the loop gets its turn all the same."""
    names = [f"e{number:03}" for number in range(120)]
    running.exchanges(*names)
    assert running.work() == 3
    assert running.entries() == names


def test_others_write_while_it_works(in_file: Run) -> None:
    """The loop writes in the middle of a long text, which holds no lock meanwhile."""
    in_file.exchanges("long", output_text=LONG)
    writes = 0
    with closing(sqlite3.connect(in_file.stored.path, isolation_level=None, timeout=0)) as writer:

        def write() -> None:
            nonlocal writes
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("UPDATE openai_exchanges SET model = 'm'")
            writer.execute("COMMIT")
            writes += 1

        in_file.on_yield = write
        in_file.work()
    assert writes > 50
    assert in_file.entries() == ["long"]


@pytest.mark.exhaustive
def test_it_yields_while_it_cuts_words(running: Run) -> None:
    """A long text is not worked on for long at a time, in either database."""
    running.exchanges("long", output_text=LONG)
    running.step()
    assert running.yields > 50
    assert running.entries() == ["long"]


def test_what_is_noted_while_it_works(running: Run) -> None:
    """What the loop writes at a yield point is indexed with the rest, also if it is the same."""
    running.exchanges("first")

    def note() -> None:
        running.on_yield = lambda: None
        running.exchanges("second")
        running.stored.script("UPDATE {exchanges} SET state = 'failed' WHERE exchange_id = 'first'")
        running.indexer.note(["second", "first"])

    running.on_yield = note
    running.work()
    with running.stored.open() as query:
        asked = "SELECT exchange_id, state FROM {exchanges_search} ORDER BY 1"
        assert query.reader.rows(asked) == [("first", "failed"), ("second", "completed")]


def test_it_gives_way(in_file: Run) -> None:
    """A lock on the database is left to whoever has it; the work is done afterwards."""
    in_file.work()
    in_file.exchanges("e1")
    in_file.indexer.note(["e1"])
    with closing(sqlite3.connect(in_file.stored.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        in_file.step()
        pauses = [in_file.indexer.due() - in_file.now]
        in_file.now = in_file.indexer.due()
        in_file.step()
        pauses.append(in_file.indexer.due() - in_file.now)
        writer.execute("COMMIT")
    assert 0.1 < pauses[0] <= 0.2 < pauses[1] <= 0.4
    assert in_file.entries() == []
    in_file.now += 1.0
    in_file.work()
    assert in_file.entries() == ["e1"]
    assert in_file.counters.snapshot() == {}


@pytest.mark.exhaustive
def test_it_stops_at_once(running: Run) -> None:
    """In the middle of a long text; what is left is found by the next."""
    running.exchanges("long", output_text=LONG)

    def stop() -> None:
        if running.yields == 40:
            raise StoppedError

    running.on_yield = stop
    with pytest.raises(StoppedError):
        running.work()
    running.indexer.close()
    running.indexer.close()
    assert (running.yields, running.entries(), running.counters.snapshot()) == (40, [], {})
    if isinstance(running.stored, Stored):
        assert running.begun() == ["long"]
    with closing(running.open_index()) as index:
        assert list(index_missing(index)) == [1]
    assert running.entries() == ["long"]


def test_what_was_stopped_is_gone_on_with(running: Run) -> None:
    """By the same indexer too: nothing that was noted or found is forgotten."""
    running.exchanges("a", "b")
    running.indexer.note(["a"])

    def stop() -> None:
        raise StoppedError

    running.on_yield = stop
    for _ in range(10):
        with suppress(StoppedError):
            running.work()
    assert running.entries() == []
    running.on_yield = lambda: None
    running.work()
    assert running.entries() == ["a", "b"]


def test_an_index_that_can_not_be_had(in_file: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, each failure is counted, and the pause grows."""

    def refused() -> Index:
        raise PermanentStoreError("no rights")

    in_file.open = refused
    began = in_file.now
    with caplog.at_level(logging.WARNING):
        for _ in range(10):
            in_file.step()
            in_file.now = in_file.indexer.due()
    (said,) = caplog.messages
    assert said == "response_store: the search index is not kept up: no rights"
    assert in_file.counters.snapshot() == {"search.failed": 10}
    assert 60.0 < in_file.now - began < 300.0
    in_file.open = in_file.open_index
    in_file.exchanges("e1")
    in_file.work()
    assert in_file.entries() == ["e1"]
    in_file.indexer.close()
    in_file.open = refused
    in_file.indexer.note(["e2"])
    in_file.step()
    assert in_file.indexer.due() <= in_file.now + 0.2


def test_a_server_that_is_away(in_file: Run, caplog: pytest.LogCaptureFixture) -> None:
    """What may pass is counted, and not said: the store itself says it."""

    def away() -> Index:
        raise TransientStoreError("away")

    in_file.open = away
    in_file.step()
    assert in_file.counters.snapshot() == {"search.failed": 1}
    assert caplog.messages == []


def test_one_bad_row(running: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of our own costs its exchange alone."""
    from response_store.search import index

    def extract(row: Any) -> Any:
        if row.exchange_id == "bad":
            raise RuntimeError
        return original(row)

    original = index.extract_texts
    monkeypatch.setattr(index, "extract_texts", extract)
    running.exchanges("a", "bad", "c")
    running.work()
    assert running.entries() == ["a", "c"]
    assert running.counters.snapshot() == {"fault.search": 1}


def test_one_row_that_is_refused(running: Run, caplog: pytest.LogCaptureFixture) -> None:
    """What the database does not take is counted and said once; the others are indexed."""

    def refuse(exchange_id: str) -> None:
        if exchange_id.startswith("bad"):
            raise RowRefusedError("too odd")

    running.put_fails(refuse)
    running.exchanges("a", "bad1", "bad2", "c")
    running.work()
    assert running.entries() == ["a", "c"]
    assert running.counters.snapshot() == {"search.refused": 2}
    assert len(caplog.messages) == 1


def test_a_comparison_goes_on_after_an_error(running: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was broken off: what had failed is tried again, and nothing is left out."""
    monkeypatch.setattr("response_store.search.indexer._PAGE_SIZE", 3)
    attempts: list[str] = []

    def fail(exchange_id: str) -> None:
        attempts.append(exchange_id)
        if exchange_id == "e4" and attempts.count("e4") < 3:
            raise PermanentStoreError("broken")

    running.put_fails(fail)
    names = [f"e{number}" for number in range(8)]
    running.exchanges(*names)
    while running.indexer.due() < running.now + INTERVAL:
        running.now = max(running.now, running.indexer.due())
        running.step()
    assert running.entries() == names
    assert attempts == [*names[:4], "e4", "e4", *names[4:]]
    assert running.counters.snapshot() == {"search.failed": 2}


def test_a_file_that_was_replaced(in_file: Run, tmp_path: Path) -> None:
    """The index of the new one is opened, and compared at once."""
    in_file.exchanges("a")
    in_file.work()
    assert isinstance(in_file.stored, Stored)
    other = Stored(tmp_path / "other.db")
    other.exchange("b", output_text="x")
    for suffix in ("-wal", "-shm"):
        Path(f"{in_file.stored.path}{suffix}").unlink(missing_ok=True)
    other.path.replace(in_file.stored.path)
    in_file.indexer.note(["b"])
    in_file.exchanges("c")
    in_file.work()
    assert in_file.entries() == ["b", "c"]


def test_a_statement_can_be_broken_off(in_file: Run) -> None:
    """From any thread, also where no index is open: the step ends, and the next one tries again."""
    in_file.indexer.interrupt()
    in_file.exchanges("a")
    opened = in_file.open_index()
    first = True

    def interrupted(statement: str, values: Any = ()) -> Any:
        nonlocal first
        if first:
            first = False
            endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
            opened._connection.set_progress_handler(  # type: ignore[attr-defined]
                in_file.indexer.interrupt, 1000
            )
            try:
                return rows(f"{endless} SELECT count(*) FROM n")
            finally:
                opened._connection.set_progress_handler(None, 0)  # type: ignore[attr-defined]
        return rows(statement, values)

    rows, opened.rows = opened.rows, interrupted  # type: ignore[method-assign]
    in_file.open = lambda: opened
    in_file.step()
    assert (first, in_file.entries()) == (False, [])
    in_file.open = in_file.open_index
    in_file.now = in_file.indexer.due()
    in_file.work()
    assert in_file.entries() == ["a"]
