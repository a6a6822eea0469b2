"""The thread that keeps the index up to date: when it works, and when it gives way."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from response_store.config import SqliteTarget
from response_store.counts import Counts
from response_store.errors import PassingStoreError, PermanentStoreError
from response_store.faults import Faults
from response_store.search import pace
from response_store.search.catching_up import open_index
from response_store.search.index import Index
from response_store.search.indexer import Indexer
from tests.harness.proxy import wait_until
from tests.unit.query.stored import NAMES, Stored

pytestmark = pytest.mark.one_python

LONG = " ".join(f"w{number}" for number in range(100_000))


class Run:
    """An indexer on a file, and what it has done."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.counts = Counts()
        self.busy = False
        self.made: list[Indexer] = []

    def start(self, open_index: Callable[[], Index] | None = None, **how: Any) -> Indexer:
        """Start one; it ends with the test."""
        indexer = Indexer(
            open_index or self.open, lambda: self.busy, counts=self.counts,
            faults=Faults(self.counts), **how,
        )  # fmt: skip
        self.made.append(indexer)
        indexer.start()
        return indexer

    def open(self) -> Index:
        return open_index(SqliteTarget(self.stored.path), NAMES, busy_ms=0)

    def entries(self, state: str = "completed") -> int:
        """How many entries are whole."""
        with closing(sqlite3.connect(self.stored.path)) as connection:
            asked = "SELECT count(*) FROM openai_exchanges_search WHERE state = ?"
            return int(connection.execute(asked, (state,)).fetchone()[0])


@pytest.fixture
def running(stored: Stored) -> Iterator[Run]:
    made = Run(stored)
    yield made
    for indexer in made.made:
        indexer.close()
    assert not [t for t in threading.enumerate() if t.name == "response-store-search"]


def test_what_is_there_and_what_comes(running: Run) -> None:
    """What nobody has indexed is found at the start, and what is noted is indexed."""
    running.stored.exchange("old", output_text="x")
    indexer = running.start()
    wait_until(lambda: running.entries() == 1, "caught up")
    running.stored.exchange("new", output_text="x")
    indexer.note(["new"])
    wait_until(lambda: running.entries() == 2, "indexed")
    assert running.counts.snapshot() == {}


def test_what_is_stored_later(running: Run) -> None:
    """An exchange that still waits in a journal is looked for again."""
    indexer = running.start()
    indexer.note(["late"])
    wait_until(lambda: indexer._noted and indexer._noted[0].tries > 0, "looked for in vain")
    running.stored.exchange("late", output_text="x")
    wait_until(lambda: running.entries() == 1, "indexed")


def test_more_than_is_remembered(running: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much to remember is found by comparing the tables."""
    monkeypatch.setattr("response_store.search.indexer._REMEMBERED", 2)
    monkeypatch.setattr(pace, "LATEST", 60.0)
    indexer = running.start(compare_every=0.0)
    wait_until(lambda: not indexer._behind, "compared at its start")
    running.busy = True
    names = [f"e{number}" for number in range(6)]
    for name in names:
        running.stored.exchange(name, output_text="x")
    indexer.note(names)
    assert len(indexer._noted) == 2
    running.busy = False
    wait_until(lambda: running.entries() == 6, "indexed")


def test_it_waits_for_the_writer(running: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the writer has something to do, nothing is indexed, but not for ever."""
    monkeypatch.setattr(pace, "LATEST", 1.0)
    running.busy = True
    running.stored.exchange("e1", output_text="x")
    begun = time.monotonic()
    running.start()
    wait_until(lambda: running.entries() == 1, "indexed all the same")
    assert time.monotonic() - begun >= 1.0


def test_it_gives_way(running: Run) -> None:
    """A lock on the database is left to whoever has it; the work is done afterwards."""
    running.stored.exchange("e1", output_text="x")
    in_vain = 0

    def opened() -> Index:
        index = running.open()
        original = index.put

        def put(*values: Any) -> None:
            nonlocal in_vain
            try:
                original(*values)
            except PassingStoreError:
                in_vain += 1
                raise

        index.put = put  # type: ignore[method-assign]
        return index

    with closing(sqlite3.connect(running.stored.path, isolation_level=None)) as writer:
        with closing(running.open()):
            pass  # the tables are there
        writer.execute("BEGIN IMMEDIATE")
        running.start(opened)
        wait_until(lambda: in_vain >= 2, "tried in vain")
        writer.execute("UPDATE openai_exchanges SET output_text = 'y'")
        writer.execute("COMMIT")
    wait_until(lambda: running.entries() == 1, "indexed")
    assert running.counts.snapshot() == {}


def test_it_holds_no_lock_for_long(running: Run) -> None:
    """While a text of many parts is indexed, a writer gets its turn at once, many times."""
    running.stored.exchange("long", output_text=LONG)
    running.start()
    wait_until(lambda: running.entries("completed") == 0 and _claimed(running), "begun")
    waits = []
    with closing(sqlite3.connect(running.stored.path, isolation_level=None, timeout=5)) as writer:
        while _claimed(running) and len(waits) < 50:
            begun = time.monotonic()
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("COMMIT")
            waits.append(time.monotonic() - begun)
            threading.Event().wait(0.01)
    assert len(waits) == 50
    assert sorted(waits)[25] < 0.02


def test_it_stops_at_once(running: Run) -> None:
    """In the middle of a long text; what is left is found by the next."""
    running.stored.exchange("long", output_text=LONG)
    indexer = running.start()
    wait_until(lambda: _claimed(running), "begun")
    begun = time.monotonic()
    indexer.close()
    assert time.monotonic() - begun < 0.5
    assert _claimed(running)
    with closing(running.open()) as index:
        from response_store.search.catching_up import catch_up

        assert list(catch_up(index)) == [1]
    assert running.entries() == 1


def test_an_index_that_can_not_be_had(running: Run, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and capture goes on; each failure is counted."""

    def refused() -> Index:
        raise PermanentStoreError("no rights")

    with caplog.at_level(logging.WARNING):
        running.start(refused)
        wait_until(lambda: running.counts.get("search.failed") >= 2, "failed twice")
    (said,) = caplog.messages
    assert said == "response_store: the search index is not kept up: no rights"


def test_one_bad_row(running: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of our own costs its exchange alone."""
    from response_store.search import index

    def said(row: Any) -> Any:
        if row.exchange_id == "bad":
            raise RuntimeError
        return original(row)

    original = index.said
    monkeypatch.setattr(index, "said", said)
    for name in ("a", "bad", "c"):
        running.stored.exchange(name, output_text="x")
    running.start()
    wait_until(lambda: running.entries() == 2, "the others are indexed")
    assert running.counts.get("fault.search") == 1


def _claimed(running: Run) -> bool:
    """Whether an entry is being written."""
    with closing(sqlite3.connect(running.stored.path)) as connection:
        there = "SELECT 1 FROM sqlite_master WHERE name = 'openai_exchanges_search'"
        begun = "SELECT 1 FROM openai_exchanges_search WHERE state LIKE '#%'"
        return bool(connection.execute(there).fetchone() and connection.execute(begun).fetchone())
