"""The schema of a SQLite file: made, checked, migrated. One transaction, safe for many proxies.

The shared tables keep praxis-proxy/ai's version; ours has its own, with ordered migrations.
"""

from __future__ import annotations

import sqlite3

from response_store.config import TableNames
from response_store.errors import PermanentStoreError
from response_store.store.sqlite_statements import (
    EXCHANGE_COLUMNS,
    RESPONSE_COLUMNS,
    fill,
    quoted,
)

SHARED_VERSION = 1
MIGRATIONS = ("exchanges_001.sql",)
_CONVERSATION_COLUMNS = ("conversation_id", "tenant_id", "created_at", "metadata", "messages")


def prepare(connection: sqlite3.Connection, tables: TableNames, where: str) -> None:
    """Bring the schema up to date.

    Raises PermanentStoreError, with every problem at once, or the driver's errors.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        problems = _version_problems(connection, tables) or _column_problems(connection, tables)
        if problems:
            raise PermanentStoreError(
                f"SQLite {where}: {'; '.join(problems)}. Name other tables in the "
                "configuration, or mend these"
            )
        _shared_tables(connection, tables)
        _own_table(connection, tables)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version_problems(connection: sqlite3.Connection, tables: TableNames) -> list[str]:
    shared = _version(connection, tables.responses_version)
    own = _version(connection, tables.exchanges_version)
    problems = []
    if shared not in (None, SHARED_VERSION):
        problems.append(_differs(tables.responses_version, shared, SHARED_VERSION))
    if own is not None and not (isinstance(own, int) and 0 <= own <= len(MIGRATIONS)):
        problems.append(_differs(tables.exchanges_version, own, len(MIGRATIONS)))
    return problems


def _differs(table: str, stored: object, known: int) -> str:
    return (
        f"{table} says version {stored}, this program knows {known}: use the release that made it"
    )


def _column_problems(connection: sqlite3.Connection, tables: TableNames) -> list[str]:
    """What is wrong with tables that are there already; those that are not will be made."""
    problems = []
    for table, expected in (
        (tables.responses, RESPONSE_COLUMNS),
        (tables.conversations, _CONVERSATION_COLUMNS),
    ):
        columns = _columns(connection, table)
        if columns and (missing := [name for name in expected if name not in columns]):
            problems.append(f"table {table} lacks {', '.join(missing)}")
    return problems + _own_problems(connection, tables)


def _own_problems(connection: sqlite3.Connection, tables: TableNames) -> list[str]:
    table, version = tables.exchanges, _version(connection, tables.exchanges_version)
    columns = _columns(connection, table)
    if not version:
        foreign = f"table {table} is not ours: {tables.exchanges_version} knows nothing of it"
        return [foreign] if columns else []
    if not columns:
        return [f"table {table} is missing, though {tables.exchanges_version} says that it is here"]
    missing = [name for name in EXCHANGE_COLUMNS if name not in columns]
    if version == len(MIGRATIONS) and missing:
        return [f"table {table} lacks {', '.join(missing)}"]
    return []


def _shared_tables(connection: sqlite3.Connection, tables: TableNames) -> None:
    for statement in fill("shared_tables.sql", tables):
        connection.execute(statement)
    if _version(connection, tables.responses_version) is None:
        _stamp(connection, tables.responses_version, SHARED_VERSION)


def _own_table(connection: sqlite3.Connection, tables: TableNames) -> None:
    version = tables.exchanges_version
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quoted(version)} (version BIGINT NOT NULL PRIMARY KEY)"
    )
    stored = int(_version(connection, version) or 0)
    for number, name in enumerate(MIGRATIONS[stored:], start=stored + 1):
        for statement in fill(name, tables):
            connection.execute(statement)
        connection.execute(f"DELETE FROM {quoted(version)}")
        _stamp(connection, version, number)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return {name.lower() for (name,) in rows}


def _version(connection: sqlite3.Connection, table: str) -> int | str | None:
    """The version that a table tells; None where there is no such table, or nothing in it."""
    columns = _columns(connection, table)
    if not columns:
        return None
    if "version" not in columns:
        return "nothing"
    (stored,) = connection.execute(f"SELECT max(version) FROM {quoted(table)}").fetchone()
    return stored if stored is None or isinstance(stored, int) else str(stored)


def _stamp(connection: sqlite3.Connection, table: str, version: int) -> None:
    connection.execute(f"INSERT INTO {quoted(table)} (version) VALUES (?)", (version,))
