"""PostgreSQL as a backend of the contract suite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from response_store.backends.postgres.store import PostgresStore
from tests.harness.postgres import OWNER
from tests.harness.postgres_shared import shared_database, shared_pooler, target_of
from tests.harness.records import NAMES

Row = dict[str, Any]


class PostgresDatabase:
    """The shared database. Another one for each would take ten times as long as most tests."""

    many_stores = True

    def __init__(self, folder: Path) -> None:
        self.database = shared_database()
        self._made: list[PostgresStore] = []

    def store(self) -> PostgresStore:
        self._made.append(PostgresStore(target_of(self._url()), NAMES))
        return self._made[-1]

    def execute(self, statement: str) -> list[Row]:
        return self.database.execute(statement)

    def close(self) -> None:
        for store in self._made:
            store.close()
        self.execute(f"DROP OWNED BY {OWNER}")

    def _url(self) -> str:
        return self.database.url()


class PooledDatabase(PostgresDatabase):
    """The same through a PgBouncer in one of its modes; what it holds is read without."""

    def __init__(self, folder: Path, mode: str) -> None:
        super().__init__(folder)
        self._port = shared_pooler(mode)

    def _url(self) -> str:
        return f"postgres://{OWNER}@127.0.0.1:{self._port}/{self.database.name}"
