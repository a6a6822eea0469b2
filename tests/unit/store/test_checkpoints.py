"""Checkpoints: the WAL stays bounded, and the writer's connection never makes one."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from response_store.errors import PermanentStoreError
from response_store.store.records import Record
from response_store.store.sqlite.checkpoints import Checkpoints
from response_store.store.sqlite.store import SqliteStore
from tests.harness.records import record
from tests.unit.store.files import opened, rows

pytestmark = pytest.mark.one_python

MEGABYTE = 1024 * 1024
BOUND = 100 * MEGABYTE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


def wal_size(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def eventually(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def batch(number: int) -> list[Record]:
    return [record(f"e{number}-{at}", request_body=os.urandom(MEGABYTE // 2)) for at in range(4)]


def write(path: Path, store: SqliteStore, megabytes: int, first: int = 0) -> int:
    """Write as the writer does; return the largest size of the WAL."""
    largest = 0
    for number in range(first, first + megabytes // 2):
        store.write(batch(number))
        store.after_acknowledge()
        largest = max(largest, wal_size(path))
    return largest


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "with a reader"])
def test_the_wal_stays_bounded(path: Path, reader: bool) -> None:
    """While 200 MB are written as fast as they go, the WAL stays below its bound."""
    with opened(path) as store, closing(sqlite3.connect(path)) as other:
        if reader:
            other.execute("SELECT count(*) FROM openai_exchanges").fetchone()
        assert write(path, store, 200) < BOUND
    assert not Path(f"{path}-wal").exists()


def test_a_reader_that_stays_holds_nobody_up(path: Path) -> None:
    """With a snapshot held open the writer is not made to wait; later the WAL shrinks again."""
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM openai_exchanges").fetchone()
        longest, number = 0.0, 0
        while wal_size(path) < BOUND:
            begun = time.monotonic()
            write(path, store, 2, number)
            longest = max(longest, time.monotonic() - begun)
            number += 1
        assert longest < 0.5
        other.execute("COMMIT")
        later = iter(range(10_000, 10_200))
        eventually(lambda: write(path, store, 2, next(later)) < BOUND, "the WAL is short again")


def test_no_checkpoint_is_made_by_the_writer(path: Path) -> None:
    """The writing connection makes none, so that no commit pays for one."""
    with opened(path) as store:
        store._checkpoints = None
        for number in range(20):
            store.write(batch(number))
        assert wal_size(path) > 40 * MEGABYTE
        assert path.stat().st_size < MEGABYTE
        connection = store._connection
        assert connection is not None
        assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_a_checkpoint_is_made_when_due(path: Path) -> None:
    """Below the bound nothing happens; beyond it the file gets what was written."""
    with opened(path) as store:
        store.write([record()])
        store.after_acknowledge()
        assert path.stat().st_size < MEGABYTE
        write(path, store, 20)
        eventually(lambda: path.stat().st_size > 4 * MEGABYTE, "the file has the rows")


class Script:
    """Makes connections, or raises what the test put in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.errors: list[Exception] = []
        self.made: list[sqlite3.Connection] = []
        self.asked = threading.Semaphore(0)

    def __call__(self) -> sqlite3.Connection:
        self.asked.release()
        if self.errors:
            raise self.errors.pop()
        self.made.append(sqlite3.connect(self.path, check_same_thread=False))
        return self.made[-1]


@pytest.mark.parametrize(
    "error",
    [sqlite3.OperationalError("locked"), OSError("gone"), PermanentStoreError("no WAL here")],
    ids=["driver", "system", "store"],
)
def test_a_failure_is_tried_again(path: Path, error: Exception) -> None:
    """A checkpoint that fails ends nothing: the next one tries anew."""
    script = Script(path)
    script.errors = [error]
    checkpoints = Checkpoints(script)
    checkpoints.start()
    checkpoints.start()
    for _ in range(2):
        checkpoints.note(20 * MEGABYTE)
        checkpoints.poke()
        assert script.asked.acquire(timeout=10)
    checkpoints.close()
    checkpoints.close()
    assert len(script.made) == 1


def test_a_renewed_connection_is_another_one(path: Path) -> None:
    """After `renew` the old connection is closed, and the next checkpoint opens a new one."""
    script = Script(path)
    checkpoints = Checkpoints(script)
    checkpoints.start()
    for _ in range(2):
        checkpoints.note(20 * MEGABYTE)
        checkpoints.poke()
        assert script.asked.acquire(timeout=10)
        eventually(lambda: not checkpoints._due.is_set(), "the thread took it up")
        checkpoints.renew()
        eventually(lambda: not checkpoints._renew.is_set(), "the thread let go")
    checkpoints.close()
    assert len(script.made) == 2
    for connection in script.made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_closing_without_a_start(path: Path) -> None:
    """Checkpoints that never ran close like others."""
    Checkpoints(Script(path)).close()


def test_everything_is_in_the_file_after_a_close(path: Path) -> None:
    """What the WAL held is in the database once nobody has it open."""
    with opened(path) as store:
        write(path, store, 20)
    assert rows(path, "SELECT count(*) FROM openai_exchanges") == [(40,)]
    assert path.stat().st_size > 20 * MEGABYTE
