"""The two ends of a transfer: a database that is read, and one that is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from response_store.errors import StoreError
from response_store.store.backends import DatabaseTarget, open_reader, open_writer
from response_store.store.sqlite.connection import identify_file

if TYPE_CHECKING:
    from response_store.config.tables import TableNames
    from response_store.store.reading import Reader
    from response_store.transfer.writing import BulkWriter

_WHERE = """
SELECT system_identifier, current_database(), '{responses}'::regclass::oid::bigint,
    '{exchanges}'::regclass::oid::bigint FROM pg_control_system()"""
_STATEMENT_SECONDS = 300.0  # that a statement may take: counting a large table does


@contextmanager
def open_source(target: DatabaseTarget, tables: TableNames) -> Iterator[Reader]:
    """Open a database to read from. Raises StoreError."""
    reader = open_reader(
        target, tables, shown_as=target.describe(), statement_seconds=_STATEMENT_SECONDS
    )
    with closing(reader):
        yield reader


@contextmanager
def open_target(target: DatabaseTarget, tables: TableNames) -> Iterator[tuple[Reader, BulkWriter]]:
    """Open a database to write to, and create tables that are missing. Raises StoreError."""
    with closing(open_writer(target, tables)) as writing, open_source(target, tables) as reader:
        yield reader, writing


def are_one_file(one: DatabaseTarget, other: DatabaseTarget) -> bool:
    """Return whether both are the same SQLite file, whichever paths lead there."""
    identity = identify_file(one.path)
    return identity is not None and identity == identify_file(other.path)


def are_same_names(one: TableNames, other: TableNames) -> bool:
    """Return whether both name the same tables; databases ignore case in names."""
    return [name.lower() for name in _list_names(one)] == [
        name.lower() for name in _list_names(other)
    ]


def are_one_server(one: Reader, other: Reader) -> bool:
    """Return whether both read the same tables of PostgreSQL, whichever URLs lead there."""
    if "sqlite" in (one.dialect, other.dialect):
        return False
    try:
        return one.row(_WHERE) == other.row(_WHERE)
    except StoreError:  # a server that tells no role which it is
        return False


def _list_names(tables: TableNames) -> tuple[str, str, str]:
    return tables.responses, tables.conversations, tables.exchanges
