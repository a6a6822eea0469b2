"""psycopg by itself, in pipeline mode: what the ingester is compared with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import psycopg

from benchmarks.postgres import Database
from benchmarks.raw_driver import EXCHANGE_COLUMNS, RESPONSE_COLUMNS, TABLES, Values, values
from response_store.backends.postgres import schema as postgres_schema
from response_store.ingest.delivery import MAX_RECORDS
from response_store.model.records import Record


def insert(table: str, columns: Sequence[str]) -> str:
    """An INSERT of one row."""
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({names}) VALUES ({places})"


INSERT_RESPONSE = insert(TABLES.responses, RESPONSE_COLUMNS)
INSERT_EXCHANGE = insert(TABLES.exchanges, EXCHANGE_COLUMNS)


class TimedPipeline:
    """A connection to the store's own schema that tells how long it takes to insert records."""

    def __init__(self, database: Database) -> None:
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(database.connection())
        postgres_schema.prepare(self._connection, TABLES, "the benchmark's database")

    def seconds(self, records: Sequence[Record]) -> float:
        size = MAX_RECORDS
        parts = [values(records[at : at + size]) for at in range(0, len(records), size)]
        start = time.perf_counter()
        for part in parts:
            write(self._connection, part)
        return time.perf_counter() - start

    def close(self) -> None:
        self._stack.close()


def write(connection: psycopg.Connection[tuple[Any, ...]], rows: Values) -> None:
    """Insert a batch in one transaction."""
    responses, exchanges = rows
    with connection.transaction(), connection.pipeline(), connection.cursor() as cursor:
        cursor.executemany(INSERT_RESPONSE, responses)
        cursor.executemany(INSERT_EXCHANGE, exchanges)
