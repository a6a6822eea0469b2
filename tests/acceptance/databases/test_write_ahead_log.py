"""The write-ahead log: written back in time, cut when it is long or at rest, whoever reads."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from response_store.backends.sqlite.connection import BUSY_TIMEOUT_MS
from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from response_store.model.records import Record
from tests.harness.records import NAMES, numbered, record
from tests.unit.backends.sqlite.files import opened, rows

MEGABYTE = 1024 * 1024
BOUND = 100 * MEGABYTE
BUSY = BUSY_TIMEOUT_MS / 1000  # for which a statement waits for others
COUNT = "SELECT count(*) FROM openai_exchanges"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


def wal_size(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def batch(number: int) -> list[Record]:
    return [record(f"e{number}-{at}", request_body=os.urandom(MEGABYTE // 2)) for at in range(4)]


def write(path: Path, store: SqliteStore, megabytes: int, first: int = 0) -> int:
    """Write as the ingester does; return the largest size of the WAL."""
    largest = 0
    for number in range(first, first + megabytes // 2):
        store.write(batch(number))
        store.maintain()
        largest = max(largest, wal_size(path))
    return largest


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "with a reader"])
def test_the_log_stays_bounded(path: Path, reader: bool) -> None:
    """While 200 MB are written as fast as they go, the log stays below its bound."""
    with opened(path) as store, closing(sqlite3.connect(path)) as other:
        if reader:
            other.execute("SELECT count(*) FROM openai_exchanges").fetchone()
        assert write(path, store, 200) < BOUND
    assert not Path(f"{path}-wal").exists()


def test_a_reader_that_stays_holds_nobody_up(path: Path) -> None:
    """With a snapshot held open no batch waits; later the log is short again."""
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM openai_exchanges").fetchone()
        longest, number = 0.0, 0
        while wal_size(path) < BOUND:
            begun = time.monotonic()
            write(path, store, 2, number)
            longest = max(longest, time.monotonic() - begun)
            number += 1
        assert longest < BUSY
        begun = time.monotonic()
        store.rest()
        assert time.monotonic() - begun < BUSY
        other.execute("COMMIT")
        write(path, store, 20, 10_000)
        assert wal_size(path) < BOUND // 2


def test_no_batch_pays_for_writing_back(path: Path) -> None:
    """Committing writes nothing back, below the bound nor beyond it: that is housekeeping."""
    with opened(path) as store:
        for number in range(20):
            store.write(batch(number))
        assert wal_size(path) > 40 * MEGABYTE
        assert path.stat().st_size < MEGABYTE
        store.maintain()
        assert path.stat().st_size > 40 * MEGABYTE


def test_nothing_is_written_back_before_it_is_due(path: Path) -> None:
    """Between small batches the housekeeping does nothing."""
    with opened(path) as store:
        store.rest()
        before = path.stat()
        store.write([record()])
        store.maintain()
        assert path.stat() == before
        assert wal_size(path) > 0


@pytest.mark.parametrize("reader", [False, True], ids=["alone", "with a reader"])
def test_at_rest_a_copy_of_the_file_is_whole(path: Path, reader: bool) -> None:
    """After a rest the file by itself has every row; while nobody reads, the log is empty."""
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.write(numbered(50))
        if reader:
            other.execute("BEGIN")
            other.execute(COUNT).fetchone()
        store.rest()
        shutil.copy(path, path.with_name("copy.db"))
        assert wal_size(path) > 0 if reader else wal_size(path) == 0
    assert rows(path.with_name("copy.db"), COUNT) == [(50,)]


def test_what_others_wrote_is_written_back_at_rest(path: Path) -> None:
    """The search index and the pruner write by connections of their own."""
    with opened(path) as store, closing(sqlite3.connect(path)) as other:
        store.write(numbered(3))
        store.rest()
        with other:
            other.execute("DELETE FROM openai_exchanges WHERE exchange_id = 'e1'")
        store.rest()
        shutil.copy(path, path.with_name("copy.db"))
    assert rows(path.with_name("copy.db"), COUNT) == [(2,)]


def test_housekeeping_beside_a_writer_waits_for_nobody(path: Path) -> None:
    """While another program holds the write lock, what can be written back is, at once."""
    with opened(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.write(numbered(3))
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        store.rest()
        assert time.monotonic() - begun < BUSY
        shutil.copy(path, path.with_name("copy.db"))
    assert rows(path.with_name("copy.db"), COUNT) == [(3,)]


def test_housekeeping_of_a_store_that_is_not_open(path: Path) -> None:
    """Before the first opening, after the end and in memory there is nothing to do."""
    store = SqliteStore(SqliteTarget(path), NAMES, Durability.PROCESS)
    store.maintain()
    store.rest()
    assert not path.exists()
    with closing(SqliteStore(SqliteTarget(None), NAMES, Durability.PROCESS)) as memory:
        memory.write([record()])
        memory.rest()
        assert memory.position("j") is None


@pytest.mark.parametrize(("durability", "mode"), [(Durability.POWER, 2), (Durability.PROCESS, 1)])
def test_how_a_commit_is_synced(path: Path, durability: Durability, mode: int) -> None:
    """`power` syncs the log with each commit (FULL), `process` when it is written back (NORMAL)."""
    with opened(path, durability=durability) as store:
        assert store._connection is not None
        assert store._connection.execute("PRAGMA synchronous").fetchone() == (mode,)


def test_everything_is_in_the_file_after_a_close(path: Path) -> None:
    """What the log held is in the database once nobody has it open."""
    with opened(path) as store:
        write(path, store, 20)
    assert rows(path, COUNT) == [(40,)]
    assert path.stat().st_size > 20 * MEGABYTE


@pytest.mark.parametrize("durability", Durability)
def test_a_sync_ends_with_a_commit_that_is_synced(path: Path, durability: Durability) -> None:
    """Where commits are not synced one is made that is, and it has something to write."""
    with opened(path, durability=durability) as store:
        store.write(numbered(3))
        connection = store._connection
        assert connection is not None
        before, statements = wal_size(path), []
        connection.set_trace_callback(statements.append)
        store.sync()
        connection.set_trace_callback(None)
        [(level,)] = connection.execute("PRAGMA synchronous").fetchall()
        if durability is Durability.POWER:
            assert (statements, level) == ([], 2)
        else:
            assert statements[0] == "PRAGMA synchronous = FULL"
            assert statements[1].startswith("UPDATE")
            assert wal_size(path) > before
            assert level == 1
