"""WAL checkpoints, on a thread and a connection of their own, after the acknowledgement.

A checkpoint syncs the whole database file; done by the writer it would delay a commit now and
then. Passive checkpoints never wait for anybody; only when the WAL has grown beyond a bound is
the writer held up for a moment, so that the WAL can start again from its beginning. A reader that
stays keeps it from that, and the writer is not made to wait for readers: the WAL grows until the
reader has gone.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable

from response_store.errors import StoreError

_EVERY_BYTES = 16 * 1024 * 1024  # a page that is written often is copied once
_RESTART_PAGES = 8_192
_BEHIND_BYTES = 48 * 1024 * 1024  # written since a checkpoint began that is not done yet
_CATCH_UP = 0.1  # seconds that the writer then gives it, between two batches
_PATIENCE_MS = 20  # that a restart waits, and may hold the writer up, for a reader


class Checkpoints:
    """Checkpoints one database in the background."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._written = 0
        self._behind = 0
        self._idle = threading.Event()
        self._idle.set()
        self._due = threading.Event()
        self._renew = threading.Event()
        self._stop = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Again is harmless."""
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="response-store-checkpoint", daemon=True
            )
            self._thread.start()

    def note(self, size: int) -> None:
        """Note that about `size` bytes went to the WAL."""
        self._written += size

    def poke(self) -> None:
        """Wake the thread if a checkpoint is due; where it can't keep up, give it a moment."""
        if self._written < _EVERY_BYTES:
            return
        self._behind = 0 if self._idle.is_set() else self._behind + self._written
        self._written = 0
        self._idle.clear()
        self._due.set()
        if self._behind >= _BEHIND_BYTES:
            self._idle.wait(_CATCH_UP)

    def renew(self) -> None:
        """Let go of the connection: the file may be another one now."""
        self._renew.set()
        self._due.set()

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._stop = True
        self._due.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while self._due.wait() and not self._stop:
            self._due.clear()
            if self._renew.is_set():
                self._renew.clear()
                _close(connection)
                connection = None
                self._idle.set()
                continue
            # A checkpoint that fails is tried again with the next one; the writer reports errors.
            try:
                connection = connection or self._connected()
                _checkpoint(connection)
            except (sqlite3.Error, OSError, StoreError):
                _close(connection)
                connection = None
            self._idle.set()
        _close(connection)

    def _connected(self) -> sqlite3.Connection:
        connection = self._connect()
        connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        return connection


def _checkpoint(connection: sqlite3.Connection) -> None:
    _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if pages > _RESTART_PAGES:
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
