"""The schema of a PostgreSQL database: made, checked, migrated. One transaction, safe for many.

Proxies that start together wait for each other. Nothing is made that is there, so that a role
needs no right to make anything where the schema is complete. A name means what it means to every
statement: the first table of that name on the search_path.
"""

from __future__ import annotations

from response_store.config import TableNames
from response_store.errors import PermanentStoreError
from response_store.store.postgres_statements import fill
from response_store.store.postgres_values import Connection
from response_store.store.sqlite_statements import EXCHANGE_COLUMNS, RESPONSE_COLUMNS, quoted

SHARED_VERSION = 1
MIGRATIONS = ("exchanges_001.sql",)
_CONVERSATION_COLUMNS = ("conversation_id", "tenant_id", "created_at", "metadata", "messages")
_LOCK = 0x7265_7370_6F6E_7365  # any number that all of us have in common
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"""


def prepare(connection: Connection, tables: TableNames, where: str) -> None:
    """Bring the schema up to date. The names are folded.

    Raises PermanentStoreError, with every problem at once, or the driver's errors.
    """
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '20s'")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        problems = _version_problems(connection, tables) + _column_problems(connection, tables)
        if problems:
            raise PermanentStoreError(
                f"{where}: {'; '.join(problems)}. Name other tables in the configuration, or mend "
                "these"
            )
        _shared_tables(connection, tables)
        _own_table(connection, tables)


def _version_problems(connection: Connection, tables: TableNames) -> list[str]:
    shared = _version(connection, tables.responses_version)
    own = _version(connection, tables.exchanges_version)
    problems = []
    if shared not in (None, SHARED_VERSION):
        problems.append(_differs(tables.responses_version, shared, SHARED_VERSION))
    if own is not None and not _is_known(own):
        problems.append(_differs(tables.exchanges_version, own, len(MIGRATIONS)))
    return problems


def _is_known(version: int | str) -> bool:
    return isinstance(version, int) and 0 <= version <= len(MIGRATIONS)


def _differs(table: str, stored: object, known: int) -> str:
    return (
        f"{table} says version {stored}, this program knows {known}: use the release that made it"
    )


def _column_problems(connection: Connection, tables: TableNames) -> list[str]:
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


def _own_problems(connection: Connection, tables: TableNames) -> list[str]:
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


def _shared_tables(connection: Connection, tables: TableNames) -> None:
    _make(connection, tables, tables.responses, "responses.sql")
    _make(connection, tables, tables.conversations, "conversations.sql")
    _make(connection, tables, tables.responses_version, "responses_version.sql")
    if _version(connection, tables.responses_version) is None:
        _stamp(connection, tables.responses_version, SHARED_VERSION)


def _own_table(connection: Connection, tables: TableNames) -> None:
    version = tables.exchanges_version
    _make(connection, tables, version, "exchanges_version.sql")
    stored = int(_version(connection, version) or 0)
    for number, name in enumerate(MIGRATIONS[stored:], start=stored + 1):
        for statement in fill(name, tables):
            connection.execute(statement)
        connection.execute(f"DELETE FROM {quoted(version)}")
        _stamp(connection, version, number)


def _make(connection: Connection, tables: TableNames, table: str, name: str) -> None:
    if not _columns(connection, table):
        for statement in fill(name, tables):
            connection.execute(statement)


def _columns(connection: Connection, table: str) -> set[str]:
    return {name for (name,) in connection.execute(_COLUMNS, (quoted(table),))}


def _version(connection: Connection, table: str) -> int | str | None:
    """The version that a table tells; None where there is no such table, or nothing in it."""
    columns = _columns(connection, table)
    if not columns:
        return None
    if "version" not in columns:
        return "nothing"
    row = connection.execute(f"SELECT max(version) FROM {quoted(table)}").fetchone()
    stored = row[0] if row else None
    return stored if stored is None or isinstance(stored, int) else str(stored)


def _stamp(connection: Connection, table: str, version: int) -> None:
    connection.execute(f"INSERT INTO {quoted(table)} (version) VALUES (%s)", (version,))
