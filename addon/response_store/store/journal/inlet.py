"""The journal: a store that keeps changes on the local disk, in order, until the database has them.

One row a change, appended; the drainer takes them out at the other end. What it holds is bounded
by `max_bytes`, of which a quarter at most are dead letters.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from response_store.store.journal import errors
from response_store.store.journal.entry import insert, values
from response_store.store.journal.file import JournalFile, drop
from response_store.store.journal.level import JournalStatus
from response_store.store.records import Change
from response_store.store.seldom import Seldom
from response_store.store.sqlite.connection import LOOK_EVERY, FileIdentity
from response_store.store.sqlite.transaction import interrupt, undone

_MOST_ROWS = 64  # in one statement; the driver keeps up to 128 of them prepared
_ROW_OVERHEAD = 2 * 4096  # pages that a row touches, roughly


class Journal:
    """The writer's end of a journal: a Store. Used by one thread, but for `interrupt`."""

    def __init__(self, file: JournalFile, *, wall: Callable[[], float] = time.time) -> None:
        self._file = file
        self._wall = wall
        self._connection: sqlite3.Connection | None = None
        self._identity: FileIdentity | None = None
        self._is_same_file = Seldom(lambda: file.is_now(self._identity), LOOK_EVERY)
        self.last_sequence = 0  # of the last record that was written; `on_drained` tells as much

    def describe(self) -> str:
        """Where the records go."""
        return self._file.where

    @property
    def status(self) -> JournalStatus:
        """What waits, and what is dead. From any thread, without asking the file."""
        return self._file.level.status

    def open(self) -> None:
        """Own the journal and connect. Raises PermanentStoreError where another proxy owns it."""
        if self._connection is not None:
            if self._is_same_file():
                return
            self._drop_connection()  # deleted or replaced: what is written there is lost
        self._connection = self._file.connected(self, self._file.durability)
        self._identity = self._file.identity
        self._file.level.arrived.set()  # what an earlier run has left

    def write(self, changes: Sequence[Change]) -> None:
        """Append a batch. Raises JournalFullError where it does not fit, for now."""
        connection = self._connection
        assert connection is not None, "open comes before write"
        if not changes:
            return
        at = self._wall()
        rows = [self._row(change, at) for change in changes]
        size = sum(row[2] for row in rows)
        level = self._file.level
        with self._file.translated(), level.turn:
            self._make_sure_it_fits(size)
            try:
                self._append(connection, rows)
            except BaseException as error:
                self._undo(connection, error)
                raise
            level.added(len(rows), size, at)
        self._file.checkpoints.note(size + _ROW_OVERHEAD * len(rows))

    def after_acknowledge(self) -> None:
        """Wake the drainer, and have a checkpoint made if one is due."""
        self._file.level.arrived.set()
        self._file.checkpoints.poke()

    def interrupt(self) -> None:
        """Break off a statement that runs."""
        interrupt(self._connection)

    def close(self) -> None:
        """Close this end; the journal stays owned while the other end is open. Idempotent."""
        self._drop_connection()
        self._file.leave(self)

    def _row(self, change: Change, at: float) -> tuple[Any, ...]:
        try:
            return values(change, at)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise errors.not_encodable(self._file.where, error) from None

    def _make_sure_it_fits(self, size: int) -> None:
        level = self._file.level
        if size > level.most:
            raise errors.too_large(self._file.where, size, level.max_bytes)
        if size > level.room:
            raise errors.full(self._file.where, level.max_bytes - level.room, level.max_bytes)

    def _append(self, connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        if len(rows) <= _MOST_ROWS:
            self._insert(connection, rows)
            return
        connection.execute("BEGIN IMMEDIATE")
        for at in range(0, len(rows), _MOST_ROWS):
            self._insert(connection, rows[at : at + _MOST_ROWS])
        connection.execute("COMMIT")

    def _insert(self, connection: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
        done = connection.execute(insert(len(rows)), [value for row in rows for value in row])
        self.last_sequence = done.lastrowid or self.last_sequence

    def _undo(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """Leave no trace of a failed batch; connect anew where the connection may be at fault."""
        if not undone(connection, error):
            self._drop_connection()
            self._file.doubt()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        drop(connection)
        self._file.checkpoints.renew()
