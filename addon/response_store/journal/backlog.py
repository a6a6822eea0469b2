"""Frames that wait in memory because the journal takes none at the moment: in order, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from response_store.journal.frames import HEADER_SIZE, Buffer
from response_store.journal.receipts import Receipt

MAX_FRAMES, MAX_BYTES = 20_000, 256 << 20


@dataclass(slots=True)
class WaitingFrame:
    """A frame that is not in a file yet. Its parts must not change any more."""

    kind: int
    key: int
    head: bytes
    parts: Sequence[Buffer]
    receipt: Receipt
    size: int = 0

    def __post_init__(self) -> None:
        self.size = HEADER_SIZE + len(self.head) + sum(map(len, self.parts))


class Backlog:
    """A queue of frames. `held_bytes` are those of all in it."""

    def __init__(self, max_frames: int = MAX_FRAMES, max_bytes: int = MAX_BYTES) -> None:
        self._max_frames = max_frames
        self._max_bytes = max_bytes
        self._frames: deque[WaitingFrame] = deque()
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: WaitingFrame) -> bool:
        """Put a frame behind all others; return False where the queue is full."""
        if len(self) >= self._max_frames or self.held_bytes + frame.size > self._max_bytes:
            return False
        self._frames.append(frame)
        self.held_bytes += frame.size
        return True

    def pop(self) -> WaitingFrame:
        """Take out the frame that has waited longest. Raises IndexError."""
        frame = self._frames.popleft()
        self.held_bytes -= frame.size
        return frame

    def put_back(self, frame: WaitingFrame) -> None:
        """Put a frame that was taken out back to its place, before all others."""
        self._frames.appendleft(frame)
        self.held_bytes += frame.size
