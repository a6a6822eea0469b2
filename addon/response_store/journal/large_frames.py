"""Write frames above 1 MiB, each into a segment of its own, in a thread and in slices.

Each has its seq when it is submitted, so that its place among the frames of its exchange is
fixed; what comes after it does not wait. A segment appears under its name when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from response_store.backoff import Backoff
from response_store.diagnostics import Counters
from response_store.journal.directory import (
    JournalDirectory,
    SegmentKind,
    format_segment_name,
    format_unfinished_name,
)
from response_store.journal.errors import JournalProblem, make_unwritable_problem
from response_store.journal.frames import Buffer, encode
from response_store.journal.private_files import sync_file, sync_folder
from response_store.journal.receipts import Receipts, WaitingFrame
from response_store.journal.segments import write_all

_SLICE = 1 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_TOO_LARGE = 5  # attempts at a frame that is larger than a file may be


class LargeFrames:
    """The thread, started at the first frame, and its queue. For the loop's thread.

    `problem` says why a frame could not be written so far; it is tried again, with growing
    pauses, until `close`; one that is larger than a file may be for 3 s. `on_lost` gets the seq
    of one that was given up, and counted, `on_recovered` is called when writing works again; both
    in the loop's thread.
    """

    def __init__(
        self,
        directory: JournalDirectory,
        receipts: Receipts,
        *,
        sync: bool,
        counters: Counters,
        on_lost: Callable[[int], None],
        on_recovered: Callable[[], None],
    ) -> None:
        self.problem: JournalProblem | None = None
        self._directory = directory
        self._receipts = receipts
        self._sync = sync
        self._counters = counters
        self._on_lost = on_lost
        self._on_recovered = on_recovered
        self._frames: dict[int, WaitingFrame] = {}
        self._queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._give_up_at: float | None = None  # on the monotonic clock, once it is closing
        self._thread: threading.Thread | None = None

    @property
    def outstanding(self) -> list[int]:
        """Return the seqs of frames that are in no file yet."""
        return sorted(self._frames)

    @property
    def held_bytes(self) -> int:
        """Return how many bytes these frames have."""
        return sum(frame.size for frame in list(self._frames.values()))

    def submit(self, seq: int, frame: WaitingFrame) -> None:
        """Have a frame written."""
        self._frames[seq] = frame
        self._queue.put(seq)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal-large", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """End a pause between attempts."""
        self._wake.set()

    def close(self, seconds: float) -> bool:
        """Write what is there within `seconds`, give up the rest; return whether it has ended."""
        self._give_up_at = time.monotonic() + seconds
        self._queue.put(None)
        self._wake.set()
        if self._thread is not None:
            self._thread.join(seconds + 0.5)
        if hanging := len(self._frames):
            self._counters.add("dropped.stopped", hanging)
        return not hanging

    def _run(self) -> None:
        while (seq := self._queue.get()) is not None:
            written = self._write_patiently(seq, self._frames[seq])
            frame = self._frames.pop(seq)
            had_problem, self.problem = self.problem is not None, None
            self._receipts.settle([frame.receipt], lost=not written)
            if not written:
                is_closing = self._give_up_at is not None
                self._counters.add("dropped.stopped" if is_closing else "dropped.unwritable")
                self._receipts.call(lambda seq=seq: self._on_lost(seq))  # type: ignore[misc]
            elif had_problem:
                self._receipts.call(self._on_recovered)

    def _write_patiently(self, seq: int, frame: WaitingFrame) -> bool:
        backoff = Backoff()
        while True:
            self._wake.clear()
            if self._give_up_at is not None and time.monotonic() > self._give_up_at:
                return False
            try:
                self._write(seq, frame)
            except OSError as error:
                self.problem = make_unwritable_problem(self._directory.path, error)
                too_large = error.errno == errno.EFBIG and backoff.attempts >= _MAX_TOO_LARGE
                if too_large or self._give_up_at is not None:
                    return False
                self._wake.wait(backoff.failed(time.monotonic()))
            except Exception:  # noqa: BLE001 - a thread that dies would leave a gap for good
                return False
            else:
                return True

    def _write(self, seq: int, frame: WaitingFrame) -> None:
        new = self._directory.path / format_unfinished_name(seq)
        try:
            self._fill(os.open(new, _CREATE, 0o600), seq, frame)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
        new.rename(new.with_name(format_segment_name(SegmentKind.LARGE, seq)))
        if self._sync:
            sync_folder(self._directory.path)

    def _fill(self, fd: int, seq: int, frame: WaitingFrame) -> None:
        try:
            parts = list(_slice_parts(frame.parts))
            seed = self._directory.seed
            write_all(fd, encode(seq, frame.kind, frame.key, frame.head, parts, seed=seed))
            if self._sync:
                sync_file(fd)
        finally:
            os.close(fd)


def _slice_parts(parts: Sequence[Buffer]) -> Iterable[Buffer]:
    """Yield parts in slices, between which other threads get the interpreter's lock."""
    for part in parts:
        view = memoryview(part)
        for at in range(0, len(view), _SLICE):
            yield view[at : at + _SLICE]
