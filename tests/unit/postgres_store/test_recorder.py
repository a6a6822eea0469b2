"""Rows that were left open are closed by the next one; those of who lives are not."""

from __future__ import annotations

from contextlib import closing

from response_store.store.records import Record
from tests.harness.postgres import PostgresDatabase
from tests.harness.proxy import wait_until
from tests.harness.records import record
from tests.unit.postgres_store.stores import hang_up, opened, store_on

STATES = "SELECT exchange_id, state, ended_by FROM openai_exchanges ORDER BY 1"
LOCKS = (
    "SELECT count(*) AS held FROM pg_locks JOIN pg_database ON pg_database.oid = database "
    "WHERE locktype = 'advisory' AND datname = current_database()"
)


def states(database: PostgresDatabase) -> list[tuple[str, str, str | None]]:
    return [tuple(row.values()) for row in database.execute(STATES)]


def held(database: PostgresDatabase) -> int:
    count: int = database.execute(LOCKS)[0]["held"]
    return count


def let_go(database: PostgresDatabase) -> None:
    """Wait until the server has noticed that nobody is there any more."""
    wait_until(lambda: held(database) == 0, "no lock is held")


def open_row(recorder_id: str, exchange_id: str = "e1") -> Record:
    return record(exchange_id, state="open", recorder_id=recorder_id)


def test_rows_of_who_is_gone_are_closed(database: PostgresDatabase) -> None:
    """A recorder that let go of its lock left its rows to the next one."""
    with opened(database, "first") as first:
        first.write([open_row("first"), record("e2", recorder_id="first")])
    let_go(database)
    with opened(database, "second"):
        assert states(database) == [
            ("e1", "interrupted", "proxy_stopped"),
            ("e2", "completed", None),
        ]


def test_rows_of_who_lives_are_left(database: PostgresDatabase) -> None:
    """Whoever holds a lock has its rows to itself."""
    with opened(database, "first") as first:
        first.write([open_row("first")])
        with opened(database, "second"), opened(database, "third"):
            assert states(database) == [("e1", "open", None)]


def test_ones_own_rows_are_left(database: PostgresDatabase) -> None:
    """A store that opens again does not close what its own recorder has under way."""
    with opened(database, "first") as first:
        first.write([open_row("first")])
        first._leave()
        first.open()
        assert states(database) == [("e1", "open", None)]


def test_a_lost_session_is_taken_up_again(database: PostgresDatabase) -> None:
    """When the session that holds the lock ends, the next opening notices and enters anew."""
    with opened(database, "first") as first:
        first.write([open_row("first")])
        assert hang_up(database) == 2
        assert held(database) == 0
        first.open()
        assert held(database) == 1
        with opened(database, "second"):
            assert states(database) == [("e1", "open", None)]


def test_an_end_that_comes_late_still_counts(database: PostgresDatabase) -> None:
    """Who was taken for dead and lives replaces what was closed in its name."""
    with opened(database, "first") as first:
        first.write([open_row("first")])
        hang_up(database)
        with opened(database, "second"):
            assert states(database) == [("e1", "interrupted", "proxy_stopped")]
        first.open()
        first.write([record("e1", recorder_id="first")])
    assert states(database) == [("e1", "completed", None)]


def test_closing_lets_go_of_the_lock(database: PostgresDatabase) -> None:
    """After the end nothing of a store is left on the server."""
    with closing(store_on(database)) as store:
        store.open()
        assert held(database) == 1
    let_go(database)
