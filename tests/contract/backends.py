"""The databases that the contract is checked on.

A backend makes stores on one database and reads its tables back by plain SQL, without the code
under test. Each of `BACKENDS` is a class of the same methods.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from response_store.backends.base import Store
from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from tests.harness.postgres_backend import PooledDatabase, PostgresDatabase
from tests.harness.records import NAMES

Row = dict[str, Any]


class Backend(Protocol):
    """One database, empty at first."""

    many_stores: bool
    """Whether several stores share the database."""

    def store(self) -> Store: ...

    def execute(self, statement: str) -> list[Row]: ...

    def drop_tables(self) -> None: ...

    def close(self) -> None: ...


class SqliteFile:
    """A SQLite file."""

    many_stores = True

    def __init__(self, folder: Path) -> None:
        self.path = folder / "responses.db"
        self._made: list[SqliteStore] = []

    def store(self) -> SqliteStore:
        target = SqliteTarget(self.path)
        self._made.append(SqliteStore(target, NAMES, Durability.PROCESS))
        return self._made[-1]

    def execute(self, statement: str) -> list[Row]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return _rows(connection, statement)

    def drop_tables(self) -> None:
        """Do nothing: nobody else has used the file."""

    def close(self) -> None:
        for store in self._made:
            store.close()


class SqliteMemory(SqliteFile):
    """SQLite in memory: one store, and its only connection."""

    many_stores = False

    def store(self) -> SqliteStore:
        self._made.append(SqliteStore(SqliteTarget(None), NAMES, Durability.PROCESS))
        return self._made[-1]

    def execute(self, statement: str) -> list[Row]:
        connection = self._made[-1]._connection
        assert connection is not None
        return _rows(connection, statement)


def _rows(connection: sqlite3.Connection, statement: str) -> list[Row]:
    found = connection.execute(statement)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found]


BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "sqlite": SqliteFile,
    "sqlite-memory": SqliteMemory,
    "postgres": PostgresDatabase,
    "pgbouncer-transaction": partial(PooledDatabase, mode="transaction"),
    "pgbouncer-session": partial(PooledDatabase, mode="session"),
}
