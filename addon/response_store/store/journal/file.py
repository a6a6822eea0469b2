"""The file of a journal: private, and of one proxy at a time.

Its owner holds a lock on a file beside it, which goes with the process. The lock file stays: one
that is removed while somebody else is about to take it would be locked twice.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from response_store.config import Durability, SqliteTarget
from response_store.errors import StoreError
from response_store.store.journal import errors
from response_store.store.journal import schema as journal_schema
from response_store.store.journal.level import Level
from response_store.store.sqlite.checkpoints import Checkpoints
from response_store.store.sqlite.connection import FileIdentity, connect, identity, real_path
from response_store.store.sqlite.errors import translated


class JournalFile:
    """A journal's file, shared by those who fill it and those who empty it.

    `durability` is that of what is written. Each user enters before it connects, and leaves.
    """

    def __init__(self, path: Path, *, max_bytes: int, durability: Durability) -> None:
        self.where = f"journal {SqliteTarget(path).describe()}"
        self.durability = durability
        self.level = Level(max_bytes)
        self.identity: FileIdentity | None = None  # of the file that was connected to last
        self.checkpoints = self._new_checkpoints(path)
        self._target = SqliteTarget(path)
        self._guard = threading.Lock()
        self._users: set[object] = set()
        self._dismissed: set[object] = set()
        self._lock: FileLock | None = None
        self._measured: FileIdentity | None = None  # of the file that the level tells of

    def connected(self, user: object, durability: Durability) -> sqlite3.Connection:
        """A connection for one of the users, to tables that are up to date.

        Raises PermanentStoreError where another proxy owns the journal or the file is no journal.
        """
        with self.translated(), self.level.turn:
            self.check_in(user)
            self._enter(user)
            connection = connect(self._target, durability)
            try:
                journal_schema.prepare(connection, self.where)
                self._measure(connection)
            except BaseException:
                connection.close()
                raise
            self.checkpoints.start()
            return connection

    def doubt(self) -> None:
        """A change ended in an error: what the file holds is counted at the next connection."""
        self._measured = None

    def is_now(self, known: FileIdentity | None) -> bool:
        """Whether the path still means the file of this identity."""
        return known == identity(self._target)

    def leave(self, user: object) -> None:
        """A user has closed its connection; the last one gives up the lock. Idempotent."""
        with self._guard:
            if user not in self._users:
                return
            self._users.discard(user)
            if not self._users:
                self._measured = None  # another proxy may own it in between
                self.checkpoints.close()
                self.checkpoints = self._new_checkpoints(self._target.path)
                self._unlock()

    def dismiss(self, user: object, seconds: float) -> None:
        """Have a user leave for good, from any thread: it hangs, and others need the journal.

        It stays where it is at work in the file for longer than `seconds`.
        """
        if self.level.turn.acquire(timeout=seconds):
            try:
                self._dismissed.add(user)
                self.leave(user)
            finally:
                self.level.turn.release()

    def check_in(self, user: object) -> None:
        """See that a user was not dismissed; with the turn, if it is to stay so.

        Raises PassingStoreError.
        """
        if user in self._dismissed:
            raise errors.dismissed(self.where)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn the driver's errors into ours, which name the journal."""
        with translated(self.where):
            yield

    def _measure(self, connection: sqlite3.Connection) -> None:
        """Count what is in the file, unless that is known: it takes a second a gigabyte."""
        self.identity = identity(self._target)
        if self.identity is None or self._measured != self.identity:
            self.level.measure(connection)
            self._measured = self.identity

    def _enter(self, user: object) -> None:
        with self._guard:
            if self._lock is None or not Path(self._lock.lock_file).exists():
                self._unlock()
                self._lock = self._locked()
            self._users.add(user)

    def _locked(self) -> FileLock:
        path = real_path(self._path)
        if not path.parent.is_dir():  # filelock would make it
            raise errors.no_folder(self.where)
        lock = FileLock(path.with_name(f"{path.name}-owner.lock"), mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise errors.owned(self.where) from None
        except RuntimeError:
            raise errors.not_lockable(self.where) from None
        return lock

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    @property
    def _path(self) -> Path:
        assert self._target.path is not None
        return self._target.path

    def _new_checkpoints(self, path: Path | None) -> Checkpoints:
        target = SqliteTarget(path, mode="rw")
        return Checkpoints(lambda: connect(target, self.durability))


def drop(connection: sqlite3.Connection | None) -> None:
    """Close a connection, whatever its state."""
    if connection is not None:
        with contextlib.suppress(sqlite3.Error, StoreError):
            connection.close()
