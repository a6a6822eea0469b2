"""The two databases: the only place that knows both, and opens whatever a feature needs of one.

What belongs to one database is imported when it is asked for: psycopg takes a fifth of a second.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from response_store.config.model import SqliteTarget
from response_store.errors import StoreError

if TYPE_CHECKING:
    from response_store.config import Config
    from response_store.config.postgres_target import PostgresTarget
    from response_store.config.tables import TableNames
    from response_store.ingest.exclusive import RoleLock
    from response_store.pruning.removing import Remover
    from response_store.search.index import Index
    from response_store.store.base import Store
    from response_store.store.connection_check import Findings
    from response_store.store.following import Follower
    from response_store.store.reading import Reader
    from response_store.store.selection import Selection
    from response_store.transfer.writing import BulkWriter

DatabaseTarget: TypeAlias = "SqliteTarget | PostgresTarget"
BUSY_SECONDS = 2.0
STATEMENT_SECONDS = 30.0
_IN_MEMORY = (
    "An in-memory database can be reached by its proxy alone. Name a file in database_url, or give"
    " --database."
)


def build_store(config: Config, *, before_reopening: Callable[[], None] = lambda: None) -> Store:
    """Return the database of a configuration, not yet open.

    `before_reopening` is called where another file stands in the place of a SQLite one: who else
    has it open in this process must close it.
    """
    target = config.database
    if isinstance(target, SqliteTarget):
        from response_store.store.sqlite.store import SqliteStore  # noqa: PLC0415

        return SqliteStore(
            target, config.tables, config.durability, before_reopening=before_reopening
        )
    from response_store.store.postgres.connections import PoolLimits  # noqa: PLC0415
    from response_store.store.postgres.store import PostgresStore  # noqa: PLC0415

    limits = PoolLimits(**dataclasses.asdict(config.pool))
    return PostgresStore(target, config.tables, limits=limits)


def open_reader(
    target: DatabaseTarget,
    tables: TableNames,
    *,
    shown_as: str | None = None,
    busy_seconds: float = BUSY_SECONDS,
    statement_seconds: float = STATEMENT_SECONDS,
) -> Reader:
    """Open a database that is there, for reading. Raises StoreError.

    Errors call a SQLite file `shown_as`; it is waited for `busy_seconds` where it is locked. On a
    server no statement takes longer than `statement_seconds`.
    """
    if isinstance(target, SqliteTarget):
        from response_store.store.sqlite.reading import SqliteReader  # noqa: PLC0415

        path = require_file(target)
        return SqliteReader(path, tables, shown_as=shown_as, busy_seconds=busy_seconds)
    from response_store.store.postgres.reading import PostgresReader  # noqa: PLC0415

    return PostgresReader(target, tables, seconds=statement_seconds)


def open_writer(target: DatabaseTarget, tables: TableNames) -> BulkWriter:
    """Open a database for rows of another one; make tables that are missing. Raises StoreError."""
    if isinstance(target, SqliteTarget):
        from response_store.transfer.sqlite_writing import SqliteBulkWriter  # noqa: PLC0415

        require_file(target)
        return SqliteBulkWriter(target, tables)
    from response_store.transfer.postgres_writing import PostgresBulkWriter  # noqa: PLC0415

    return PostgresBulkWriter(target, tables)


def open_remover(target: DatabaseTarget, tables: TableNames, *, busy_ms: int) -> Remover:
    """Open a database to remove rows. Raises StoreError.

    A SQLite file is waited for `busy_ms` where another process writes to it.
    """
    if isinstance(target, SqliteTarget):
        from response_store.pruning.sqlite_remover import SqliteRemover  # noqa: PLC0415

        return SqliteRemover(target, tables, busy_ms=busy_ms)
    from response_store.pruning.postgres_remover import PostgresRemover  # noqa: PLC0415

    return PostgresRemover(target, tables)


def open_index(target: DatabaseTarget, tables: TableNames, *, busy_ms: int = 1000) -> Index:
    """Open the search index of a database for writing. Raises StoreError.

    A SQLite file is waited for `busy_ms` where another process writes to it.
    """
    if isinstance(target, SqliteTarget):
        from response_store.search.sqlite_index import SqliteIndex  # noqa: PLC0415

        return SqliteIndex(target, tables, busy_ms=busy_ms)
    from response_store.search.postgres_index import PostgresIndex  # noqa: PLC0415

    return PostgresIndex(target, tables)


def build_follower(reader: Reader, selection: Selection) -> Follower:
    """Return what follows the exchanges of a selection as they end."""
    ended = msgspec.structs.replace(selection, ended=True)
    if reader.dialect == "sqlite":
        from response_store.store.sqlite.following import SqliteFollower  # noqa: PLC0415

        return SqliteFollower(ended)
    from response_store.store.postgres.following import PostgresFollower  # noqa: PLC0415

    return PostgresFollower(ended)


def build_role_lock(config: Config, folder: Path) -> RoleLock:
    """Return the lock on the role of indexing and pruning a database; nothing is opened.

    That of a SQLite file is a file in `folder`. Raises StoreError for a database in memory.
    """
    target = config.database
    if isinstance(target, SqliteTarget):
        from response_store.ingest.exclusive import FileRoleLock  # noqa: PLC0415

        return FileRoleLock(folder, require_file(target), config.tables)
    from response_store.store.postgres.role_lock import PostgresLease  # noqa: PLC0415

    return PostgresLease(target, config.tables)


def check_connection(config: Config) -> Findings:
    """Go to the configured database as the store would. Raises nothing: what fails is a problem."""
    from response_store.store.connection_check import Findings  # noqa: PLC0415

    findings = Findings()
    target = config.database
    if isinstance(target, SqliteTarget):
        from response_store.store.sqlite.check import check_sqlite  # noqa: PLC0415

        check_sqlite(target, config.tables, findings)
    else:
        from response_store.store.postgres.check import check_postgres  # noqa: PLC0415

        check_postgres(target, config.tables, findings)
    return findings


def require_file(target: SqliteTarget) -> Path:
    """Return the file of a database. Raises StoreError where it is in memory."""
    if target.path is None:
        raise StoreError(_IN_MEMORY)
    return target.path
