"""A ticket: what became of one payload that was handed to the writer."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from threading import Lock
from typing import Any, Generic, TypeVar

from response_store.store.records import Record

P = TypeVar("P")


class Fate(StrEnum):
    """Where a payload stands."""

    PENDING = "pending"
    WRITTEN = "written"  # committed
    SKIPPED = "skipped"  # makes no row; the reason says why
    DROPPED = "dropped"  # lost, and counted


class Ticket(Generic[P]):
    """One payload on its way. `future` is the waiter's, settled by whoever owns its loop."""

    __slots__ = ("_lock", "fate", "future", "payload", "reason", "record", "size")

    def __init__(self, payload: P, size: int, future: Any = None, lock: Lock | None = None) -> None:
        self.payload = payload
        self.size = size
        self.future = future
        self.fate = Fate.PENDING
        self.reason: str | None = None
        self.record: Record | None = None
        self._lock = lock
        if lock is not None:
            lock.acquire()

    def release(self) -> None:
        """Wake a blocked waiter; again is harmless, from another thread too."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(RuntimeError):  # two at the same moment
                lock.release()

    def wait(self, seconds: float) -> bool:
        """Block until released, at most `seconds`; say whether the fate is decided."""
        lock = self._lock
        if lock is not None:
            lock.acquire(timeout=seconds)
        return self.fate is not Fate.PENDING
