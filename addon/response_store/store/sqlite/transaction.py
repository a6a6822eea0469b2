"""Transactions of a SQLite connection that writes, and rolling them back."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from response_store.store.sqlite.errors import leaves_connection_usable


@contextlib.contextmanager
def begin_immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block writes at its end; roll it back after an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is not committed; some errors have done so by themselves."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def try_roll_back(connection: sqlite3.Connection, error: BaseException) -> bool:
    """Roll back after an error; False where the connection itself may be at fault."""
    try:
        roll_back(connection)
    except sqlite3.Error:
        return False
    return leaves_connection_usable(error)


def interrupt(connection: sqlite3.Connection | None) -> None:
    """Break off a statement that runs, from any thread."""
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):  # closed at the same moment
            connection.interrupt()
