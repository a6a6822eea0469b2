"""How long a batch may take, and what the watchdog cuts."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import psycopg
import pytest

from response_store.backends.postgres.watchdog import BatchDeadline, Watchdog
from response_store.errors import TransientStoreError
from tests.harness.postgres import PostgresDatabase

NAME = "response-store-watchdog"
SLEEP = "SELECT pg_sleep(10)"


def running() -> int:
    return [thread.name for thread in threading.enumerate()].count(NAME)


@pytest.mark.parametrize(
    ("size", "seconds"), [(0, 30.0), (10_240, 40.0), (583_680, 600.0), (10**9, 600.0)]
)
def test_the_deadline_grows_with_the_batch(size: int, seconds: float) -> None:
    """Up to a limit, a large batch gets the time that a slow line needs for it."""
    assert BatchDeadline().compute_seconds(size) == seconds


def test_a_long_deadline_is_not_shortened() -> None:
    """The limit is for what is added."""
    assert BatchDeadline(seconds=50, max_seconds=10).compute_seconds(10**6) == 50


def test_what_takes_too_long_is_cut(database: PostgresDatabase) -> None:
    """Each line has its own deadline, and the error says where, and not what was asked."""
    watchdog = Watchdog("PostgreSQL here", BatchDeadline(seconds=0.4, max_seconds=30))
    with (
        closing(watchdog),
        psycopg.connect(database.url(), autocommit=True) as slow,
        psycopg.connect(database.url(), autocommit=True) as patient,
        watchdog.watching(patient, 10_000),
    ):
        started = time.monotonic()
        with (
            pytest.raises(TransientStoreError, match="PostgreSQL here: the server gives no answer"),
            watchdog.watching(slow),
        ):
            slow.execute(SLEEP)
        assert 0.4 < time.monotonic() - started < 3
        assert slow.broken
        assert patient.execute("SELECT 1").fetchone() == (1,)


def test_errors_of_a_line_that_was_not_cut_are_left(database: PostgresDatabase) -> None:
    """The watchdog speaks for itself alone."""
    with (
        closing(Watchdog("PostgreSQL")) as watchdog,
        psycopg.connect(database.url()) as connection,
        pytest.raises(psycopg.errors.DivisionByZero),
        watchdog.watching(connection),
    ):
        connection.execute("SELECT 1/0")


def test_cutting_without_a_line_is_harmless(database: PostgresDatabase) -> None:
    """What is not watched is not cut, and a watched line that has ended can be cut again."""
    with closing(Watchdog("PostgreSQL")) as watchdog:
        watchdog.cut("why")
        with psycopg.connect(database.url()) as connection:
            with watchdog.watching(connection):
                pass
            watchdog.cut("why")
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_one_thread_that_ends(database: PostgresDatabase) -> None:
    """It comes with the first line, goes with closing, and comes back when it is needed."""
    before = running()
    watchdog = Watchdog("PostgreSQL")
    with psycopg.connect(database.url()) as connection:
        for _ in range(2):
            for _ in range(3):
                with watchdog.watching(connection):
                    assert running() == before + 1
            watchdog.close()
            watchdog.close()
            assert running() == before
