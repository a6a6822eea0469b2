"""A PostgreSQL database with rows in it, written by the real store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from response_store.backends.postgres.reader import PostgresReader
from response_store.backends.postgres.store import PostgresStore
from response_store.config.table_names import TableNames
from response_store.model.records import ExchangeRow, Record
from response_store.queries.exchanges import Query
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.harness.postgres_shared import target_of
from tests.unit.queries.stored import NAMES, REQUIRED, RESPONSE

# Rows are few: to delete them costs a tenth of new files for each table and index.
EMPTIED = """
DELETE FROM {exchanges};
DELETE FROM {responses};
DELETE FROM {conversations};
DELETE FROM {exchanges_journals} WHERE journal_id <> '';
"""


class StoredInPostgres:
    """What `Stored` is, in PostgreSQL. Responses alone come by SQL, as from another program."""

    def __init__(self, database: PostgresDatabase, names: TableNames = NAMES) -> None:
        self.database = database
        self.names = names
        self._words = {key: f'"{name.lower()}"' for key, name in names.by_placeholder().items()}
        self._store = PostgresStore(target_of(database.url()), names)
        self._store.open()
        # To connect costs more than what is done then.
        self._connection = database.server.connect(database.name)

    @property
    def shown(self) -> str:
        """What the commands call the database."""
        return target_of(self.database.url()).describe()

    def open(self, **how: Any) -> Query:
        """A look at it."""
        return Query(PostgresReader(target_of(self.database.url()), self.names, **how))

    def configure(self, path: Path, **settings: Any) -> None:
        """Write a configuration that names it."""
        lines = {
            "database_url": self.database.url(),
            "ssl_mode": "disable",
            "allow_private_database_url": "true",
        } | settings
        path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))

    def script(self, text: str) -> None:
        """Run a statement; `{exchanges}` and the like stand for the tables."""
        self._connection.execute(text.format(**self._words))

    def exchange(self, exchange_id: str, **columns: Any) -> None:
        """Add an exchange."""
        self.exchanges([{"exchange_id": exchange_id, **columns}])

    def exchanges(self, rows: list[dict[str, Any]]) -> None:
        """Add many exchanges at once."""
        self._store.write([Record(ExchangeRow(**{**REQUIRED, **row})) for row in rows])

    def response(self, response_id: str, **columns: Any) -> None:
        """Add a response."""
        row = {**RESPONSE, "id": response_id, **columns}
        places = ", ".join("%s" for _ in row)
        statement = f"INSERT INTO {self._words['responses']} ({', '.join(row)}) VALUES ({places})"
        self._connection.execute(statement, [*row.values()])

    def empty(self) -> None:
        """Take all rows out."""
        self.script(EMPTIED)

    def close(self) -> None:
        self._connection.close()
        self._store.close()


@pytest.fixture(scope="session")
def session_stored(plain_postgres: Postgres) -> Iterator[StoredInPostgres]:
    """A database for one test after the other."""
    database = plain_postgres.create_database()
    with closing(StoredInPostgres(database)) as stored:
        yield stored
    database.drop()


@pytest.fixture
def stored_in_postgres(session_stored: StoredInPostgres) -> StoredInPostgres:
    """An empty PostgreSQL database of this version."""
    session_stored.empty()
    return session_stored
