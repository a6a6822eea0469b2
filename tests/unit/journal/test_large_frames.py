"""Large frames: written in a thread, whole under their name, tried again, given up at the end."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from response_store.diagnostics import Counters
from response_store.journal import large_frames
from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.frames import Frame, FrameKind
from response_store.journal.large_frames import LargeFrames
from response_store.journal.receipts import Receipt, Receipts, WaitingFrame
from tests.unit.journal.making import EventLoop, read_all

BODY = os.urandom(3 << 20)


def large(seq: int, *parts: bytes) -> WaitingFrame:
    """Return a frame of megabytes that has its seq."""
    return WaitingFrame(FrameKind.OPEN, 5, b"head", parts or (BODY,), Receipt(seq))


class Parts:
    """A writer of large frames and what it needs."""

    def __init__(self, journal: JournalDirectory, loop: EventLoop, *, sync: bool = False) -> None:
        self.lost: list[int] = []
        self.recovered: list[bool] = []
        self.counters = Counters()
        self.receipts = Receipts(loop.soon.append)
        self.frames = LargeFrames(
            journal,
            self.receipts,
            sync=sync,
            counters=self.counters,
            on_lost=self.lost.append,
            on_recovered=lambda: self.recovered.append(True),
        )

    def submit(self, frame: WaitingFrame) -> Receipt:
        """Submit a frame under its seq."""
        self.frames.submit(frame.receipt.seq, frame)
        return frame.receipt


@pytest.fixture
def parts(journal: JournalDirectory, loop: EventLoop):
    """Without sync."""
    parts = Parts(journal, loop)
    yield parts
    parts.frames.close(0.0)


class Failing:
    """`os.write` that fails after a while, as on a full disk."""

    def __init__(self, code: int, after: int = 0) -> None:
        self.code = code
        self.left = after
        self.is_over = False
        self.failures = 0
        self._write = os.write

    def __call__(self, fd: int, data) -> int:
        if self.is_over:
            return self._write(fd, data)
        written = self._write(fd, data[: self.left]) if self.left else 0
        self.left -= written
        if written:
            return written
        self.failures += 1
        raise OSError(self.code, os.strerror(self.code))


@pytest.fixture
def failing(monkeypatch):
    """Let writes of segments fail with ENOSPC after 1.5 MB, until `is_over`."""
    failing = Failing(errno.ENOSPC, 1_500_000)
    monkeypatch.setattr("response_store.journal.segments.os.write", failing)
    return failing


def test_a_frame_has_a_segment_of_its_own(parts: Parts, journal: JournalDirectory) -> None:
    """Named by its seq; nothing else is left."""
    receipt = parts.submit(large(8, BODY, b"more"))
    assert parts.receipts.wait([receipt], 10.0)
    [segment] = journal.segments()
    assert (segment.kind, segment.number) == (SegmentKind.LARGE, 8)
    assert read_all(journal) == [Frame(8, FrameKind.OPEN, 5, 0, b"head", BODY + b"more")]
    assert not list(journal.path.glob("*.new"))


def test_several_are_written_in_turn(parts: Parts, journal: JournalDirectory) -> None:
    """Each is outstanding until it is in a file."""
    receipts = [parts.submit(large(seq)) for seq in (3, 1, 2)]
    assert parts.receipts.wait(receipts, 10.0)
    assert [segment.number for segment in journal.segments()] == [1, 2, 3]
    while parts.frames.outstanding:
        pass
    assert parts.frames.held_bytes == 0


def test_nothing_of_it_is_read_before_it_is_whole(parts, journal, monkeypatch) -> None:
    """While it is written there is no segment, and it is outstanding."""
    goes_on, is_there = threading.Event(), threading.Event()
    write_all = large_frames.write_all

    def slowly(fd: int, buffers) -> None:
        write_all(fd, buffers[:3])
        is_there.set()
        assert goes_on.wait(10.0)
        write_all(fd, buffers[3:])

    monkeypatch.setattr(large_frames, "write_all", slowly)
    receipt = parts.submit(large(8))
    assert is_there.wait(10.0)
    assert journal.segments() == []
    assert journal.bytes_on_disk() > 0
    assert parts.frames.outstanding == [8]
    assert parts.frames.held_bytes > len(BODY)
    goes_on.set()
    assert parts.receipts.wait([receipt], 10.0)


def test_the_interpreter_is_not_held(parts: Parts, monkeypatch) -> None:
    """What is written at a time is a megabyte."""
    sizes = []
    write_all = large_frames.write_all

    def note(fd: int, buffers) -> None:
        sizes.extend(len(buffer) for buffer in buffers)
        write_all(fd, buffers)

    monkeypatch.setattr(large_frames, "write_all", note)
    assert parts.receipts.wait([parts.submit(large(1, bytes(5 << 20)))], 10.0)
    assert max(sizes) == 1 << 20


def test_a_full_disk_is_waited_for(parts, journal, failing: Failing, loop: EventLoop) -> None:
    """The frame is outstanding, the problem known, nothing half-written left; then it is there."""
    receipt = parts.submit(large(8))
    loop.run_until(lambda: failing.failures >= 2)
    assert "no space left on device" in parts.frames.problem.text
    assert parts.frames.outstanding == [8]
    assert journal.segments() == []
    failing.is_over = True
    parts.frames.wake()
    assert parts.receipts.wait([receipt], 10.0)
    loop.run_until(lambda: parts.recovered == [True])
    assert parts.frames.problem is None
    assert parts.lost == []
    assert read_all(journal)[0].body == BODY


def test_what_is_larger_than_a_file_may_be_is_given_up(parts, failing, monkeypatch, loop) -> None:
    """It would hold up everything for good. The next one is written."""
    failing.code = errno.EFBIG
    monkeypatch.setattr(large_frames, "_MAX_TOO_LARGE", 2)
    receipt = parts.submit(large(8))
    loop.run_until(lambda: parts.lost == [8])
    assert receipt.lost
    assert parts.counters.snapshot() == {"dropped.unwritable": 1}
    failing.is_over = True
    assert parts.receipts.wait([parts.submit(large(9))], 10.0)


def test_closing_gives_up_what_cannot_be_written(parts, failing: Failing, loop) -> None:
    """Within its time, counted, and the proxy can say that the seqs are void."""
    receipts = [parts.submit(large(seq)) for seq in (8, 9)]
    loop.run_until(lambda: failing.failures)
    assert parts.frames.close(5.0)
    loop.run()
    assert parts.lost == [8, 9]
    assert all(receipt.lost for receipt in receipts)
    assert parts.counters.snapshot() == {"dropped.stopped": 2}


def test_closing_writes_what_waits(parts: Parts, journal: JournalDirectory) -> None:
    """Where the disk takes it."""
    for seq in range(1, 6):
        parts.submit(large(seq))
    assert parts.frames.close(10.0)
    assert len(journal.segments()) == 5
    assert parts.counters.snapshot() == {}


def test_closing_is_bounded(parts: Parts, monkeypatch) -> None:
    """A disk that hangs keeps nobody; what it holds is counted."""
    hangs = threading.Event()
    monkeypatch.setattr(large_frames, "write_all", lambda fd, buffers: hangs.wait(10.0))
    parts.submit(large(1))
    assert not parts.frames.close(0.0)
    assert parts.counters.get("dropped.stopped") == 1
    hangs.set()


def test_an_error_of_ours_leaves_no_gap(parts: Parts, monkeypatch, loop: EventLoop) -> None:
    """The frame is given up and counted, and the thread goes on."""

    def broken(*arguments, **options) -> None:
        raise MemoryError

    with monkeypatch.context() as broken_encode:
        broken_encode.setattr(large_frames, "encode", broken)
        parts.submit(large(1))
        loop.run_until(lambda: parts.lost == [1])
    assert parts.receipts.wait([parts.submit(large(2))], 10.0)


def test_power_syncs_file_and_entry_before_the_acknowledgement(journal, loop, monkeypatch) -> None:
    """The file, its name, its entry."""
    calls = []
    monkeypatch.setattr(
        large_frames, "sync_file", lambda fd: calls.append(("file", len(journal.segments())))
    )
    monkeypatch.setattr(
        large_frames, "sync_folder", lambda path: calls.append(("entry", len(journal.segments())))
    )
    parts = Parts(journal, loop, sync=True)
    receipt = parts.submit(large(1))
    assert parts.receipts.wait([receipt], 10.0)
    assert calls == [("file", 0), ("entry", 1)]
    parts.frames.close(1.0)
