"""Append frames to a journal, in mitmproxy's process and the event loop's thread.

A frame is one `writev` into the current main segment; what is above 1 MiB goes to a thread. With
`durability: power` another thread syncs. What the journal does not take, because it is full or its
disk refuses, waits in memory, and all that comes later behind it.

A frame has its seq when it is written, so what waits has none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from response_store.backoff import Backoff
from response_store.config import Durability
from response_store.diagnostics import Counters
from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.errors import (
    JournalProblem,
    make_full_problem,
    make_slow_problem,
    make_unwritable_problem,
)
from response_store.journal.frames import HEADER_SIZE, MAX_HEAD_BYTES, Buffer, encode
from response_store.journal.large_frames import LargeFrames
from response_store.journal.private_files import sync_folder
from response_store.journal.receipts import Backlog, CallSoon, Receipt, Receipts, WaitingFrame
from response_store.journal.segments import SegmentFile
from response_store.journal.sync_thread import SyncThread

logger = logging.getLogger(__name__)
CallLater = Callable[[float, Callable[[], None]], object]  # the loop's call_later

LARGE_FROM = 1 << 20
_MIN_SEGMENT, _MAX_SEGMENT = 256 << 10, 16 << 20
_MAX_PARTS = 256  # of one writev; Linux and macOS take 1024
_MAX_LARGE_BYTES = 256 << 20  # of large frames on their way to the disk
_RETRY_SECONDS = 0.005  # how long the loop may be held by frames that waited
_REPORT_AFTER = 1.0  # seconds that a problem lasts before it is reported
_CHECK_INTERVAL = 1.0  # between looks whether the current segment is still in its place


def choose_segment_size(max_bytes: int) -> int:
    """Return the size that segments have in a journal that may hold `max_bytes`."""
    return max(_MIN_SEGMENT, min(max_bytes // 8, _MAX_SEGMENT))


class JournalWriter:
    """Appends to a journal that this process owns. Its methods are for the event loop's thread.

    `call_soon` is the loop's `call_soon_threadsafe`: callbacks of receipts and `on_void` come that
    way. `call_later` is the loop's: with it, what waits is tried again by itself; without it the
    owner calls `retry` once `retry_in` seconds have passed. `at_turn_end` is the loop's
    `call_soon`: with it, what is appended in one turn of the loop is synced together. `on_void`
    gets the seq of a large frame that was given up.

    `last_seq` is the last seq that was assigned, `held_bytes` what the journal's files hold as
    far as is known.
    """

    def __init__(
        self,
        directory: JournalDirectory,
        *,
        max_bytes: int,
        durability: Durability,
        counters: Counters,
        call_soon: CallSoon,
        call_later: CallLater | None = None,
        at_turn_end: CallSoon | None = None,
        on_void: Callable[[int], None] | None = None,
        large_from: int = LARGE_FROM,
        segment_bytes: int | None = None,
        backlog: Backlog | None = None,
        clock: Callable[[], float] = time.monotonic,
        sync_segment: Callable[[SegmentFile], None] = SegmentFile.sync,
        sync_entries: Callable[[Path], None] = sync_folder,
    ) -> None:
        self.last_seq = 0
        self.held_bytes = 0
        self._directory = directory
        self._seed = directory.seed
        self._max_bytes = max_bytes
        self._counters = counters
        self._call_later = call_later
        self._on_void = on_void
        self._large_from = large_from
        self._segment_bytes = segment_bytes or choose_segment_size(max_bytes)
        self._backlog = backlog if backlog is not None else Backlog()
        self._backoff = Backoff()
        self._clock = clock
        self._receipts = Receipts(call_soon)
        self._segment: SegmentFile | None = None
        self._number = 0  # of the last segment
        self._room = -1  # bytes that may go into the current segment as they come
        self._look_at = 0.0
        self._is_gone = False  # whether the current segment is not in its place
        self._problem: JournalProblem | None = None
        self._failing_since: float | None = None
        self._has_reported = False  # that it fails
        self._timer_runs = False
        self._is_closed = False
        self._has_warned = False
        power = durability is Durability.POWER
        self._large = LargeFrames(
            directory,
            self._receipts,
            sync=power,
            counters=counters,
            on_lost=self._lose_large,
            on_recovered=self.retry,
        )
        self._sync: SyncThread | None = None
        if power:
            self._sync = SyncThread(
                directory,
                self._receipts,
                counters,
                on_failure=self._leave_unsynced,
                call_soon=at_turn_end,
                sync_segment=sync_segment,
                sync_entries=sync_entries,
            )

    @property
    def failing(self) -> JournalProblem | None:
        """Why frames wait in memory, or why the disk did not keep the last ones."""
        unsynced = self._sync.problem if self._sync is not None else None
        return self._problem or self._large.problem or unsynced

    @property
    def retry_in(self) -> float:
        """Seconds until what waits may be tried again; 0 where nothing waits."""
        return max(0.0, self._backoff.next_at - self._clock()) if self._backlog else 0.0

    @property
    def waiting(self) -> int:
        """Return how many frames wait in memory for the journal to take frames again."""
        return len(self._backlog)

    @property
    def outstanding(self) -> list[int]:
        """Return the seqs of large frames that are in no file yet, without those of `next_seq`."""
        return self._large.outstanding

    def next_seq(self) -> int:
        """Reserve a seq for a frame that goes another way."""
        self.last_seq += 1
        return self.last_seq

    def append(self, kind: int, key: int, head: bytes, parts: Sequence[Buffer] = ()) -> Receipt:
        """Append a frame and return its receipt, whatever the disk does.

        The parts are bytes, or memoryviews of bytes, and must not change until the receipt is
        settled. Raises ValueError for a head above 1 MiB.
        """
        size = HEADER_SIZE + len(head) + sum(map(len, parts))
        segment = self._segment
        if (
            segment is None
            or size > self._room
            or size > self._large_from
            or self._large.problem is not None
            or len(parts) > _MAX_PARTS
            or self._clock() >= self._look_at
        ):
            return self._append_slowly(WaitingFrame(kind, key, head, parts, Receipt()))
        seq = self.last_seq + 1
        try:
            segment.append(encode(seq, kind, key, head, parts, seed=self._seed), size)
        except OSError:
            self._leave_segment()
            return self._append_slowly(WaitingFrame(kind, key, head, parts, Receipt()))
        self.last_seq = seq
        self._room -= size
        self.held_bytes += size
        if self._sync is None:
            return Receipt(seq, True)
        receipt = Receipt(seq)
        self._request_sync(self._sync, segment, receipt)
        return receipt

    def retry(self) -> None:
        """Write what waits, in order, for 5 ms at most; the rest comes soon."""
        self._drain(_RETRY_SECONDS)

    def released(self, bytes_on_disk: int) -> None:
        """Take over what the ingester has measured after it dropped segments."""
        self.held_bytes = bytes_on_disk + self._large.held_bytes
        self._measure_room()
        self._large.wake()
        if self._problem is not None and self._problem.kind == "full":
            self.retry()

    def wait(self, receipts: Iterable[Receipt], seconds: float) -> bool:
        """Block until all receipts are settled; return whether all are acknowledged.

        Returns at once where a frame waits in memory: this thread alone can write it.
        """
        if self._sync is not None:
            self._sync.hand_over()
        return self._receipts.wait(receipts, seconds)

    def rotate(self) -> None:
        """End the current main segment: the next frame begins another one.

        Its number is above the last seq, also where one with a lower number was made ahead: who
        drops all segments up to the last seq must not drop it.
        """
        self._leave_segment()
        self._number = max(self._number, self.last_seq)

    def close(self, seconds: float = 5.0) -> None:
        """Write what waits, within `seconds`; drop and count what can't be written. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        stop_at = self._clock() + seconds
        self._drain(seconds)
        self._large.close(max(0.0, stop_at - self._clock()))
        self._drain(max(0.0, stop_at - self._clock()))
        while self._backlog:
            self._drop(self._backlog.pop(), "dropped.stopped")
        self._leave_segment()
        if self._sync is not None:
            self._sync.close(max(0.1, stop_at - self._clock()))

    def _append_slowly(self, frame: WaitingFrame) -> Receipt:
        if len(frame.head) > MAX_HEAD_BYTES:
            raise ValueError(f"a frame's head of {len(frame.head)} bytes is too large")
        if self._is_closed:
            return self._drop(frame, "dropped.stopped")
        if frame.size > self._max_bytes:
            self._warn_of_size(frame)
            return self._drop(frame, "dropped.queue_full")
        if self._backlog and self._clock() >= self._backoff.next_at:
            self.retry()
        problem = None if self._backlog else self._place(frame)
        if self._backlog or problem is not None:
            if not self._backlog.add(frame):
                return self._drop(frame, "dropped.queue_full")
            if problem is not None:
                self._fail(problem)
        return frame.receipt

    def _place(self, frame: WaitingFrame) -> JournalProblem | None:
        """Give a frame its seq and its place; return what keeps it from that."""
        problem = self._look() or self._large.problem or self._check_room(frame.size)
        if problem is not None:
            return problem
        if frame.size > self._large_from:
            if self._large.held_bytes + frame.size > _MAX_LARGE_BYTES:
                return make_slow_problem(self._directory.path)
            frame.receipt.seq = self.next_seq()
            self.held_bytes += frame.size
            self._measure_room()
            self._large.submit(self.last_seq, frame)
            return None
        try:
            self._write(frame)
        except OSError as error:
            return make_unwritable_problem(self._directory.path, error)
        return None

    def _check_room(self, size: int) -> JournalProblem | None:
        if self.held_bytes + size <= self._max_bytes:
            return None
        self.held_bytes = self._directory.bytes_on_disk() + self._large.held_bytes
        self._measure_room()
        if self.held_bytes + size <= self._max_bytes:
            return None
        return make_full_problem(self._directory.path, self.held_bytes, self._max_bytes)

    def _write(self, frame: WaitingFrame) -> None:
        """Write a frame into the current segment, else into a new one. Raises OSError."""
        segment = self._segment
        if segment is None or (segment.size and segment.size + frame.size > self._segment_bytes):
            segment = self._begin_segment()
        seq, parts = self.last_seq + 1, frame.parts
        if len(parts) > _MAX_PARTS:
            parts = (b"".join(parts),)
        buffers = encode(seq, frame.kind, frame.key, frame.head, parts, seed=self._seed)
        try:
            segment.append(buffers, frame.size)
        except OSError:
            was_new = not segment.size
            self._leave_segment()
            if was_new:
                raise
            self._write(frame)
            return
        self.last_seq = frame.receipt.seq = seq
        self.held_bytes += frame.size
        self._measure_room()
        if self._sync is None:
            self._receipts.settle([frame.receipt])
        else:
            self._request_sync(self._sync, segment, frame.receipt)

    def _request_sync(self, sync: SyncThread, segment: SegmentFile, receipt: Receipt) -> None:
        sync.submit(segment, receipt)
        # A number above the segment's, and below that of one which the loop would have to make.
        if segment.size * 2 > self._segment_bytes and self.last_seq > segment.number:
            sync.prepare(segment.number + 1)

    def _begin_segment(self) -> SegmentFile:
        """Leave the current segment for a new one. Raises OSError."""
        self._leave_segment()
        prepared = self._sync.take_prepared() if self._sync is not None else None
        if prepared is not None and prepared.number <= self._number:  # it came too late
            prepared.close()
            prepared = None
        segment = prepared or SegmentFile(self._directory, SegmentKind.MAIN, self.last_seq + 1)
        self._segment, self._number = segment, segment.number
        return segment

    def _leave_segment(self) -> None:
        segment, self._segment, self._room, self._is_gone = self._segment, None, -1, False
        if segment is None:
            return
        if self._sync is not None and segment.size:
            self._sync.finish(segment)
        else:  # now, since the next one may have the name of one that is empty
            segment.close()

    def _measure_room(self) -> None:
        """Note how much may be appended without another look at the limits."""
        if self._segment is not None and not self._is_gone:
            self._room = min(
                self._segment_bytes - self._segment.size, self._max_bytes - self.held_bytes
            )

    def _look(self) -> JournalProblem | None:
        """Put back a segment that was moved or removed, at most a second after that.

        Return what keeps it from that: until then nothing is appended.
        """
        now = self._clock()
        if now < self._look_at and not self._is_gone:
            return None
        self._look_at = now + _CHECK_INTERVAL
        segment = self._segment
        if segment is None or segment.is_in_place():
            self._is_gone = False
            return None
        if not self._is_gone:
            self._counters.add("journal.segment_gone")
            self._is_gone, self._room = True, -1
        try:
            segment.put_back()
        except OSError as error:
            return make_unwritable_problem(self._directory.path, error)
        self._leave_segment()
        return None

    def _drain(self, seconds: float) -> None:
        stop_at = self._clock() + seconds
        while self._backlog:
            frame = self._backlog.pop()
            if (problem := self._place(frame)) is not None:
                self._backlog.put_back(frame)
                self._fail(problem)
                return
            if self._backlog and self._clock() >= stop_at:
                self._backoff.succeeded()
                if self._call_later is not None:
                    self._call_later(0.0, self.retry)
                return
        self._problem = self._failing_since = None
        self._backoff.succeeded()
        if self._has_reported:
            self._has_reported = False
            logger.warning("response_store: journal %s is written again", self._directory.path)

    def _fail(self, problem: JournalProblem) -> None:
        """Note a problem, and report it once it has lasted."""
        now = self._clock()
        self._problem = problem
        if self._failing_since is None:
            self._failing_since = now
        if not self._has_reported and now - self._failing_since >= _REPORT_AFTER:
            self._has_reported = True
            logger.warning("response_store: %s; what comes meanwhile waits in memory", problem.text)
        self._start_timer(self._backoff.failed(self._clock()))

    def _start_timer(self, seconds: float) -> None:
        if self._call_later is not None and not self._timer_runs and not self._is_closed:
            self._timer_runs = True
            self._call_later(seconds, self._end_timer)

    def _end_timer(self) -> None:
        self._timer_runs = False
        self.retry()

    def _drop(self, frame: WaitingFrame, reason: str) -> Receipt:
        self._counters.add(reason)
        self._receipts.settle([frame.receipt], lost=True)
        return frame.receipt

    def _lose_large(self, seq: int) -> None:
        if self._on_void is not None:
            self._on_void(seq)
        self.retry()

    def _leave_unsynced(self, segment: SegmentFile) -> None:
        """Begin another segment: the disk has not kept frames of this one."""
        if segment is self._segment:
            self._leave_segment()

    def _warn_of_size(self, frame: WaitingFrame) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "response_store: a frame of %d bytes is dropped, journal.max_bytes is %d: "
                "raise it, or lower capture.max_body_bytes",
                frame.size,
                self._max_bytes,
            )
