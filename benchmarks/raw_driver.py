"""The standard library's driver by itself: what the writer and the lookup are compared with."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from response_store.backends.sqlite import schema as sqlite_schema
from response_store.config import Durability, SqliteTarget, TableNames
from response_store.model.records import ExchangeRow, Record, ResponseRow

TABLES = TableNames("openai_responses", "openai_conversations", "openai_exchanges")
SYNCHRONOUS = {Durability.POWER: "FULL", Durability.PROCESS: "NORMAL"}
RESPONSE_COLUMNS = ResponseRow.__struct_fields__[:7]
EXCHANGE_COLUMNS = ExchangeRow.__struct_fields__


def insert(table: str, columns: Sequence[str]) -> str:
    """An INSERT of one row."""
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({names}) VALUES ({places})"


INSERT_RESPONSE = insert(TABLES.responses, RESPONSE_COLUMNS)
INSERT_EXCHANGE = insert(TABLES.exchanges, EXCHANGE_COLUMNS)
Values = tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]


def values(records: Sequence[Record]) -> Values:
    """The rows of both tables as tuples."""
    exchanges = [tuple(getattr(r.exchange, name) for name in EXCHANGE_COLUMNS) for r in records]
    responses = [
        tuple(getattr(r.response, name) for name in RESPONSE_COLUMNS)
        for r in records
        if r.response is not None
    ]
    return responses, exchanges


@contextmanager
def database(path: Path, durability: Durability) -> Iterator[sqlite3.Connection]:
    """A file with the store's own schema, as durable as asked; otherwise SQLite's defaults."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[durability]}")
        sqlite_schema.prepare(connection, TABLES, f"SQLite {SqliteTarget(path).describe()}")
        yield connection
    finally:
        connection.close()


def write(connection: sqlite3.Connection, rows: Values) -> None:
    """Insert a batch in one transaction."""
    responses, exchanges = rows
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(INSERT_RESPONSE, responses)
    connection.executemany(INSERT_EXCHANGE, exchanges)
    connection.execute("COMMIT")
