"""Make, check and migrate the schema of a PostgreSQL database, in one transaction.

Looked at by the store as it opens, by readers and by a check of the configuration: an encoding
without most characters, functions that are missing, rows that are hidden from the role.

Proxies that start together wait for each other. Nothing is made that is there, so that a role
needs no right to make anything where the schema is complete. A name means what it means to every
statement: the first table of that name on the search_path.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from response_store.backends.postgres.connection import Connection
from response_store.config import TableNames
from response_store.errors import PermanentStoreError
from response_store.model.tables import quote_name
from response_store.queries import schema_state
from response_store.queries.schema_state import SHARED_VERSION
from response_store.queries.statements import Statements, build_statements
from response_store.resources import read_schema


def fold_names(tables: TableNames) -> TableNames:
    """Return the names as PostgreSQL takes them where they are not quoted: in lower case."""
    return TableNames(
        tables.responses.lower(), tables.conversations.lower(), tables.exchanges.lower()
    )


def fill(name: str, tables: TableNames) -> list[str]:
    """Read a file of `schemas/postgres` with its placeholders filled, as single statements."""
    names = {key: quote_name(value) for key, value in tables.by_placeholder().items()}
    text = read_schema(f"postgres/{name}").format(**names)
    bare = "\n".join(line.partition("--")[0].rstrip() for line in text.splitlines())
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def build_postgres_statements(tables: TableNames) -> Statements:
    """Return the statements for these tables, whose names are folded."""
    return build_statements(tables, "%s")


def execute_returning(
    cursor: psycopg.Cursor[tuple[Any, ...]], statement: str, values: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...] | None]:
    """Yield the only row, or None, that a statement returns for each of the values."""
    if not values:
        return
    cursor.executemany(statement, values, returning=True)
    more: bool | None = True
    while more:
        yield cursor.fetchone()
        more = cursor.nextset()


# Without an encoding (SQL_ASCII) the bytes of UTF-8 are kept as they are.
_ENCODINGS = ("UTF8", "SQL_ASCII")
_FUNCTIONS = ("pg_advisory_xact_lock(bigint)",)
_MISSING = "SELECT to_regprocedure(%s) IS NULL"
# The policies that let this role see rows: those for everybody, and for roles that it belongs to.
_HIDDEN = """
SELECT row_security_active(to_regclass(%(table)s)::oid) AND NOT EXISTS (
    SELECT 1 FROM pg_policy
    WHERE polrelid = to_regclass(%(table)s) AND polpermissive
      AND (0 = ANY (polroles) OR EXISTS (
        SELECT 1 FROM unnest(polroles) AS admitted
        WHERE admitted <> 0 AND pg_has_role(admitted, 'USAGE'))))
WHERE to_regclass(%(table)s) IS NOT NULL"""


def find_problems(connection: Connection, tables: TableNames) -> list[str]:
    """Return what keeps a store from working there, each with its fix; the names are folded.

    Reads only. Raises the driver's errors.
    """
    return [
        *_find_encoding_problems(connection),
        *_find_missing_functions(connection),
        *find_hidden_tables(connection, tables),
    ]


def find_hidden_tables(connection: Connection, tables: TableNames) -> Iterator[str]:
    """Yield a problem for each table whose every row is hidden from this role."""
    for table in (tables.responses, tables.exchanges):
        row = connection.execute(_HIDDEN, {"table": quote_name(table)}).fetchone()
        if row is not None and row[0]:
            yield (
                f"row level security is on for table {table}, and no policy admits this role: its"
                " rows are hidden, and none can be written. Its owner can CREATE POLICY for the"
                " role, or turn it off: ALTER TABLE … DISABLE ROW LEVEL SECURITY"
            )


def _find_encoding_problems(connection: Connection) -> Iterator[str]:
    encoding = connection.info.parameter_status("server_encoding") or "UTF8"
    if encoding.upper().replace("-", "") not in _ENCODINGS:
        yield (
            f"the database's encoding is {encoding}, which lacks most characters: what holds them"
            " could not be stored. Make one as a superuser: CREATE DATABASE name ENCODING 'UTF8'"
            " TEMPLATE template0"
        )


def _find_missing_functions(connection: Connection) -> Iterator[str]:
    for function in _FUNCTIONS:
        row = connection.execute(_MISSING, (function,)).fetchone()
        if row is None or row[0]:
            yield (
                f"the server lacks the function {function}: it speaks PostgreSQL's protocol and is"
                " another database. Name a PostgreSQL server"
            )


_LOCK = 0x7265_7370_6F6E_7365  # any number that all of us have in common
_INVOKERS_SINCE = 150_000  # of the server: views with the rights of those who read them
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"""


def prepare(connection: Connection, tables: TableNames, label: str) -> str:
    """Make, migrate or check the schema, and return the database's own id. The names are folded.

    Raises PermanentStoreError, with every problem at once, or the driver's errors.
    """
    catalogue = _PostgresCatalogue(connection)
    with connection.transaction():
        if problems := find_problems(connection, tables):
            raise PermanentStoreError(f"{label}: {'; '.join(problems)}")
        connection.execute("SET LOCAL lock_timeout = '20s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        schema_state.check_schema(catalogue, tables, label)
        _make_shared_tables(catalogue, tables)
        _migrate_own_tables(catalogue, tables, label)
        return _get_or_set_database_id(connection, tables)


class _PostgresCatalogue:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def columns(self, table: str) -> set[str]:
        return {name for (name,) in self.connection.execute(_COLUMNS, (quote_name(table),))}

    def highest(self, table: str) -> object:
        row = self.connection.execute(f"SELECT max(version) FROM {quote_name(table)}").fetchone()
        return row[0] if row else None

    def is_taken(self, name: str) -> bool:
        # A view is a type as well.
        statement = "SELECT to_regclass(%(name)s) IS NOT NULL OR to_regtype(%(name)s) IS NOT NULL"
        row = self.connection.execute(statement, {"name": quote_name(name)}).fetchone()
        return bool(row and row[0])


def _make_shared_tables(catalogue: _PostgresCatalogue, tables: TableNames) -> None:
    _make_if_missing(catalogue, tables, tables.responses, "responses.sql")
    _make_if_missing(catalogue, tables, tables.conversations, "conversations.sql")
    _make_if_missing(catalogue, tables, tables.responses_version, "responses_version.sql")
    if schema_state.read_version(catalogue, tables.responses_version) is None:
        _stamp(catalogue.connection, tables.responses_version, SHARED_VERSION)


def _migrate_own_tables(catalogue: _PostgresCatalogue, tables: TableNames, label: str) -> None:
    connection, version = catalogue.connection, tables.exchanges_version
    _make_if_missing(catalogue, tables, version, "exchanges_version.sql")
    for number, name in schema_state.list_pending_migrations(catalogue, tables):
        for statement, view in schema_state.list_possible(catalogue, fill(name, tables), label):
            connection.execute(statement)
            if view is not None and connection.info.server_version >= _INVOKERS_SINCE:
                # Else whoever may read the view sees all rows, also where policies hide some.
                connection.execute(f"ALTER VIEW {quote_name(view)} SET (security_invoker = true)")
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
