"""From what a configuration names to an end of a transfer: one that is read, one that is written.

psycopg is imported only where PostgreSQL is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from response_store.config.model import SqliteTarget
from response_store.errors import StoreError
from response_store.store.sqlite.connection import identity
from response_store.store.sqlite.reading import SqliteReading

if TYPE_CHECKING:
    from response_store.config.postgres_target import PostgresTarget
    from response_store.config.tables import TableNames
    from response_store.store.reading import Reading
    from response_store.transfer.writing import Writing

_WHERE = """
SELECT system_identifier, current_database(), '{responses}'::regclass::oid::bigint,
    '{exchanges}'::regclass::oid::bigint FROM pg_control_system()"""
_SECONDS = 300.0  # that a statement may take: counting a large table does


@contextmanager
def read_end(target: SqliteTarget | PostgresTarget, tables: TableNames) -> Iterator[Reading]:
    """A database to read from. Raises StoreError."""
    if isinstance(target, SqliteTarget):
        if target.path is None:
            raise _in_memory()
        with SqliteReading(target.path, tables, shown_as=target.describe()) as reading:
            yield reading
    else:
        from response_store.store.postgres.reading import PostgresReading  # noqa: PLC0415 (slow)

        with closing(PostgresReading(target, tables, seconds=_SECONDS)) as reading:
            yield reading


@contextmanager
def written_end(
    target: SqliteTarget | PostgresTarget, tables: TableNames
) -> Iterator[tuple[Reading, Writing]]:
    """A database to write to, its tables made where they are missing. Raises StoreError."""
    with closing(_writing(target, tables)) as writing, read_end(target, tables) as reading:
        yield reading, writing


def are_one_file(one: SqliteTarget | PostgresTarget, other: SqliteTarget | PostgresTarget) -> bool:
    """Whether both are the same SQLite file, whichever path leads there."""
    if not (isinstance(one, SqliteTarget) and isinstance(other, SqliteTarget)):
        return False
    found = identity(one)
    return found is not None and found == identity(other)


def are_same_names(one: TableNames, other: TableNames) -> bool:
    """Whether both mean the same tables, as databases read names: in any case."""
    return [name.lower() for name in _names(one)] == [name.lower() for name in _names(other)]


def are_one_server(one: Reading, other: Reading) -> bool:
    """Whether both read the same tables of PostgreSQL, whichever URL leads there."""
    if isinstance(one, SqliteReading) or isinstance(other, SqliteReading):
        return False
    try:
        return one.row(_WHERE) == other.row(_WHERE)
    except StoreError:  # a server that tells no role which it is
        return False


def _writing(target: SqliteTarget | PostgresTarget, tables: TableNames) -> Writing:
    if isinstance(target, SqliteTarget):
        from response_store.transfer.sqlite_writing import SqliteWriting  # noqa: PLC0415 (one end)

        if target.path is None:
            raise _in_memory()
        return SqliteWriting(target, tables)
    from response_store.transfer.postgres_writing import PostgresWriting  # noqa: PLC0415 (slow)

    return PostgresWriting(target, tables)


def _in_memory() -> StoreError:
    return StoreError(
        "An in-memory database is its proxy's alone: nothing can be read from it, or brought there."
        " Name a file."
    )


def _names(tables: TableNames) -> tuple[str, str, str]:
    return tables.responses, tables.conversations, tables.exchanges
