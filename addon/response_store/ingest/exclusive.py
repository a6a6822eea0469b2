"""Which of several ingesters on one database indexes and prunes: the one that holds a lock.

All of them write and answer reads meanwhile. The lock goes with its process, however that ends.
Two that hold one each, as ingesters of two users may, do each other no harm: each exchange has one
entry in the index, and what has gone is not there to be removed again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from response_store.config import Config, TableNames
from response_store.store.backends import build_role_lock

_RETRY_INTERVAL = 30.0  # seconds


class RoleLock(Protocol):
    """A lock on the role, among all who can see it. For one thread."""

    def acquire(self) -> bool:
        """Return whether the lock is held: take it where it is free, never wait for it."""

    def release(self) -> None:
        """Let go of the lock. Idempotent."""


class ExclusiveRole:
    """The role of indexing and pruning one database. For one thread."""

    def __init__(self, lock: RoleLock, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = lock
        self._clock = clock
        self._held = False
        self._look_at = clock()

    def is_held(self) -> bool:
        """Return whether this process has the role; look at the lock at most every 30 s.

        Ask only while the database can be reached: PostgreSQL's lock takes a connection.
        """
        if self._clock() >= self._look_at:
            self._held = self._lock.acquire()
            self._look_at = self._clock() + _RETRY_INTERVAL
        return self._held

    def due(self) -> float:
        """Return the time, by `clock`, at which `is_held` looks at the lock again."""
        return self._look_at

    def close(self) -> None:
        """Let go of the role. Idempotent."""
        self._held = False
        self._lock.release()


class FileRoleLock:
    """A lock on a file in `folder` that stands for the tables of a SQLite file."""

    def __init__(self, folder: Path, database: Path, tables: TableNames) -> None:
        self._folder = folder
        named = f"{os.path.realpath(database)}\0{tables.exchanges.lower()}"
        digest = hashlib.blake2b(os.fsencode(named), digest_size=16).hexdigest()
        self._lock = FileLock(folder / f"upkeep-{digest}.lock", mode=0o600, thread_local=False)

    def acquire(self) -> bool:
        """Return whether the lock is held; also where the file system has no locks, or no room."""
        if self._lock.is_locked:
            return True
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except (OSError, NotImplementedError):
            return True  # better twice than never
        return True

    def release(self) -> None:
        """Let go of the lock; the file stays, empty, for the next."""
        self._lock.release()


def build_role(
    config: Config, folder: Path, clock: Callable[[], float] = time.monotonic
) -> ExclusiveRole:
    """Build the role for a configuration's database, which others can reach; nothing is opened."""
    return ExclusiveRole(build_role_lock(config, folder), clock=clock)
