"""PostgreSQL as a backend of the contract suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from response_store.backends.postgres.store import PostgresStore
from tests.harness.postgres import OWNER
from tests.harness.postgres_shared import (
    shared_connection,
    shared_database,
    shared_pooler,
    target_of,
)
from tests.harness.records import NAMES

Row = dict[str, Any]
HOLDING_ROWS = (
    f"SELECT quote_ident(tablename) AS name FROM pg_tables WHERE tableowner = '{OWNER}' "
    "AND tablename NOT LIKE '%_version'"  # one of them says that all is there
)


class PostgresDatabase:
    """The shared database. Another one for each would take ten times as long as most tests.

    To make its tables takes longer than most tests as well: they stay, empty, for the next one,
    unless a statement of the test may have changed them.
    """

    many_stores = True

    def __init__(self, folder: Path) -> None:
        self.database = shared_database()
        self._made: list[PostgresStore] = []
        self._is_changed = False

    def store(self) -> PostgresStore:
        self._made.append(PostgresStore(target_of(self._url()), NAMES))
        return self._made[-1]

    def execute(self, statement: str) -> list[Row]:
        self._is_changed |= not statement.startswith(("SELECT ", "DELETE "))
        cursor = shared_connection().execute(statement)
        return cursor.fetchall() if cursor.description else []

    def drop_tables(self) -> None:
        shared_connection().execute("DISCARD ALL")
        shared_connection().execute(f"DROP OWNED BY {OWNER}")

    def close(self) -> None:
        for store in self._made:
            store.close()
        if self._is_changed:
            self.drop_tables()
        elif names := ", ".join(row["name"] for row in self.execute(HOLDING_ROWS)):
            self.execute(f"TRUNCATE {names}")

    def _url(self) -> str:
        return self.database.url()


class PooledDatabase(PostgresDatabase):
    """The same through a PgBouncer in one of its modes; what it holds is read without."""

    def __init__(self, folder: Path, mode: str) -> None:
        super().__init__(folder)
        self._port = shared_pooler(mode)

    def _url(self) -> str:
        return f"postgres://{OWNER}@127.0.0.1:{self._port}/{self.database.name}"
