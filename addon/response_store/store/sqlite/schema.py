"""The schema of a SQLite file: made, checked, migrated. One transaction, safe for many proxies."""

from __future__ import annotations

import sqlite3
import time
import uuid

from response_store.config import TableNames
from response_store.errors import PermanentStoreError
from response_store.store import schema_state
from response_store.store.columns import quote_name
from response_store.store.schema_state import SHARED_VERSION
from response_store.store.sqlite.statements import fill
from response_store.store.sqlite.transaction import begin_immediate
from response_store.store.statements import build_statements


def prepare(connection: sqlite3.Connection, tables: TableNames, where: str) -> str:
    """Make, migrate or check the schema, and return the database's own id.

    Raises PermanentStoreError, with every problem at once, or the driver's errors.
    """
    catalogue = _SqliteCatalogue(connection)
    with begin_immediate(connection):
        schema_state.check_schema(catalogue, tables, where)
        _make_shared_tables(catalogue, tables)
        _migrate_own_tables(catalogue, tables)
        _update_search_words(connection, tables)
        return _get_or_set_database_id(connection, tables)


def has_fts5(connection: sqlite3.Connection) -> bool:
    """Return whether this SQLite was built with full-text search."""
    return bool(
        connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone()
    )


def require_fts5(connection: sqlite3.Connection, where: str) -> None:
    """Raise PermanentStoreError where it was not: all but search works without."""
    if not has_fts5(connection):
        raise PermanentStoreError(
            f"{where}: searching takes FTS5, which the SQLite of this Python was built without. "
            "Take another Python, such as that of python.org; all but search works with this one"
        )


def has_search_words(connection: sqlite3.Connection, tables: TableNames) -> bool:
    """Return whether there is a full-text table, kept in step by the trigger for deletions."""
    trigger = (tables.exchanges_search_words_trigger,)
    found = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = ?"
    return connection.execute(found, trigger).fetchone() is not None


class _SqliteCatalogue:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def columns(self, table: str) -> set[str]:
        rows = self.connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        return {name.lower() for (name,) in rows}

    def highest(self, table: str) -> object:
        statement = f"SELECT max(version) FROM {quote_name(table)}"
        (stored,) = self.connection.execute(statement).fetchone()
        return stored


def _make_shared_tables(catalogue: _SqliteCatalogue, tables: TableNames) -> None:
    for statement in fill("shared_tables.sql", tables):
        catalogue.connection.execute(statement)
    if schema_state.read_version(catalogue, tables.responses_version) is None:
        _stamp(catalogue.connection, tables.responses_version, SHARED_VERSION)


def _migrate_own_tables(catalogue: _SqliteCatalogue, tables: TableNames) -> None:
    connection, version = catalogue.connection, tables.exchanges_version
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quote_name(version)} (version BIGINT NOT NULL PRIMARY KEY)"
    )
    for number, name in schema_state.list_pending_migrations(catalogue, tables):
        for statement in fill(name, tables):
            connection.execute(statement)
        connection.execute(f"DELETE FROM {quote_name(version)}")
        _stamp(connection, version, number)


def _update_search_words(connection: sqlite3.Connection, tables: TableNames) -> None:
    """Make the full-text table, whose index is filled later.

    Without FTS5 it is neither made nor kept up: what fires at a deletion would fail, so it goes,
    and the index is made anew by who has FTS5.
    """
    has_table, can_make = has_search_words(connection, tables), has_fts5(connection)
    if has_table and not can_make:
        connection.execute(f"DROP TRIGGER {quote_name(tables.exchanges_search_words_trigger)}")
    elif can_make and not has_table:
        connection.execute(f"DELETE FROM {quote_name(tables.exchanges_search)}")
        connection.execute(f"DROP TABLE IF EXISTS {quote_name(tables.exchanges_search_words)}")
        for statement in fill("search_words.sql", tables):
            connection.execute(statement)


def _get_or_set_database_id(connection: sqlite3.Connection, tables: TableNames) -> str:
    """Return the id that the database has, or give it one."""
    statements = build_statements(tables, "?")
    row = connection.execute(statements.read_database_id).fetchone()
    if row is not None and row[0] is not None:
        return str(row[0])
    database_id = str(uuid.uuid4())
    connection.execute(statements.set_database_id, (time.time(), database_id))
    return database_id


def _stamp(connection: sqlite3.Connection, table: str, version: int) -> None:
    connection.execute(f"INSERT INTO {quote_name(table)} (version) VALUES (?)", (version,))
