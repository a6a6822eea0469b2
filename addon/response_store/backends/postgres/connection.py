"""Connect to a PostgreSQL server: each connection to a checked address, each set up alike.

One statement then stands for rows of any shape: the driver prepares a statement for each mixture
of types it meets, and a missing value or a larger number would make another one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import psycopg
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from response_store.backends.base import CheckpointMovedError
from response_store.backends.postgres.errors import build_connection_error, translate_connect_errors
from response_store.backends.postgres.resolver import (
    Resolver,
    build_checked_connection_string,
    resolve_by_system,
)
from response_store.backends.postgres.watchdog import Watchdog
from response_store.config.postgres_target import PostgresTarget
from response_store.errors import RowRefusedError, StoreError, TransientStoreError
from response_store.jsontext import LongText, decode_column

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_REPLACEMENT = "\ufffd".encode()


class TextDumper(Dumper):
    """Text; PostgreSQL's has no NUL, which becomes U+FFFD. Raises UnicodeEncodeError."""

    def dump(self, obj: str) -> Buffer:
        return obj.encode().replace(b"\0", _REPLACEMENT)


class NumberDumper(Dumper):
    """A number, written out."""

    def dump(self, obj: float) -> Buffer:
        return str(obj).encode()


class LargeTextLoader(Loader):
    """Text; a large one stays UTF-8."""

    def load(self, data: Buffer) -> LongText:
        return decode_column(bytes(data))


class BytesDumper(Dumper):
    """Bytes, as they are, and texts that are UTF-8 already."""

    format = Format.BINARY

    def dump(self, obj: Buffer) -> Buffer:
        return obj


def register_dumpers(connection: Connection) -> None:
    """Have a connection send values in this way."""
    connection.adapters.register_dumper(str, TextDumper)
    connection.adapters.register_dumper(int, NumberDumper)
    connection.adapters.register_dumper(float, NumberDumper)
    connection.adapters.register_dumper(bytes, BytesDumper)


_NEVER = 10.0 * 365 * 86400  # seconds
_CLOSING = 1.0  # seconds that the pool's own threads get for their end
# Whoever has asynchronous commits switched on would lose what we call durable; what is stronger
# than a plain commit stays.
_SET_UP = """
SELECT set_config(name, CASE name WHEN 'synchronous_commit' THEN 'on' ELSE '0' END, false)
FROM pg_settings
WHERE (name = 'synchronous_commit' AND setting = 'off')
   OR (name = 'idle_session_timeout' AND setting <> '0')"""
_BACKEND = "SELECT pg_backend_pid()"


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections there are, and how long they idle (0: for ever) and are waited for."""

    min_connections: int = 0
    max_connections: int = 10
    idle_timeout_secs: int = 600
    acquire_timeout_secs: int = 30


class PostgresConnections:
    """Makes single connections, and has a pool of them between `open` and `close`."""

    def __init__(
        self,
        target: PostgresTarget,
        watchdog: Watchdog,
        limits: PoolLimits | None = None,
        resolver: Resolver = resolve_by_system,
    ) -> None:
        self._target = target
        self._watchdog = watchdog
        self._limits = limits or PoolLimits()
        self._resolver = resolver
        self._label = f"PostgreSQL {target.describe()}"
        self._pool: ConnectionPool[Connection] | None = None
        self._refused: StoreError | None = None

    def connect(self) -> Connection:
        """Return a connection outside of the pool, in autocommit
        mode. Raises StoreError at once.
        """
        with translate_connect_errors(self._label, self._target.password):
            connection = psycopg.connect(self._connection_string(), autocommit=True)
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def open(self) -> None:
        """Make the pool. Its connections come when they are asked for."""
        _quieten()
        limits = self._limits
        self._pool = ConnectionPool(
            self._connection_string,
            connection_class=self._noting_class(),
            kwargs={"autocommit": True},
            configure=self._set_up,
            min_size=limits.min_connections,
            max_size=max(limits.min_connections, limits.max_connections),
            max_idle=limits.idle_timeout_secs or _NEVER,
            timeout=limits.acquire_timeout_secs,
            reconnect_timeout=limits.acquire_timeout_secs,
            num_workers=1,
            name="response-store",
            open=True,
        )

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection of the pool; close it after an error that may be its own.

        Raises what kept the pool from connecting, and TransientStoreError where none is free soon.
        """
        assert self._pool is not None, "open comes before lent"
        pool = self._pool
        connection = self._taken(pool)
        try:
            yield connection
        except (RowRefusedError, CheckpointMovedError):
            raise
        except BaseException:
            connection.close()
            raise
        finally:
            pool.putconn(connection)

    def close(self) -> None:
        """Close the pool and its connections. Idempotent."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close(timeout=_CLOSING)

    def _taken(self, pool: ConnectionPool[Connection]) -> Connection:
        try:
            return pool.getconn()
        except (PoolTimeout, PoolClosed):
            refused = self._refused
        seconds = self._limits.acquire_timeout_secs
        raise refused or TransientStoreError(
            f"{self._label}: no connection within {seconds} s: the server gives no answer, or all"
            " of the pool are in use (pool.max_connections)"
        )

    def _connection_string(self) -> str:
        """Return the text for one physical connection; note an error,
        as the pool would not report it.
        """
        try:
            checked = build_checked_connection_string(self._target, self._resolver)
        except StoreError as error:
            self._refused = error
            raise
        self._refused = None
        return checked.reveal()

    def _noting_class(self) -> type[Connection]:
        """Return a class whose `connect` notes why it fails: the pool itself does not tell."""
        connections = self

        class Noting(psycopg.Connection[tuple[object, ...]]):
            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> Self:
                try:
                    return super().connect(*args, **kwargs)
                except psycopg.Error as error:
                    connections.note_refusal(error)
                    raise

        return Noting

    def note_refusal(self, error: psycopg.Error) -> None:
        """Keep why the last connection could not be made, for whoever waits for one."""
        self._refused = build_connection_error(self._label, error, self._target.password)

    def _set_up(self, connection: Connection) -> None:
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        register_dumpers(connection)
        with self._watchdog.watching(connection):
            if is_pooled(connection):
                # The next transaction may run in another session, which knows nothing of this one.
                connection.prepare_threshold = None
            else:
                connection.execute(_SET_UP)


def is_pooled(connection: Connection) -> bool:
    """Return whether a pooler is between: the session is not the one that the login named.

    Such a one keeps sessions for transactions or for clients; what works with the first kind works
    with the second.
    """
    row = connection.execute(_BACKEND, prepare=False).fetchone()
    return row is None or row[0] != connection.info.backend_pid


def make_durable(connection: Connection) -> None:
    """Have the transaction that has begun commit durably, behind a pooler as well."""
    if connection.prepare_threshold is None:
        connection.execute("SELECT set_config('synchronous_commit', 'on', true)" + _WHERE_OFF)


_WHERE_OFF = " WHERE current_setting('synchronous_commit') = 'off'"


def _quieten() -> None:
    """Keep the driver's own warnings off the log: they repeat texts of the server and of libpq."""
    for name in ("psycopg", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
