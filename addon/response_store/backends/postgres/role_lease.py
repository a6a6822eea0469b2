"""The lock on indexing and pruning a PostgreSQL database: a lease, which is a row with a time.

A lock of a session would be lost behind a pooler that gives each transaction another session. The
lease is renewed while its holder works, and ends by itself.
"""

from __future__ import annotations

import contextlib
import uuid

import psycopg

from response_store.backends.postgres.connection import Connection, PostgresConnections
from response_store.backends.postgres.errors import WorthARetryError, translate_errors
from response_store.backends.postgres.schema import fold_names
from response_store.backends.postgres.watchdog import Watchdog
from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.errors import StoreError
from response_store.model.tables import quote_name

LEASE_SECONDS = 90.0
"""How long a lease lasts: some times as long as the pause between two looks at it."""
_ROLE = "upkeep"
_NOW = "extract(epoch FROM clock_timestamp())"
_TAKE = f"""
INSERT INTO {{leases}} AS lease (role, holder, expires_at) VALUES (%s, %s, {_NOW} + %s)
ON CONFLICT (role) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE lease.holder = excluded.holder OR lease.expires_at < {_NOW}
RETURNING 1"""
_LET_GO = "DELETE FROM {leases} WHERE role = %s AND holder = %s"


class PostgresLease:
    """A `RoleLock` that all see who use the same tables. It keeps a connection while it is held."""

    def __init__(
        self, target: PostgresTarget, names: TableNames, *, seconds: float = LEASE_SECONDS
    ) -> None:
        self._target = target
        self._label = f"PostgreSQL {target.describe()}"
        self._leases = quote_name(fold_names(names).exchanges_leases)
        self._seconds = seconds
        self._holder = str(uuid.uuid4())
        self._watchdog = Watchdog(self._label)
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        """Return whether the lease is held: taken, or renewed. False where no server answers."""
        held = False
        with contextlib.suppress(StoreError):
            try:
                held = self._take()
            except WorthARetryError:  # the server, or a pooler, has closed what was idle
                self._disconnect()
                held = self._take()
        if not held:
            self._disconnect()
        return held

    def release(self) -> None:
        """Give the lease back where the server still answers. Idempotent."""
        if self._connection is not None:
            with contextlib.suppress(StoreError):
                self._execute(_LET_GO, (_ROLE, self._holder))
        self._disconnect()
        self._watchdog.close()

    def _take(self) -> bool:
        return self._execute(_TAKE, (_ROLE, self._holder, self._seconds))

    def _execute(self, statement: str, values: tuple[object, ...]) -> bool:
        """Run a statement, and return whether it met a row."""
        if self._connection is None:
            self._connection = PostgresConnections(self._target, self._watchdog).connect()
        with translate_errors(self._label), self._watchdog.watching(self._connection):
            filled = statement.format(leases=self._leases)
            return self._connection.execute(filled, values).rowcount == 1

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()
