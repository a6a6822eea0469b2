"""The schema of a SQLite file: made, checked, migrated. One transaction, safe for many proxies."""

from __future__ import annotations

import sqlite3

from response_store.config import TableNames
from response_store.store import schema_state
from response_store.store.columns import quoted
from response_store.store.schema_state import SHARED_VERSION
from response_store.store.sqlite_statements import fill


def prepare(connection: sqlite3.Connection, tables: TableNames, where: str) -> None:
    """Bring the schema up to date.

    Raises PermanentStoreError, with every problem at once, or the driver's errors.
    """
    catalogue = _Catalogue(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        schema_state.check(catalogue, tables, f"SQLite {where}")
        _shared_tables(catalogue, tables)
        _own_table(catalogue, tables)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class _Catalogue:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def columns(self, table: str) -> set[str]:
        rows = self.connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        return {name.lower() for (name,) in rows}

    def highest(self, table: str) -> object:
        statement = f"SELECT max(version) FROM {quoted(table)}"
        (stored,) = self.connection.execute(statement).fetchone()
        return stored


def _shared_tables(catalogue: _Catalogue, tables: TableNames) -> None:
    for statement in fill("shared_tables.sql", tables):
        catalogue.connection.execute(statement)
    if schema_state.version(catalogue, tables.responses_version) is None:
        _stamp(catalogue.connection, tables.responses_version, SHARED_VERSION)


def _own_table(catalogue: _Catalogue, tables: TableNames) -> None:
    connection, version = catalogue.connection, tables.exchanges_version
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quoted(version)} (version BIGINT NOT NULL PRIMARY KEY)"
    )
    for number, name in schema_state.pending(catalogue, tables):
        for statement in fill(name, tables):
            connection.execute(statement)
        connection.execute(f"DELETE FROM {quoted(version)}")
        _stamp(connection, version, number)


def _stamp(connection: sqlite3.Connection, table: str, version: int) -> None:
    connection.execute(f"INSERT INTO {quoted(table)} (version) VALUES (?)", (version,))
