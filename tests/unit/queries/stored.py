"""Databases made with plain SQL from the schema's files, for what reads them."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import zstandard

from response_store.backends.registry import open_file
from response_store.config.table_names import TableNames
from response_store.queries.exchanges import Query
from response_store.queries.schema_state import MIGRATIONS

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas" / "sqlite"
NAMES = TableNames("openai_responses", "openai_conversations", "openai_exchanges")
VERSION_TABLES = f"""
CREATE TABLE IF NOT EXISTS {{exchanges_version}} (version BIGINT NOT NULL PRIMARY KEY);
INSERT INTO {{exchanges_version}} VALUES ({len(MIGRATIONS)});
INSERT INTO {{responses_version}} VALUES (1);
"""
REQUIRED = {
    "tenant_id": "default", "api": "responses", "transport": "http", "state": "completed",
    "started_at": 1767225600.25, "method": "POST", "scheme": "https", "host": "api.openai.com",
    "path": "/v1/responses", "recorder_id": "r1",
}  # fmt: skip
RESPONSE = {
    "tenant_id": "default", "created_at": 1767225600, "model": "gpt-5.1", "response_object": "{}",
    "input": "[]", "messages": "[]",
}  # fmt: skip


class Stored:
    """A database file; rows get what they must have and what a test names, the rest is null."""

    def __init__(self, path: Path, names: TableNames = NAMES) -> None:
        self.path = path
        self._quoted = _quote(names)
        if path.exists():
            self.script(_read_schema())
            return
        path.touch(mode=0o600)
        path.write_bytes(_build_empty(names))

    @property
    def shown(self) -> str:
        """What the commands call the database."""
        return str(self.path)

    def open(self) -> Query:
        """A look at it."""
        return open_file(self.path, NAMES)

    def configure(self, path: Path, **settings: Any) -> None:
        """Write a configuration that names it."""
        lines = {"database_url": f"sqlite://{self.path}"} | settings
        path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))

    def script(self, text: str) -> None:
        """Run statements; `{exchanges}` and the like stand for the tables."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(text.format(**self._quoted))

    def exchange(self, exchange_id: str, **columns: Any) -> None:
        """Add an exchange."""
        self.insert("{exchanges}", {**REQUIRED, "exchange_id": exchange_id, **columns})

    def exchanges(self, rows: list[dict[str, Any]]) -> None:
        """Add many exchanges at once."""
        self.insert("{exchanges}", *({**REQUIRED, **row} for row in rows))

    def response(self, response_id: str, **columns: Any) -> None:
        """Add a response."""
        self.insert("{responses}", {**RESPONSE, "id": response_id, **columns})

    def insert(self, table: str, *rows: dict[str, Any]) -> None:
        """Add rows of the same columns."""
        columns = rows[0].keys()
        values = ", ".join(f":{column}" for column in columns)
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("PRAGMA synchronous = OFF")  # half the time
            connection.executemany(statement.format(**self._quoted), rows)


@cache
def _build_empty(names: TableNames) -> bytes:
    """Return the file of a database without rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_read_schema().format(**_quote(names)))
        return path.read_bytes()


def _read_schema() -> str:
    files = [SCHEMAS / "shared_tables.sql", *sorted(SCHEMAS.glob("exchanges_*.sql"))]
    return "".join([*(file.read_text() for file in files), VERSION_TABLES])


def _quote(names: TableNames) -> dict[str, str]:
    return {key: f'"{name}"' for key, name in names.by_placeholder().items()}


def packed(body: bytes) -> bytes:
    """A body as the store keeps it."""
    return zstandard.compress(body)
