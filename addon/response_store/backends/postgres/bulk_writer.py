"""Write rows in bulk into a PostgreSQL database, while proxies may be writing to it as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg

from response_store.backends.postgres import schema as postgres_schema
from response_store.backends.postgres.connection import PostgresConnections
from response_store.backends.postgres.errors import translate_errors
from response_store.backends.postgres.resolver import Resolver, resolve_by_system
from response_store.backends.postgres.schema import (
    build_postgres_statements,
    execute_returning,
    fold_names,
)
from response_store.backends.postgres.watchdog import Watchdog
from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.model.tables import RESPONSES, Row, Table, TableColumn
from response_store.transfer.bulk_writer import build_upsert, merge_rows

_Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]


class PostgresBulkWriter:
    """A `BulkWriter` of a database whose tables are made where they are missing."""

    def __init__(
        self, target: PostgresTarget, tables: TableNames, resolver: Resolver = resolve_by_system
    ) -> None:
        self.name = f"PostgreSQL {target.describe()}"
        names = fold_names(tables)
        self._names = {
            "responses": names.responses,
            "conversations": names.conversations,
            "exchanges": names.exchanges,
        }
        self._statements = build_postgres_statements(names)
        self._watchdog = Watchdog(self.name)
        try:
            connections = PostgresConnections(target, self._watchdog, resolver=resolver)
            self._connection = connections.connect()
            try:
                with translate_errors(self.name), self._watchdog.watching(self._connection):
                    postgres_schema.prepare(self._connection, names, self.name)
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            self._watchdog.close()
            raise

    def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Commit rows of one table, each as far as the rules let it."""
        # In the order of keys, as the stores write them, so that none locks another out.
        rows = sorted(rows, key=table.key_of)
        with self._transaction(rows) as cursor:
            if table is RESPONSES:
                self._write_responses(cursor, rows)
            else:
                cursor.executemany(
                    build_upsert(table, self._names[table.word], _write_placeholder), rows
                )

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._connection.close()
        self._watchdog.close()

    @contextmanager
    def _transaction(self, rows: Sequence[Row]) -> Iterator[_Cursor]:
        weight = sum(len(value) for row in rows for value in row if isinstance(value, str | bytes))
        with (
            translate_errors(self.name),
            self._watchdog.watching(self._connection, weight),
            self._connection.transaction(),
        ):
            yield self._connection.cursor()

    def _write_responses(self, cursor: _Cursor, rows: Sequence[Row]) -> None:
        """Add the rows that are not there; lock the others and merge them."""
        first = {RESPONSES.key_of(row): row for row in reversed(rows)}
        added = execute_returning(cursor, self._statements.add_response, list(first.values()))
        new = {key for key, added_row in zip(first, added, strict=True) if added_row is not None}
        rest = [
            row for row in rows if (key := RESPONSES.key_of(row)) not in new or row != first[key]
        ]
        keys = sorted({RESPONSES.key_of(row) for row in rest})
        locked = execute_returning(cursor, self._statements.lock_response, keys)
        stored = {key: row for key, row in zip(keys, locked, strict=True) if row is not None}
        if changed := merge_rows(stored, rest):
            cursor.executemany(self._statements.replace_response, changed)


def _write_placeholder(_: TableColumn) -> str:
    return "%s"
