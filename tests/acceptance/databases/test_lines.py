"""What a store does when the line or the server fails: nothing lost, nothing twice, no hanging."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from response_store.backends.base import Checkpoint, CheckpointMovedError
from response_store.backends.postgres.store import PostgresStore
from response_store.backends.postgres.watchdog import BatchDeadline
from response_store.errors import PermanentStoreError, StoreError, TransientStoreError
from response_store.model.records import Deletion
from tests.harness.line import Line
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.harness.records import numbered, record, response
from tests.unit.backends.postgres.stores import SHORT, hang_up, ids, opened, store_on

PATIENT = BatchDeadline(seconds=1.0, min_rate=1024)


@pytest.fixture
def own(server: Postgres) -> Iterator[PostgresDatabase]:
    """A database on a server that the test may end."""
    made = server.create_database()
    yield made
    made.drop()


def attempt(store: PostgresStore) -> None:
    """What a writer does; opening does nothing while the end of the connection is not known."""
    store.open()
    store.write(numbered(3))


def test_connections_that_died_meanwhile(database: PostgresDatabase) -> None:
    """Idle connections that the server ended cost nothing: the batch goes in at once."""
    with opened(database) as store:
        expected = None
        for at in range(3):
            store.write(numbered(2, start=at * 2), Checkpoint("j", at, expected))
            expected = at
            assert hang_up(database) >= 1
        assert store.position("j") == 2
    assert len(ids(database)) == 6


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts(own: PostgresDatabase, mode: str) -> None:
    """After a restart the next batch goes in without an error."""
    with opened(own) as store:
        store.write(numbered(3))
        own.server.restart(mode)
        store.open()
        store.write(numbered(3, start=3))
    assert len(ids(own)) == 6


def test_a_server_that_is_killed(own: PostgresDatabase) -> None:
    """While it is away each attempt fails at once; when it is back all goes on."""
    with opened(own) as store:
        store.write(numbered(3))
        own.server.kill9()
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(TransientStoreError):
                attempt(store)
            assert time.monotonic() - started < 5
        own.server.start()
        store.open()
        store.write(numbered(6))
    assert len(ids(own)) == 6


def test_a_frozen_server(own: PostgresDatabase) -> None:
    """A server that gives no answer is given up after the deadline, and taken up again later."""
    with opened(own, deadline=SHORT) as store:
        store.write([record("e1")])
        own.server.freeze()
        try:
            started = time.monotonic()
            with pytest.raises(TransientStoreError, match="gives no answer"):
                store.write([record("e2")])
            assert 0.9 < time.monotonic() - started < 4
        finally:
            own.server.thaw()
        store.open()
        store.write([record("e2")])
    assert ids(own) == ["e1", "e2"]


def test_a_line_that_is_held(database: PostgresDatabase, line: Line) -> None:
    """A held line is cut by the watchdog, and a batch of before leaves no trace."""
    with opened(database, port=line.port, deadline=SHORT) as store:
        line.hold()
        with pytest.raises(TransientStoreError, match="gives no answer"):
            store.write(numbered(3))
        line.restore()
        store.open()
        store.write(numbered(3))
    assert len(ids(database)) == 3


@pytest.mark.parametrize("after", [1, 500, 5_000, 40_000])
def test_a_line_that_is_cut_during_a_batch(
    database: PostgresDatabase, line: Line, after: int
) -> None:
    """A batch that was cut off is written by the second attempt, each row once."""
    with opened(database, port=line.port) as store:
        line.cut_after(after)
        store.write(numbered(100))
        store.open()
        store.write([record("last")])
    assert len(ids(database)) == 101


def test_a_commit_whose_answer_is_lost(database: PostgresDatabase, line: Line) -> None:
    """Where nobody knows whether the batch was committed, writing it again is harmless."""
    with opened(database, port=line.port) as store:
        line.cut_before(b"COMMIT\0")
        store.write([record("e1", response(status="queued")), record("e2")])
    assert ids(database) == ["e1", "e2"]


@pytest.mark.parametrize("expected", [None, 5])
def test_a_commit_that_was_not_answered_counts(
    database: PostgresDatabase, line: Line, expected: int | None
) -> None:
    """A batch whose commit went through is not written again: its journal has moved on."""
    with opened(database, port=line.port) as store:
        if expected is not None:
            store.write([], Checkpoint("j", expected, None))
        line.cut_before(b"COMMIT\0")
        store.write([record("e1"), Deletion("t1", "r1")], Checkpoint("j", 7, expected))
        assert store.position("j") == 7
    assert ids(database) == ["e1"]


def test_a_dead_connection_and_a_journal_that_does_not_move(database: PostgresDatabase) -> None:
    """Where a batch leaves its journal where it is, its place says nothing: it is written again."""
    with opened(database) as store:
        store.write([record("e1")], Checkpoint("j", 1, None))
        assert hang_up(database) >= 1
        store.write([record("e2")], Checkpoint("j", 1, 1))
    assert ids(database) == ["e1", "e2"]


def test_a_commit_that_did_not_get_through(database: PostgresDatabase, line: Line) -> None:
    """A batch whose connection died before the commit is written by the second attempt."""
    with opened(database, port=line.port) as store:
        store.write([], Checkpoint("j", 1, None))
        line.cut_after(5_000)
        store.write(numbered(100), Checkpoint("j", 101, 1))
        assert store.position("j") == 101
    assert len(ids(database)) == 100


def test_another_database_behind_the_same_line(database: PostgresDatabase) -> None:
    """Where a lost connection leads to an older copy, the second attempt writes nothing there."""
    with opened(database) as store:
        store.write([record("e1")], Checkpoint("j", 1, None))
        store.write([record("e2")], Checkpoint("j", 2, 1))
        database.execute("DELETE FROM openai_exchanges WHERE exchange_id = 'e2'")
        database.execute("UPDATE openai_exchanges_journals SET position = 1 WHERE position = 2")
        hang_up(database)
        with pytest.raises(CheckpointMovedError):
            store.write([record("e3")], Checkpoint("j", 3, 2))
        assert store.position("j") == 1
    assert ids(database) == ["e1"]


def test_a_slow_line(database: PostgresDatabase, line: Line) -> None:
    """A line of a few KB a second is slow, not frozen: the deadline grows with the batch."""
    with opened(database):  # makes the tables, which may take longer than the deadline
        pass
    with opened(database, port=line.port, deadline=PATIENT) as store:
        line.slow(12_000)
        started = time.monotonic()
        store.write(numbered(30))
        assert time.monotonic() - started > 1.5
    assert len(ids(database)) == 30


def test_interrupting(own: PostgresDatabase) -> None:
    """A batch that hangs is broken off from another thread, and not tried again."""
    with opened(own) as store:
        own.server.freeze()
        try:
            timer = threading.Timer(0.3, store.interrupt)
            timer.start()
            started = time.monotonic()
            with pytest.raises(TransientStoreError, match="interrupted"):
                store.write([record()])
            assert time.monotonic() - started < 3
            timer.join()
        finally:
            own.server.thaw()
    assert ids(own) == []


def test_a_server_that_is_read_only_for_now(own: PostgresDatabase) -> None:
    """It passes: rows go in as soon as writing is allowed again."""
    with opened(own) as store:
        own.server.set(default_transaction_read_only="on")
        with pytest.raises(TransientStoreError, match="read-only"):
            store.write([record()])
        own.server.set(default_transaction_read_only=None)
        store.open()
        store.write([record()])
    assert ids(own) == ["e1"]


def test_a_role_that_loses_its_rights(database: PostgresDatabase) -> None:
    """It is permanent until the rights are back; then the same store goes on."""
    with opened(database):
        pass
    role = database.server.create_role(f"fickle_{database.name}")
    rights = f"SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public {{}} {role}"
    database.execute(f"GRANT {rights.format('TO')}")
    with opened(database, user=role) as store:
        database.execute(f"REVOKE {rights.format('FROM')}")
        with pytest.raises(PermanentStoreError, match="42501"):
            store.write([record()])
        database.execute(f"GRANT {rights.format('TO')}")
        store.open()
        store.write([record()])
    assert ids(database) == ["e1"]


def test_a_table_that_is_dropped_under_us(database: PostgresDatabase) -> None:
    """It is permanent, at the write and at the next opening."""
    with closing(store_on(database)) as store:
        store.open()
        database.execute("DROP TABLE openai_exchanges CASCADE")
        with pytest.raises(PermanentStoreError, match="42P01"):
            store.write([record()])
        with pytest.raises(PermanentStoreError, match="is missing"):
            store.open()


def test_writing_needs_no_schema_again(database: PostgresDatabase) -> None:
    """A dropped shared table is made again by the next opening."""
    with opened(database) as store:
        database.execute("DROP TABLE openai_responses")
        with pytest.raises(StoreError):
            store.write(numbered(1))
        store.open()
        store.write(numbered(1))
    assert ids(database) == ["e0"]
