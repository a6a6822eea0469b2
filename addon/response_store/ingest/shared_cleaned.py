"""The cleaned segments of a journal, appended to by both threads of the ingester."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from response_store.config import Durability
from response_store.journal.cleaned import CleanedWriter
from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.frames import Buffer, FrameKind, FrameRef


class SharedCleaned(CleanedWriter):
    """Appends for any thread. Raises JournalWriteError.

    `highest_seq` is the highest seq of a frame that was appended, and 0 before the first.
    """

    def __init__(self, directory: JournalDirectory, durability: Durability) -> None:
        super().__init__(directory, power=durability is Durability.POWER)
        self._lock = threading.RLock()
        self._before = {segment.name for segment in directory.segments()}
        self.highest_seq = 0

    def append(
        self,
        seq: int,
        kind: FrameKind,
        key: int,
        head: bytes,
        parts: Sequence[Buffer] = (),
        *,
        flags: int = 0,
    ) -> FrameRef:
        """Append a frame under the seq that it has, and return where it lies."""
        with self._lock:
            ref = super().append(seq, kind, key, head, parts, flags=flags)
            self.highest_seq = max(self.highest_seq, seq)
            return ref

    def sync(self) -> None:
        """Have the disk keep what was appended, with `durability: power`."""
        with self._lock:
            super().sync()

    def own_segments(self) -> list[str]:
        """Return the names of the segments that this process has made, as far as they are there."""
        return [
            segment.name
            for segment in self._directory.segments()
            if segment.kind is SegmentKind.CLEANED and segment.name not in self._before
        ]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let nobody append meanwhile; what comes then begins another segment."""
        with self._lock:
            self.sync()
            self.close()
            yield
