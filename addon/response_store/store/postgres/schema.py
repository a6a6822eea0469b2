"""The schema of a PostgreSQL database: made, checked, migrated. One transaction, safe for many.

Proxies that start together wait for each other. Nothing is made that is there, so that a role
needs no right to make anything where the schema is complete. A name means what it means to every
statement: the first table of that name on the search_path.
"""

from __future__ import annotations

import time
import uuid

from response_store.config import TableNames
from response_store.errors import PermanentStoreError
from response_store.store import schema_state
from response_store.store.columns import quote_name
from response_store.store.postgres.statements import build_postgres_statements, fill
from response_store.store.postgres.suitability import find_problems
from response_store.store.postgres.values import Connection
from response_store.store.schema_state import SHARED_VERSION

_LOCK = 0x7265_7370_6F6E_7365  # any number that all of us have in common
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"""


def prepare(connection: Connection, tables: TableNames, where: str) -> str:
    """Make, migrate or check the schema, and return the database's own id. The names are folded.

    Raises PermanentStoreError, with every problem at once, or the driver's errors.
    """
    catalogue = _PostgresCatalogue(connection)
    with connection.transaction():
        if problems := find_problems(connection, tables):
            raise PermanentStoreError(f"{where}: {'; '.join(problems)}")
        connection.execute("SET LOCAL lock_timeout = '20s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        schema_state.check_schema(catalogue, tables, where)
        _make_shared_tables(catalogue, tables)
        _migrate_own_tables(catalogue, tables)
        return _get_or_set_database_id(connection, tables)


class _PostgresCatalogue:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def columns(self, table: str) -> set[str]:
        return {name for (name,) in self.connection.execute(_COLUMNS, (quote_name(table),))}

    def highest(self, table: str) -> object:
        row = self.connection.execute(f"SELECT max(version) FROM {quote_name(table)}").fetchone()
        return row[0] if row else None


def _make_shared_tables(catalogue: _PostgresCatalogue, tables: TableNames) -> None:
    _make_if_missing(catalogue, tables, tables.responses, "responses.sql")
    _make_if_missing(catalogue, tables, tables.conversations, "conversations.sql")
    _make_if_missing(catalogue, tables, tables.responses_version, "responses_version.sql")
    if schema_state.read_version(catalogue, tables.responses_version) is None:
        _stamp(catalogue.connection, tables.responses_version, SHARED_VERSION)


def _migrate_own_tables(catalogue: _PostgresCatalogue, tables: TableNames) -> None:
    connection, version = catalogue.connection, tables.exchanges_version
    _make_if_missing(catalogue, tables, version, "exchanges_version.sql")
    for number, name in schema_state.list_pending_migrations(catalogue, tables):
        for statement in fill(name, tables):
            connection.execute(statement)
        connection.execute(f"DELETE FROM {quote_name(version)}")
        _stamp(connection, version, number)


def _make_if_missing(
    catalogue: _PostgresCatalogue, tables: TableNames, table: str, name: str
) -> None:
    if not catalogue.columns(table):
        for statement in fill(name, tables):
            catalogue.connection.execute(statement)


def _get_or_set_database_id(connection: Connection, tables: TableNames) -> str:
    """Return the id that the database has, or give it one."""
    known = build_postgres_statements(tables)
    row = connection.execute(known.read_database_id).fetchone()
    if row is not None and row[0] is not None:
        return str(row[0])
    database_id = str(uuid.uuid4())
    connection.execute(known.set_database_id, (time.time(), database_id))
    return database_id


def _stamp(connection: Connection, table: str, version: int) -> None:
    connection.execute(f"INSERT INTO {quote_name(table)} (version) VALUES (%s)", (version,))
