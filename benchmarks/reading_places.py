"""Where the reading commands look: a filled SQLite file, or a filled PostgreSQL database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import psycopg

from benchmarks import journals, raw_driver
from benchmarks.postgres import Database
from benchmarks.reading_rows import varied
from response_store.backends.postgres import schema as postgres_schema
from response_store.backends.postgres.search_index import format_tsvector
from response_store.backends.registry import open_index
from response_store.config import Durability, load_config
from response_store.model.records import Record
from response_store.search.index import Entry, index_missing
from response_store.search.texts import Row

BATCH = 1000
INDEXED = 1000  # exchanges, as a proxy does it: one after the other
LEAVE_OUT = f"""
DELETE FROM openai_exchanges_search WHERE exchange_id IN (
    SELECT exchange_id FROM openai_exchanges LIMIT {INDEXED})"""
ENTRY = ("exchange_id", "tenant_id", "started_at", "state", "characters", "cut")


class Plain(Protocol):
    """A connection of the driver's own kind; SQL has `?` for values."""

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Every row."""


@dataclass(frozen=True)
class SqliteRows:
    """Some rows in a file."""

    folder: Path
    rows: int
    name: str = "SQLite"

    @property
    def path(self) -> Path:
        return self.folder / f"reading-{self.rows}.db"

    @property
    def config(self) -> Path:
        return self.path.with_suffix(".yaml")

    def fill(self) -> float:
        """Write the rows and their index; the exchanges a second that were indexed."""
        self.config.write_text(
            f"database_url: {json.dumps(f'sqlite://{self.path}')}\n"
            + journals.configuration(self.folder)
        )
        with raw_driver.database(self.path, Durability.PROCESS) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            made = varied(self.rows, seed=self.rows)
            while batch := list(islice(made, BATCH)):
                raw_driver.write(connection, raw_driver.values(batch))
            connection.execute("PRAGMA optimize")
        return self.rows / indexed(self.config)

    @contextmanager
    def plain(self) -> Iterator[Plain]:
        with raw_driver.database(self.path, Durability.PROCESS) as connection:
            yield _Sqlite(connection)


@dataclass(frozen=True)
class PostgresRows:
    """Some rows in a database of a server."""

    folder: Path
    rows: int
    database: Database
    name: str = "PostgreSQL"

    @property
    def config(self) -> Path:
        return self.folder / f"reading-postgres-{self.rows}.yaml"

    def fill(self) -> float:
        """Write the rows and their index, in bulk; the exchanges a second that a proxy indexes."""
        settings = {
            "database_url": self.database.url,
            "allow_private_database_url": True,
            "ssl_root_cert": str(self.database.authority),
        }
        self.config.write_text(
            "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
            + journals.configuration(self.folder)
        )
        with self.database.connection() as connection:
            postgres_schema.prepare(connection, raw_driver.TABLES, "the benchmark's database")
            made = varied(self.rows, seed=self.rows)
            while batch := list(islice(made, BATCH)):
                responses, exchanges = raw_driver.values(batch)
                tables = raw_driver.TABLES
                _copy(connection, tables.responses, raw_driver.RESPONSE_COLUMNS, responses)
                _copy(connection, tables.exchanges, raw_driver.EXCHANGE_COLUMNS, exchanges)
                _copy_index(connection, batch)
            connection.execute(LEAVE_OUT)
            rate = INDEXED / indexed(self.config)
            connection.execute("VACUUM (ANALYZE)")
        return rate

    @contextmanager
    def plain(self) -> Iterator[Plain]:
        with self.database.connection() as connection:
            yield _Postgres(connection)


def indexed(config: Path) -> float:
    """Seconds that it takes to index every exchange."""
    settings = load_config(config)
    start = time.perf_counter()
    with closing(open_index(settings.database, settings.tables)) as index:
        for _ in index_missing(index):
            pass
    return time.perf_counter() - start


class _Sqlite:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return list(self._connection.execute(sql, values))


class _Postgres:
    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql.replace("?", "%s"), values).fetchall()


def _copy_index(connection: psycopg.Connection[tuple[Any, ...]], records: Sequence[Record]) -> None:
    entries = [Entry(_texts(record)) for record in records]
    _copy(
        connection,
        "openai_exchanges_search",
        ENTRY,
        [tuple(getattr(entry, name) for name in ENTRY) for entry in entries],
    )
    _copy(
        connection,
        "openai_exchanges_search_words",
        ("exchange_id", "part", "words"),
        [
            (entry.exchange_id, number, format_tsvector(part))
            for entry in entries
            for number, part in enumerate(entry.chunks(lambda: None))
        ],
    )


def _texts(record: Record) -> Row:
    row, response = record.exchange, record.response
    return Row(
        exchange_id=row.exchange_id,
        tenant_id=row.tenant_id,
        started_at=row.started_at,
        state=row.state,
        output_text=row.output_text,
        response_object=response.response_object if response else None,
    )


def _copy(
    connection: psycopg.Connection[tuple[Any, ...]],
    table: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    with connection.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
