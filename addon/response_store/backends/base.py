"""Define a store: a database that takes batches of changes; its health, and the role of upkeep.

A journal's *position* is the sequence number of its last frame that is applied. It is a row of the
same database, written in the batch's own transaction, so that every frame counts exactly once.

All of them write and answer reads meanwhile. The lock goes with its process, however that ends.
Two that hold one each, as ingesters of two users may, do each other no harm: each exchange has one
entry in the index, and what has gone is not there to be removed again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

from filelock import FileLock, Timeout

from response_store.config import TableNames
from response_store.errors import StoreError, TransientStoreError
from response_store.model.records import Change
from response_store.queries.statements import TurnKey


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a journal stands after a batch: at `position`, if it stood at `expected` before.

    `expected` is None where the database knows nothing of the journal yet.
    """

    journal_id: str
    position: int
    expected: int | None


class Turn(NamedTuple):
    """An exchange that another one may continue. `started_at` is Unix seconds."""

    exchange_id: str
    session_id: str | None
    started_at: float
    context_digest: str | None = None
    question: str | None = None
    requested_model: str | None = None


class CheckpointMovedError(TransientStoreError):
    """A journal's position is another than its reader knows: read `position`, and go on from it.

    Another process has applied frames of it, or another copy of the database was put in place.
    """

    def __init__(self, label: str) -> None:
        super().__init__(
            f"{label}: the journal's position is not the expected one: another process has applied "
            "some of it, or another copy of the database was put in place"
        )


class Store(Protocol):
    """A database. For one thread, but for `interrupt`.

    Every method opens the database where it is not open, or was replaced meanwhile. They raise
    TransientStoreError where a later attempt may succeed and PermanentStoreError where somebody has
    to fix something first. After an error in `write` the batch has left no trace, or its commit
    went through and only the answer was lost: `position` tells which.
    """

    @property
    def database_id(self) -> str:
        """Return the database's own id; known after `open`."""

    def open(self) -> None:
        """Connect, and make, migrate or check the schema. Do nothing where all is as it was."""

    def position(self, journal_id: str) -> int | None:
        """Return where a journal stands; None where this database knows nothing of it."""

    def write(self, changes: Sequence[Change], checkpoint: Checkpoint | None = None) -> int:
        """Make all changes, in order, and move the journal, in one transaction; both are durable.

        Return how many final responses have the id of another one, which stays as it is stored.
        Raises RowRefusedError where the database will never take one of the rows, and
        CheckpointMovedError where the journal does not stand at `expected`.
        """

    def find_turns(self, names: Sequence[tuple[str, str]], key: TurnKey) -> list[Turn | None]:
        """Return the exchange that each pair of a name and a tenant means, in their order.

        A name is a digest, of which the newest exchange counts; or the id of a response, whose
        first exchange has made it.
        """

    def sync(self) -> None:
        """Have the disk keep all that was committed, also with `durability: process`."""

    def finish(self, journal_id: str) -> None:
        """Forget a journal whose frames are all gone. Harmless where it is not known."""

    def close_abandoned(self) -> int:
        """Make open rows whose journal is not known `interrupted`; return how many there were."""

    def accepts(self, change: Change) -> bool:
        """Return whether a change of the same kind with short plain texts would be taken.

        True: what was refused is the fault of its own values. False: of its table. Nothing stays.
        """

    def maintain(self) -> None:
        """Do the database's housekeeping that is due, between two batches. Raises nothing."""

    def rest(self) -> None:
        """Make the database's file whole, after a second without writes. Raises nothing."""

    def interrupt(self) -> None:
        """Break off what runs, from any thread."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""

    def describe(self) -> str:
        """Return where this store is, in words that are safe to show."""


logger = logging.getLogger(__name__)


class StorePhase(StrEnum):
    """The phase of a store's life."""

    NEW = "new"
    OPENING = "opening"
    READY = "ready"
    WAITING = "waiting"  # failed; the next attempt comes by itself
    FAILED = "failed"  # failed for a reason that somebody has to fix; attempts go on


class Health:
    """Phase, last error and commits of a store. Written by one thread, read by any.

    `name` is what the log calls the store that is back.
    """

    def __init__(self, clock: Callable[[], float], name: str = "the store") -> None:
        self._clock = clock
        self.name = name
        self.failures = 0  # since the last success
        self.phase = StorePhase.NEW
        self.error: StoreError | None = None
        self.retry_at = 0.0
        self.commits = 0
        self.busy_since: float | None = None

    @property
    def ready(self) -> bool:
        """Return whether the last attempt succeeded."""
        return self.phase is StorePhase.READY

    def retry_in(self) -> float:
        """Return the seconds until the next attempt."""
        return max(0.0, self.retry_at - self._clock())

    # By the writer's thread

    def opening(self) -> None:
        """Note that the first attempt begins."""
        self.phase = StorePhase.OPENING

    def opened(self) -> None:
        """Note that an attempt to open succeeded."""
        self._recovered()

    def busy(self) -> None:
        """Note that a commit begins."""
        self.busy_since = self._clock()

    def idle(self) -> None:
        """Note that nothing is being committed."""
        self.busy_since = None

    def committed(self) -> None:
        """Note that a commit succeeded."""
        self.busy_since = None
        self.commits += 1
        self._recovered()

    def failed(self, error: StoreError, passing: bool, retry_at: float = 0.0) -> None:
        """Note that an attempt failed.

        A permanent error of the first one is the proxy's to show, which gets it as the verdict.
        """
        self.busy_since = None
        self.failures += 1
        self.retry_at = retry_at
        first_opening = self.phase is StorePhase.OPENING
        changed = self.ready or first_opening or str(error) != str(self.error)
        self.error = error
        self.phase = StorePhase.WAITING if passing else StorePhase.FAILED
        if changed and (passing or not first_opening):
            logger.warning("response_store: %s; records wait, attempts go on", error)

    def _recovered(self) -> None:
        failed = self.phase in (StorePhase.WAITING, StorePhase.FAILED)
        self.error = None
        self.failures = 0
        self.phase = StorePhase.READY
        if failed:
            logger.warning("response_store: %s is back, writing goes on", self.name)


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
        """Return whether the lock is held; also where the file system has no locks, or no room.

        So too where the folder is gone: it is not made anew, as whoever moved it away could not
        move it back then.
        """
        if self._lock.is_locked or not self._folder.is_dir():
            return True
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except (OSError, NotImplementedError):
            return True  # better twice than never
        return True

    def release(self) -> None:
        """Let go of the lock; the file stays, empty, for the next."""
        self._lock.release()
