"""A database that is looked at and removed from: two connections, for one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.closes import Closes
from response_store.config import SqliteTarget, TableNames
from response_store.pruning.removing import Remover
from response_store.pruning.sqlite_remover import SqliteRemover
from response_store.store.reading import Reading
from response_store.store.sqlite.connection import BUSY_TIMEOUT_MS
from response_store.store.sqlite.reading import SqliteReading

if TYPE_CHECKING:  # psycopg is imported only where PostgreSQL is used
    from response_store.config.postgres_target import PostgresTarget


class Database(Closes):
    """What is measured by `reading` goes by way of `remover`. A context manager."""

    def __init__(self, reading: Reading, remover: Remover) -> None:
        self.reading = reading
        self.remover = remover

    def close(self) -> None:
        """Close both connections; closing twice is fine."""
        self.remover.close()
        self.reading.close()


def open_reading(
    target: SqliteTarget | PostgresTarget, tables: TableNames, shown_as: str | None = None
) -> Reading:
    """A look at a database that is there. Raises StoreError."""
    if isinstance(target, SqliteTarget):
        assert target.path is not None, "what is in memory can't be reached"
        return SqliteReading(target.path, tables, shown_as=shown_as)
    from response_store.store.postgres.reading import PostgresReading  # noqa: PLC0415 (slow)

    return PostgresReading(target, tables)


def open_database(
    target: SqliteTarget | PostgresTarget,
    tables: TableNames,
    shown_as: str | None = None,
    *,
    busy_ms: int = BUSY_TIMEOUT_MS,
) -> Database:
    """Open a database that is there, and of this version. Raises StoreError.

    A SQLite file is waited for `busy_ms` where another process writes to it.
    """
    reading = open_reading(target, tables, shown_as)
    try:
        return Database(reading, _remover(target, tables, busy_ms))
    except BaseException:
        reading.close()
        raise


def _remover(target: SqliteTarget | PostgresTarget, tables: TableNames, busy_ms: int) -> Remover:
    if isinstance(target, SqliteTarget):
        return SqliteRemover(target, tables, busy_ms=busy_ms)
    from response_store.pruning.postgres_remover import PostgresRemover  # noqa: PLC0415 (slow)

    return PostgresRemover(target, tables)
