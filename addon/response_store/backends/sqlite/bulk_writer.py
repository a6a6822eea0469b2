"""Write rows in bulk into a SQLite file, while proxies may be writing to it as well."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from response_store.backends.sqlite import schema as sqlite_schema
from response_store.backends.sqlite.connection import connect
from response_store.backends.sqlite.errors import begin_immediate, translate_errors
from response_store.config import Durability, SqliteTarget, TableNames
from response_store.model.tables import (
    RESPONSES,
    ColumnKind,
    Key,
    Row,
    Table,
    TableColumn,
    quote_name,
)
from response_store.transfer.bulk_writer import build_upsert, merge_rows

_WAL_PAGES = 4096  # 16 MiB
_BUSY_MS = 20_000  # a proxy's checkpoint or batch passes


class SqliteBulkWriter:
    """A `BulkWriter` of a file, which is made where it is missing."""

    def __init__(self, target: SqliteTarget, tables: TableNames) -> None:
        self.name = f"SQLite {target.describe()}"
        self._names = {
            "responses": tables.responses,
            "conversations": tables.conversations,
            "exchanges": tables.exchanges,
        }
        with translate_errors(self.name):
            connection = connect(target, Durability.POWER, tables)
            try:
                connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
                connection.text_factory = _decode_text
                sqlite_schema.prepare(connection, tables, self.name)
            except BaseException:
                connection.close()
                raise
        self._connection = connection

    def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Commit rows of one table, each as far as the rules let it."""
        with translate_errors(self.name), begin_immediate(self._connection):
            if table is RESPONSES:
                rows = merge_rows(self._stored(rows), rows)
            values = ([_adapt_value(value) for value in row] for row in rows)
            self._connection.executemany(
                build_upsert(table, self._names[table.word], _write_placeholder), values
            )

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def _stored(self, rows: Sequence[Row]) -> Mapping[Key, Row]:
        name = quote_name(self._names["responses"])
        statement = (
            f"SELECT {', '.join(RESPONSES.names)} FROM {name} WHERE tenant_id = ? AND id = ?"
        )
        stored = {}
        for key in {RESPONSES.key_of(row) for row in rows}:
            row = self._connection.execute(
                statement, [_adapt_value(part) for part in key]
            ).fetchone()
            if row is not None:
                stored[key] = row
        return stored


def _write_placeholder(column: TableColumn) -> str:
    return "CAST(? AS TEXT)" if column.kind in (ColumnKind.TEXT, ColumnKind.JSON) else "?"


def _adapt_value(value: Any) -> Any:
    """Return a value that the driver takes: it refuses lone
    surrogates in a text, but not its bytes.
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return value


def _decode_text(stored: bytes) -> str:
    try:
        return stored.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return stored.decode("utf-8", "replace")
