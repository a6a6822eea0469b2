"""Which recorders live: each holds an advisory lock of a session of its own.

A row that is still open belongs to the recorder it names. When nobody holds that one's lock any
more, it was killed or cut off, and its open rows may be closed by whoever comes next: should it
live on, the end that it writes later replaces what was closed here. The lock goes with the
session, so nothing has to be cleaned up.
"""

from __future__ import annotations

import hashlib
import select

from response_store.store.postgres.statements import Statements
from response_store.store.postgres.values import Connection


class PostgresRecorder:
    """A recorder, and the connection that says that it lives."""

    def __init__(self, connection: Connection, recorder_id: str) -> None:
        self._connection = connection
        self._recorder_id = recorder_id

    def enter(self) -> None:
        """Take this recorder's lock; shared, as an earlier session may not have ended yet."""
        self._connection.execute(
            "SELECT pg_advisory_lock_shared(%s)", (_lock_key(self._recorder_id),)
        )

    def close_abandoned(self, statements: Statements) -> None:
        """Close what recorders that don't live any more left open."""
        with self._connection.transaction():
            for (recorder_id,) in self._connection.execute(statements.open_recorders).fetchall():
                if recorder_id != self._recorder_id and self._is_dead(recorder_id):
                    self._connection.execute(statements.close_abandoned, (recorder_id,))

    def is_alive(self) -> bool:
        """Whether the session is there, as far as can be told without asking the server.

        On a session that is not in use the server says nothing until it ends it.
        """
        if self._connection.closed:
            return False
        polled = select.poll()
        polled.register(self._connection.fileno(), select.POLLIN)
        return not polled.poll(0)

    def leave(self) -> None:
        """End the session, and the lock with it. Idempotent."""
        self._connection.close()

    def _is_dead(self, recorder_id: str) -> bool:
        """Whether nobody holds a recorder's lock; nobody takes it until the transaction ends."""
        row = self._connection.execute(
            "SELECT pg_try_advisory_xact_lock(%s)", (_lock_key(recorder_id),)
        ).fetchone()
        return bool(row and row[0])


def _lock_key(recorder_id: str) -> int:
    """The recorder's lock: locks are numbers, eight bytes long."""
    digest = hashlib.blake2b(f"response-store recorder {recorder_id}".encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big", signed=True)
