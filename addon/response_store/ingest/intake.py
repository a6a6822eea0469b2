"""Frames that come over the channel in memory: cleaned, written, and only then accepted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from response_store.counts import Counters
from response_store.errors import StoreError
from response_store.faults import ErrorReporter
from response_store.ingest.channel import Dirty
from response_store.ingest.cleaning import Cleaner, CleanFrame
from response_store.ingest.shared_cleaned import SharedCleaned
from response_store.store.backoff import Backoff

_MAX_BYTES = 64 << 20  # of cleaned frames that no file takes: no more is read then


class _Unwritten(NamedTuple):
    seq: int
    key: int
    frame: CleanFrame
    size: int


class Intake:
    """Takes frames that may hold secrets. For one thread."""

    def __init__(
        self,
        cleaner: Cleaner,
        cleaned: SharedCleaned,
        *,
        counters: Counters,
        errors: ErrorReporter,
        clock: Callable[[], float],
    ) -> None:
        self._cleaner = cleaner
        self._cleaned = cleaned
        self._counters = counters
        self._errors = errors
        self._clock = clock
        self._backoff = Backoff()
        self._waiting: deque[_Unwritten] = deque()
        self._size = 0
        self._unsynced: list[int] = []  # seqs that are in a file

    def take(self, message: Dirty, body: bytes) -> None:
        """Clean a frame, to be written by `write`."""
        frame = self._cleaner.clean(message.kind, message.head, body)
        size = sum(map(len, frame.parts))
        self._waiting.append(_Unwritten(message.seq, message.key, frame, size))
        self._size += size

    def write(self) -> tuple[int, ...]:
        """Write what is cleaned; return the seqs of what is as safe as is configured.

        What no file takes waits, and is tried again after a growing pause.
        """
        if not self._has_work or self._clock() < self._backoff.next_at:
            return ()
        try:
            while self._waiting:
                seq, key, (kind, head, parts), size = self._waiting[0]
                self._cleaned.append(seq, kind, key, head, parts)
                self._waiting.popleft()
                self._size -= size
                self._unsynced.append(seq)
            return self._sync()
        except StoreError as error:
            self._counters.add("journal.cleaned_failed")
            self._errors.report("intake", error)
            self._backoff.failed(self._clock())
            return ()

    @property
    def due_at(self) -> float | None:
        """Return when to try again what no file has taken, by the clock; None where all is well."""
        return self._backoff.next_at if self._has_work else None

    @property
    def is_full(self) -> bool:
        """Return whether no more should be taken."""
        return self._size > _MAX_BYTES

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting or self._unsynced)

    def _sync(self) -> tuple[int, ...]:
        self._cleaned.sync()
        safe, self._unsynced = tuple(self._unsynced), []
        self._backoff.succeeded()
        return safe
