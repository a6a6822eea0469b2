"""Open either database for each use: the only place that knows both.

What belongs to one database is imported when it is asked for: psycopg takes a fifth of a second.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from response_store.backends.base import ExclusiveRole, RoleLock, Store
from response_store.backends.sqlite.connection import identify_file
from response_store.config import Config, SqliteTarget, TableNames
from response_store.errors import StoreError
from response_store.pruning.batch import PruneTarget, Remover
from response_store.queries.exchanges import Follower, Query

if TYPE_CHECKING:
    from response_store.backends.postgres.prune import PostgresRemover
    from response_store.backends.sqlite.prune import SqliteRemover
    from response_store.config.postgres_target import PostgresTarget
    from response_store.model.selection import Selection
    from response_store.pruning.redact import Rewriter
    from response_store.queries.reader import Reader
    from response_store.queries.schema_state import Findings
    from response_store.search.index import Index
    from response_store.transfer.bulk_writer import BulkWriter


def open_query(target: DatabaseTarget, names: TableNames, *, shown_as: str | None = None) -> Query:
    """Open a database for reading; errors call a SQLite file `shown_as`. Raises StoreError."""
    return Query(open_reader(target, names, shown_as=shown_as))


def open_file(path: Path, names: TableNames, *, shown_as: str | None = None) -> Query:
    """Open a SQLite file for reading; errors call it `shown_as`. Raises StoreError."""
    return open_query(SqliteTarget(path), names, shown_as=shown_as)


BUSY_MS = 1000


def open_database(
    target: DatabaseTarget,
    tables: TableNames,
    shown_as: str | None = None,
    *,
    busy_ms: int = BUSY_MS,
) -> PruneTarget:
    """Open a database that is there, and of this version. Raises StoreError.

    A SQLite file is waited for `busy_ms` where another process writes to it.
    """
    reader = open_reader(target, tables, shown_as=shown_as)
    try:
        return PruneTarget(reader, open_remover(target, tables, busy_ms=busy_ms))
    except BaseException:
        reader.close()
        raise


def build_role(
    config: Config, folder: Path, clock: Callable[[], float] = time.monotonic
) -> ExclusiveRole:
    """Build the role for a configuration's database, which others can reach; nothing is opened."""
    return ExclusiveRole(build_role_lock(config, folder), clock=clock)


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
        from response_store.backends.sqlite.store import SqliteStore  # noqa: PLC0415

        return SqliteStore(
            target, config.tables, config.durability, before_reopening=before_reopening
        )
    from response_store.backends.postgres.connection import PoolLimits  # noqa: PLC0415
    from response_store.backends.postgres.store import PostgresStore  # noqa: PLC0415

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
        from response_store.backends.sqlite.reader import SqliteReader  # noqa: PLC0415

        path = require_file(target)
        return SqliteReader(path, tables, shown_as=shown_as, busy_seconds=busy_seconds)
    from response_store.backends.postgres.reader import PostgresReader  # noqa: PLC0415

    return PostgresReader(target, tables, seconds=statement_seconds)


def open_writer(target: DatabaseTarget, tables: TableNames) -> BulkWriter:
    """Open a database for rows of another one; make tables that are missing. Raises StoreError."""
    if isinstance(target, SqliteTarget):
        from response_store.backends.sqlite.bulk_writer import SqliteBulkWriter  # noqa: PLC0415

        require_file(target)
        return SqliteBulkWriter(target, tables)
    from response_store.backends.postgres.bulk_writer import PostgresBulkWriter  # noqa: PLC0415

    return PostgresBulkWriter(target, tables)


def open_remover(target: DatabaseTarget, tables: TableNames, *, busy_ms: int) -> Remover:
    """Open a database to remove rows. Raises StoreError.

    A SQLite file is waited for `busy_ms` where another process writes to it.
    """
    return _open_changer(target, tables, busy_ms)


def open_rewriter(target: DatabaseTarget, tables: TableNames) -> Rewriter:
    """Open a database that is there to write rows anew. Raises StoreError.

    A SQLite file is waited for `BUSY_MS` where another process writes to it.
    """
    return _open_changer(target, tables, BUSY_MS)


def _open_changer(
    target: DatabaseTarget, tables: TableNames, busy_ms: int
) -> SqliteRemover | PostgresRemover:
    if isinstance(target, SqliteTarget):
        from response_store.backends.sqlite.prune import SqliteRemover  # noqa: PLC0415

        return SqliteRemover(target, tables, busy_ms=busy_ms)
    from response_store.backends.postgres.prune import PostgresRemover  # noqa: PLC0415

    return PostgresRemover(target, tables)


def open_index(target: DatabaseTarget, tables: TableNames, *, busy_ms: int = 1000) -> Index:
    """Open the search index of a database for writing. Raises StoreError.

    A SQLite file is waited for `busy_ms` where another process writes to it.
    """
    if isinstance(target, SqliteTarget):
        from response_store.backends.sqlite.search_index import SqliteIndex  # noqa: PLC0415

        return SqliteIndex(target, tables, busy_ms=busy_ms)
    from response_store.backends.postgres.search_index import PostgresIndex  # noqa: PLC0415

    return PostgresIndex(target, tables)


def build_follower(reader: Reader, selection: Selection) -> Follower:
    """Return what follows the exchanges of a selection as they end."""
    ended = msgspec.structs.replace(selection, ended=True)
    if reader.dialect == "sqlite":
        from response_store.backends.sqlite.follow import SqliteFollower  # noqa: PLC0415

        return SqliteFollower(ended)
    from response_store.backends.postgres.follow import PostgresFollower  # noqa: PLC0415

    return PostgresFollower(ended)


class DatabaseState(NamedTuple):
    """What tells one state of a database from the next, for the connection that read it alone.

    `identity` tells a SQLite file from another one in its place.
    """

    identity: object
    version: object


def read_state(reader: Reader) -> DatabaseState:
    """Return which state a database is in, which costs next to nothing. Raises StoreError."""
    if reader.dialect == "sqlite":
        from response_store.backends.sqlite.follow import read_file_state  # noqa: PLC0415

        return DatabaseState(*read_file_state(reader))
    from response_store.backends.postgres.follow import read_snapshot  # noqa: PLC0415

    return DatabaseState(None, read_snapshot(reader))


def build_role_lock(config: Config, folder: Path) -> RoleLock:
    """Return the lock on the role of indexing and pruning a database; nothing is opened.

    That of a SQLite file is a file in `folder`. Raises StoreError for a database in memory.
    """
    target = config.database
    if isinstance(target, SqliteTarget):
        from response_store.backends.base import FileRoleLock  # noqa: PLC0415

        return FileRoleLock(folder, require_file(target), config.tables)
    from response_store.backends.postgres.role_lease import PostgresLease  # noqa: PLC0415

    return PostgresLease(target, config.tables)


def check_connection(config: Config) -> Findings:
    """Go to the configured database as the store would. Raises nothing: what fails is a problem."""
    from response_store.queries.schema_state import Findings  # noqa: PLC0415

    findings = Findings()
    target = config.database
    if isinstance(target, SqliteTarget):
        from response_store.backends.sqlite.check import check_sqlite  # noqa: PLC0415

        check_sqlite(target, config.tables, findings)
    else:
        from response_store.backends.postgres.check import check_postgres  # noqa: PLC0415

        check_postgres(target, config.tables, findings)
    return findings


def require_file(target: SqliteTarget) -> Path:
    """Return the file of a database. Raises StoreError where it is in memory."""
    if target.path is None:
        raise StoreError(_IN_MEMORY)
    return target.path


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
