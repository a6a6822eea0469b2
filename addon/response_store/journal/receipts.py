"""Keep receipts of appended frames, and the frames that wait in memory meanwhile."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from response_store.journal.frames import HEADER_SIZE, Buffer

CallSoon = Callable[[Callable[[], None]], object]  # the loop's call_soon_threadsafe


class Receipt:
    """What became of one frame. Read in any thread, written by the writer and its threads.

    `seq` is None while the frame waits in memory. `done`: it is as durable as is configured.
    `lost`: it never will be, and that was counted.
    """

    __slots__ = ("_callbacks", "done", "lost", "seq")

    def __init__(self, seq: int | None = None, done: bool = False) -> None:
        self.seq = seq
        self.done = done
        self.lost = False
        self._callbacks: list[Callable[[Receipt], None]] | None = None

    @property
    def is_settled(self) -> bool:
        """Return whether the frame is acknowledged or lost."""
        return self.done or self.lost

    def add_done_callback(self, callback: Callable[[Receipt], None]) -> None:
        """Have `callback` called with the receipt once it is settled; at once where it is.

        In the loop's thread, which is also the one that may call this.
        """
        # A thread that settles sets `done` first and looks for callbacks then, here it is the
        # other way round: at least one of the two sees the other.
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)
        if self.is_settled:
            self.call_back()

    def call_back(self) -> None:
        """Call what was added, each once. In the loop's thread."""
        while self._callbacks:
            self._callbacks.pop(0)(self)

    @property
    def has_callbacks(self) -> bool:
        """Return whether any callback is registered."""
        return bool(self._callbacks)


class Receipts:
    """Settles receipts from any thread. `call_soon` brings callbacks to the loop's thread."""

    def __init__(self, call_soon: CallSoon) -> None:
        self._call_soon = call_soon
        self._condition = threading.Condition()

    def settle(self, receipts: Iterable[Receipt], *, lost: bool = False) -> None:
        """Settle receipts, wake who waits and have callbacks called."""
        receipts = list(receipts)
        with self._condition:
            for receipt in receipts:
                receipt.lost = lost
                receipt.done = not lost
            self._condition.notify_all()
        if any(receipt.has_callbacks for receipt in receipts):
            self.call(lambda: _call_back(receipts))

    def call(self, function: Callable[[], None]) -> None:
        """Have a function called in the loop's thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._call_soon(function)

    def wait(self, receipts: Iterable[Receipt], seconds: float) -> bool:
        """Block until all are settled; return whether all are acknowledged.

        Does not wait for a frame that waits in memory: only the loop's thread can write it.
        """
        receipts = [receipt for receipt in receipts if not receipt.done]
        if not any(receipt.seq is None for receipt in receipts):
            with self._condition:
                self._condition.wait_for(lambda: all(r.is_settled for r in receipts), seconds)
        return all(receipt.done for receipt in receipts)


def _call_back(receipts: Iterable[Receipt]) -> None:
    for receipt in receipts:
        receipt.call_back()


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
