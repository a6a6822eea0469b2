"""Databases that rows travel between: made by the real stores, filled and read by plain SQL."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import dict_row

from response_store.backends.postgres.store import PostgresStore
from response_store.backends.registry import open_source, open_target
from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from response_store.config.postgres_target import PostgresTarget
from response_store.queries.reader import Reader
from response_store.transfer.bulk_writer import BulkWriter
from tests.harness.database import write_empty
from tests.harness.postgres import PostgresDatabase
from tests.harness.postgres_shared import target_of
from tests.harness.records import NAMES

Values: TypeAlias = dict[str, Any]
KEYS = {
    "openai_conversations": "conversation_id, tenant_id",
    "openai_responses": "tenant_id, id",
    "openai_exchanges": "exchange_id",
}
REQUIRED: dict[str, Values] = {
    "openai_conversations": {
        "tenant_id": "t1", "created_at": 1767225600, "metadata": "{}", "messages": "[]",
    },
    "openai_responses": {
        "tenant_id": "t1", "created_at": 1767225600, "model": "gpt-5",
        "response_object": '{"status":"completed"}', "input": "[]", "messages": "[]",
    },
    "openai_exchanges": {
        "tenant_id": "t1", "api": "responses", "transport": "http", "state": "completed",
        "started_at": 1767225600.25, "method": "POST", "scheme": "https",
        "host": "api.openai.com", "path": "/v1/responses", "recorder_id": "recorder",
    },
}  # fmt: skip


class Filled(ABC):
    """What both kinds have in common."""

    target: SqliteTarget | PostgresTarget

    def conversation(self, conversation_id: str = "c1", **columns: Any) -> None:
        self.insert("openai_conversations", {"conversation_id": conversation_id, **columns})

    def response(self, response_id: str = "r1", **columns: Any) -> None:
        self.insert("openai_responses", {"id": response_id, **columns})

    def exchange(self, exchange_id: str = "e1", **columns: Any) -> None:
        self.insert("openai_exchanges", {"exchange_id": exchange_id, **columns})

    @abstractmethod
    def insert(self, table: str, row: Values) -> None: ...

    @abstractmethod
    def rows(self, statement: str) -> list[Values]: ...

    def contents(self) -> dict[str, list[Values]]:
        """Every row of every table, by key."""
        return {
            table: self.rows(f"SELECT * FROM {table} ORDER BY {key}") for table, key in KEYS.items()
        }

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """As a source."""
        with open_source(self.target, NAMES) as reader:
            yield reader

    @contextmanager
    def written(self) -> Iterator[tuple[Reader, BulkWriter]]:
        """As a target."""
        with open_target(self.target, NAMES) as ends:
            yield ends


class SqliteFile(Filled):
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.target = SqliteTarget(path)
        write_empty(path)

    def store(self) -> SqliteStore:
        """As an ingester writes it."""
        return SqliteStore(self.target, NAMES, Durability.PROCESS)

    def insert(self, table: str, row: Values) -> None:
        row = REQUIRED[table] | row
        # Bytes in a text column stand for what no str can be bound as.
        texts = {"response_object", "output_text"}
        places = ", ".join(f"CAST(:{n} AS TEXT)" if n in texts else f":{n}" for n in row)
        self.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", row)

    def rows(self, statement: str) -> list[Values]:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda data: data.decode("utf-8", "surrogatepass")
            return [dict(row) for row in connection.execute(statement)]

    def execute(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute(statement, *values)

    def configure(self, path: Path) -> Path:
        path.write_text(f"database_url: sqlite://{self.path}\n")
        return path


class PostgresTables(Filled):
    """A PostgreSQL database."""

    def store(self) -> PostgresStore:
        """As an ingester writes it."""
        return PostgresStore(self.target, NAMES)

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        self.target = target_of(database.url())
        store = self.store()
        store.open()
        store.close()
        self._connection = psycopg.connect(database.url(), autocommit=True, row_factory=dict_row)

    def insert(self, table: str, row: Values) -> None:
        row = REQUIRED[table] | row
        places = ", ".join(["%s"] * len(row))
        self.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())

    def rows(self, statement: str) -> list[Values]:
        return self._connection.execute(statement).fetchall()

    def execute(self, statement: str, *values: Any) -> None:
        self._connection.execute(statement, values or None)

    def configure(self, path: Path) -> Path:
        path.write_text(
            f"database_url: {self.database.url()}\nssl_mode: disable\n"
            "allow_private_database_url: true\n"
        )
        return path

    def empty(self) -> None:
        # Rows are few: to delete them costs a tenth of new files for each table and index.
        for table in KEYS:
            self.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        self._connection.close()


AnyDatabase: TypeAlias = SqliteFile | PostgresTables
