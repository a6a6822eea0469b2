"""Syncs in a thread: grouped, the folder's entry first, failures lose receipts."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

import pytest

from response_store.diagnostics import Counters
from response_store.journal import sync_thread
from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.receipts import CallSoon, Receipt, Receipts
from response_store.journal.segments import SegmentFile
from response_store.journal.sync_thread import SyncThread
from tests.unit.journal.making import EventLoop


class Disk:
    """Records syncs; each waits for `may_go`, and fails while `error` is set."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.began = threading.Event()
        self.error: OSError | None = None

    def sync_segment(self, segment: SegmentFile) -> None:
        """Sync a file."""
        self._sync(segment.name[-5:-4])

    def sync_entries(self, path) -> None:
        """Sync a folder."""
        self._sync("entries")

    def _sync(self, name: str) -> None:
        self.began.set()
        assert self.may_go.wait(10.0)
        self.calls.append(name)
        if self.error is not None:
            raise self.error


@pytest.fixture
def disk() -> Disk:
    """A disk that the test controls."""
    return Disk()


class Parts:
    """A sync thread and what it needs."""

    def __init__(
        self,
        journal: JournalDirectory,
        disk: Disk,
        loop: EventLoop,
        call_soon: CallSoon | None = None,
    ) -> None:
        self.failed: list[SegmentFile] = []
        self.counters = Counters()
        self.receipts = Receipts(loop.soon.append)
        self.journal = journal
        self.thread = SyncThread(
            journal,
            self.receipts,
            self.counters,
            on_failure=self.failed.append,
            call_soon=call_soon,
            sync_segment=disk.sync_segment,
            sync_entries=disk.sync_entries,
        )

    def segment(self, number: int = 1) -> SegmentFile:
        """Return a segment with a frame in it."""
        segment = SegmentFile(self.journal, SegmentKind.MAIN, number)
        segment.append([b"frame"], 5)
        return segment

    def submit(self, segment: SegmentFile, count: int) -> list[Receipt]:
        """Submit so many frames."""
        receipts = [Receipt(seq) for seq in range(count)]
        for receipt in receipts:
            self.thread.submit(segment, receipt)
        return receipts


@pytest.fixture
def parts(journal: JournalDirectory, disk: Disk, loop: EventLoop):
    """A running thread."""
    parts = Parts(journal, disk, loop)
    yield parts
    disk.may_go.set()
    parts.thread.close(5.0)


def test_the_entry_is_synced_before_the_first_acknowledgement(parts: Parts, disk: Disk) -> None:
    """And only once for each segment."""
    segment = parts.segment()
    assert parts.receipts.wait(parts.submit(segment, 1), 5.0)
    assert disk.calls == ["entries", "1"]
    assert parts.receipts.wait(parts.submit(segment, 1), 5.0)
    assert disk.calls == ["entries", "1", "1"]


def test_one_sync_covers_all_that_came_before_it(parts: Parts, disk: Disk) -> None:
    """A hundred frames wait while one sync runs: one more sync is all they need."""
    segment = parts.segment()
    segment.entry_is_synced = True
    disk.may_go.clear()
    first = parts.submit(segment, 1)
    assert disk.began.wait(5.0)
    others = parts.submit(segment, 100)
    assert not any(receipt.done for receipt in first + others)
    disk.may_go.set()
    assert parts.receipts.wait(first + others, 5.0)
    assert disk.calls == ["1", "1"]


def test_a_frame_that_comes_during_a_sync_is_not_covered_by_it(parts: Parts, disk: Disk) -> None:
    """It was not in the file when that began."""
    segment = parts.segment()
    disk.may_go.clear()
    [first] = parts.submit(segment, 1)
    assert disk.began.wait(5.0)
    [second] = parts.submit(segment, 1)
    disk.may_go.set()
    assert parts.receipts.wait([first, second], 5.0)
    assert disk.calls == ["entries", "1", "1"]


def test_a_failed_sync_loses_what_it_was_to_cover(parts: Parts, disk: Disk, loop) -> None:
    """Counted, told to the writer, and a problem until a sync succeeds."""
    segment = parts.segment()
    disk.error = OSError(errno.EIO, "Input/output error")
    receipts = parts.submit(segment, 2)
    assert not parts.receipts.wait(receipts, 5.0)
    loop.run_until(lambda: parts.counters.get("dropped.unsynced") == 2)
    assert all(receipt.lost for receipt in receipts)
    assert set(parts.failed) == {segment}
    assert "input/output error" in parts.thread.problem.text
    disk.error = None
    assert parts.receipts.wait(parts.submit(parts.segment(2), 1), 5.0)
    assert parts.thread.problem is None


def test_a_problem_passes(parts: Parts, disk: Disk, monkeypatch) -> None:
    """Where nothing is written because of it nothing would show that it is over."""
    disk.error = OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(sync_thread, "_PROBLEM_SECONDS", 0.0)
    assert not parts.receipts.wait(parts.submit(parts.segment(), 1), 5.0)
    assert parts.thread.problem is None


def test_a_segment_is_closed_after_its_syncs(parts: Parts, disk: Disk, loop) -> None:
    """The descriptor is needed until then."""
    segment = parts.segment()
    receipts = parts.submit(segment, 1)
    parts.thread.finish(segment)
    assert parts.receipts.wait(receipts, 5.0)
    loop.run_until(lambda: segment.fd == -1)
    assert disk.calls == ["entries", "1"]


def test_the_next_segment_is_made_ahead(parts: Parts, disk: Disk, loop) -> None:
    """With its entry on the disk, once for each number."""
    parts.thread.prepare(7)
    parts.thread.prepare(7)
    loop.run_until(lambda: disk.calls == ["entries"])
    loop.run_until(lambda: parts.thread._prepared)
    prepared = parts.thread.take_prepared()
    assert prepared.number == 7
    assert prepared.entry_is_synced
    assert parts.thread.take_prepared() is None
    prepared.close()


def test_what_was_made_ahead_and_not_used_goes(parts: Parts, journal, disk: Disk, loop) -> None:
    """At the end there is no empty file."""
    parts.thread.prepare(7)
    loop.run_until(lambda: parts.thread._prepared)
    assert parts.thread.close(5.0)
    assert journal.segments() == []


def test_closing_syncs_what_was_submitted(parts: Parts, disk: Disk) -> None:
    """Within its time."""
    receipts = parts.submit(parts.segment(), 3)
    assert parts.thread.close(5.0)
    assert all(receipt.done for receipt in receipts)


def test_closing_is_bounded(parts: Parts, disk: Disk) -> None:
    """A disk that hangs keeps nobody."""
    disk.may_go.clear()
    parts.submit(parts.segment(), 1)
    assert not parts.thread.close(0.05)


def test_a_turn_of_the_loop_is_handed_over_at_once(
    journal: JournalDirectory, disk: Disk, loop: EventLoop
) -> None:
    """What is submitted in one turn is synced together at its end, or when somebody blocks."""
    turns: list[Callable[[], None]] = []
    parts = Parts(journal, disk, loop, turns.append)
    segment = parts.segment()
    first = parts.submit(segment, 3)
    assert not parts.receipts.wait(first, 0.05)
    (end_of_turn,) = turns
    end_of_turn()
    assert parts.receipts.wait(first, 10.0)
    assert disk.calls == ["entries", "1"]
    second = parts.submit(segment, 2)
    parts.thread.hand_over()
    assert parts.receipts.wait(second, 10.0)
    assert disk.calls == ["entries", "1", "1"]
    third = parts.submit(segment, 1)
    assert parts.thread.close(10.0)
    assert all(receipt.done for receipt in third)
