"""The role of indexing and pruning a PostgreSQL database, as an advisory lock of a session."""

from __future__ import annotations

import contextlib
import hashlib

import psycopg

from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.errors import StoreError
from response_store.store.postgres.connections import PostgresConnections
from response_store.store.postgres.errors import translated
from response_store.store.postgres.statements import folded
from response_store.store.postgres.values import Connection
from response_store.store.postgres.watchdog import Watchdog


class PostgresRoleLock:
    """A `RoleLock` that all see who use the same tables. It keeps a connection while it is held."""

    def __init__(self, target: PostgresTarget, names: TableNames) -> None:
        self._target = target
        self._where = f"PostgreSQL {target.describe()}"
        self._key = lock_key(folded(names).exchanges)
        self._watchdog = Watchdog(self._where)
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Return whether the lock is held; False also where the server can't be asked."""
        held = False
        with contextlib.suppress(StoreError):
            held = self._ask()
        if not held:
            self.release()
        return held

    def release(self) -> None:
        """Close the connection, and the lock goes with it. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()
        self._watchdog.close()

    def _ask(self) -> bool:
        """Take the lock, again where it is held already: that tells that the session lives."""
        if self._connection is None:
            self._connection = PostgresConnections(self._target, self._watchdog).connect()
        with translated(self._where), self._watchdog.watching(self._connection):
            statement = "SELECT pg_try_advisory_lock(%s)"
            row = self._connection.execute(statement, (self._key,)).fetchone()
        return bool(row and row[0])


def lock_key(table: str) -> int:
    """Return the number that stands for the role: eight bytes, as earlier versions count them."""
    digest = hashlib.blake2b(f"response-store retention {table}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)
