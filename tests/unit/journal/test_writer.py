"""Appending to a journal: what is acknowledged is there, what does not fit waits, in order."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.config import Durability
from response_store.diagnostics import Counters
from response_store.journal import large_frames
from response_store.journal import writer as writer_module
from response_store.journal.directory import JournalDirectory
from response_store.journal.frames import HEADER_SIZE, MAX_HEAD_BYTES, Frame, FrameKind
from response_store.journal.reader import JournalReader
from response_store.journal.receipts import Backlog
from response_store.journal.segments import CleanedWriter, SegmentFile
from response_store.journal.writer import JournalWriter, choose_segment_size
from tests.unit.journal import appender
from tests.unit.journal.making import (
    EventLoop,
    make_journal,
    make_writer,
    open_files,
    read_all,
    seqs,
)

REPOSITORY = Path(__file__).parents[3]
MIB = 1 << 20


def put(writer: JournalWriter, key: int, body: bytes = b"body"):
    """Append a frame."""
    return writer.append(FrameKind.END, key, b"head", (body,))


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def test_an_append_is_the_acknowledgement(new_writer, journal: JournalDirectory) -> None:
    """When it returns the frame is in the file, without a sync and without another thread."""
    writer = new_writer()
    receipt = writer.append(FrameKind.PART, 9, b"head", (b"a", memoryview(b"b")))
    assert receipt.done
    assert receipt.seq == writer.last_seq == 1
    assert read_all(journal) == [Frame(1, FrameKind.PART, 9, 0, b"head", b"ab")]
    assert writer.wait([receipt], 0.0)
    assert writer.failing is None


def test_seqs_rise_and_can_be_reserved(new_writer, journal: JournalDirectory) -> None:
    """A seq that goes another way is left out here."""
    writer = new_writer()
    assert put(writer, 1).seq == 1
    assert writer.next_seq() == 2
    assert put(writer, 2).seq == 3
    assert seqs(read_all(journal)) == [1, 3]


@pytest.mark.parametrize(
    ("max_bytes", "size"),
    [(1, 256 << 10), (4 * MIB, 512 << 10), (64 * MIB, 8 * MIB), (1 << 40, 16 * MIB)],
)
def test_segments_are_an_eighth_of_the_journal(max_bytes: int, size: int) -> None:
    """Between 256 KiB and 16 MiB."""
    assert choose_segment_size(max_bytes) == size


def test_a_full_segment_is_followed_by_another(new_writer, journal: JournalDirectory) -> None:
    """Named by the seq of its first frame."""
    writer = new_writer(segment_bytes=1000)
    for key in range(10):
        put(writer, key, bytes(300))
    segments = journal.segments()
    assert [segment.number for segment in segments] == [1, 3, 5, 7, 9]
    assert all(segment.size <= 1000 for segment in segments)
    put(writer, 10, bytes(2000))
    put(writer, 11)
    assert [segment.number for segment in journal.segments()] == [1, 3, 5, 7, 9, 11, 12]
    assert seqs(read_all(journal)) == list(range(1, 13))


def test_rotating_begins_another_at_the_next_frame(new_writer, journal: JournalDirectory) -> None:
    """No empty file comes of it."""
    writer = new_writer()
    writer.rotate()
    put(writer, 1)
    writer.rotate()
    writer.rotate()
    assert len(journal.segments()) == 1
    put(writer, 2)
    assert len(journal.segments()) == 2


def test_many_parts_are_one_frame(new_writer, journal: JournalDirectory) -> None:
    """More than a `writev` takes."""
    writer = new_writer()
    writer.append(FrameKind.PART, 1, b"head", [b"%d," % number for number in range(5000)])
    assert read_all(journal)[0].body == b"".join(b"%d," % number for number in range(5000))


def test_a_head_is_bounded(new_writer) -> None:
    """That is a mistake of ours, not of the disk."""
    writer = new_writer()
    with pytest.raises(ValueError, match="head"):
        writer.append(FrameKind.END, 1, bytes(MAX_HEAD_BYTES + 1))
    assert writer.last_seq == 0


def test_closing_leaves_no_descriptor_and_no_thread(journal, loop: EventLoop) -> None:
    """In both durabilities, also twice; what comes later is dropped and counted."""
    before = open_files(), threading.active_count()
    for durability in Durability:
        counters = Counters()
        writer = make_writer(journal, loop, durability=durability, large_from=50, counters=counters)
        for number in range(20):
            put(writer, number, bytes(number * 10))
        writer.close()
        writer.close()
        assert (open_files(), threading.active_count()) == before
        assert put(writer, 99).lost
        assert counters.snapshot() == {"dropped.stopped": 1}
        assert len(read_all(journal)) == 20
        journal.discard_segments()


# Large frames


def test_a_large_frame_keeps_its_place(new_writer, journal, loop: EventLoop) -> None:
    """Its seq is reserved, small ones go on at once, and nothing is missing at the end."""
    writer = new_writer()
    first = put(writer, 1)
    large = put(writer, 2, os.urandom(3 * MIB))
    last = put(writer, 3)
    assert (first.seq, large.seq, last.seq) == (1, 2, 3)
    assert first.done
    assert last.done
    called = []
    large.add_done_callback(called.append)
    assert writer.wait([large], 10.0)
    loop.run_until(lambda: called)
    assert writer.outstanding == []
    assert seqs(read_all(journal)) == [1, 2, 3]


def test_small_frames_do_not_wait_for_a_large_one(new_writer, journal, monkeypatch) -> None:
    """A disk that takes its time with megabytes: the loop goes on."""
    goes_on = threading.Event()
    monkeypatch.setattr(large_frames, "sync_folder", lambda path: None)
    write_all = large_frames.write_all
    monkeypatch.setattr(
        large_frames, "write_all", lambda fd, data: goes_on.wait(10.0) and write_all(fd, data)
    )
    writer = new_writer()
    large = put(writer, 1, bytes(2 * MIB))
    assert all(put(writer, 2).done for _ in range(100))
    assert writer.outstanding == [1]
    assert not large.done
    goes_on.set()
    assert writer.wait([large], 10.0)


def test_while_a_large_frame_fails_others_wait_behind(new_writer, journal, loop, monkeypatch):
    """Else they would take the room that it needs; once it is written they follow."""
    with monkeypatch.context() as full:
        full.setattr(large_frames, "write_all", fail)
        writer = new_writer()
        put(writer, 0)
        large = put(writer, 1, bytes(2 * MIB))
        loop.run_until(lambda: writer.failing)
        small = put(writer, 2)
        assert not small.done
        assert not writer.wait([small], 60.0)
        assert writer.waiting == 1
    writer.released(0)
    assert writer.wait([large], 10.0)
    loop.run_until(lambda: small.done)
    assert (large.seq, small.seq) == (2, 3)
    assert writer.failing is None


def test_a_large_frame_that_is_given_up_is_void(new_writer, loop, monkeypatch) -> None:
    """The owner hears of its seq, so that nobody waits for it."""
    monkeypatch.setattr(large_frames, "write_all", fail)
    void = []
    writer = new_writer(on_void=void.append)
    put(writer, 1, bytes(2 * MIB))
    writer.close(0.0)
    loop.run()
    assert void == [1]


def test_large_frames_in_memory_are_bounded(new_writer, monkeypatch) -> None:
    """A disk that is slower than the traffic."""
    goes_on = threading.Event()
    monkeypatch.setattr(large_frames, "write_all", lambda fd, data: goes_on.wait(10.0))
    monkeypatch.setattr(writer_module, "_MAX_LARGE_BYTES", 5 * MIB)
    writer = new_writer()
    for _ in range(3):
        put(writer, 1, bytes(2 * MIB))
    assert writer.waiting == 1
    assert "slower than the traffic" in writer.failing.text
    goes_on.set()


# Full


def fail(*arguments) -> None:
    """Fail as a full disk does."""
    raise OSError(28, "No space left on device")


def test_a_full_journal_takes_no_more(new_writer, journal, clock: Clock) -> None:
    """Frames wait in order, and follow once the ingester has dropped a segment."""
    writer = new_writer(max_bytes=1000, segment_bytes=400, clock=clock)
    receipts = [put(writer, key, bytes(150)) for key in range(8)]
    assert [receipt.done for receipt in receipts] == [True] * 5 + [False] * 3
    assert writer.waiting == 3
    assert writer.failing.kind == "full"
    assert "journal.max_bytes is 1000" in writer.failing.text
    assert 0.07 < writer.retry_in <= 0.1
    reader = JournalReader(journal, is_outstanding=lambda seq: True)
    list(reader.next(100))
    for segment in reader.droppable(writer.last_seq):
        reader.drop(segment)
    writer.released(reader.bytes_on_disk())
    assert all(receipt.done for receipt in receipts)
    assert [receipt.seq for receipt in receipts] == list(range(1, 9))
    assert writer.failing is None
    assert writer.retry_in == 0.0
    assert [frame.key for frame in read_all(journal)] == [4, 5, 6, 7]


def test_what_was_dropped_is_noticed_without_a_report(new_writer, journal) -> None:
    """Before it says that the journal is full, the writer looks what is on the disk."""
    writer = new_writer(max_bytes=1000, segment_bytes=300)
    for key in range(5):
        put(writer, key, bytes(150))
    for segment in journal.segments()[:3]:
        (journal.path / segment.name).unlink()
    assert put(writer, 9, bytes(150)).done
    assert writer.held_bytes <= 800


def test_cleaned_segments_count(new_writer, journal: JournalDirectory) -> None:
    """The bound is for the whole folder, once the ingester has reported."""
    writer = new_writer(max_bytes=1000)
    cleaned = CleanedWriter(journal)
    cleaned.append(1, FrameKind.END, 1, b"head", (bytes(900),))
    writer.released(journal.bytes_on_disk())
    assert not put(writer, 1, bytes(100)).done
    cleaned.close()


def test_what_never_fits_is_dropped_with_one_warning(new_writer, caplog) -> None:
    """Counted each time."""
    counters = Counters()
    writer = new_writer(max_bytes=500, counters=counters)
    assert put(writer, 1, bytes(500)).lost
    assert put(writer, 2, bytes(500)).lost
    assert counters.snapshot() == {"dropped.queue_full": 2}
    assert len(caplog.records) == 1
    assert "journal.max_bytes" in caplog.text
    assert put(writer, 3).done


@pytest.mark.parametrize("bounds", [{"max_frames": 2}, {"max_bytes": 2 * (HEADER_SIZE + 8)}])
def test_what_waits_is_bounded(new_writer, loop, monkeypatch, clock, bounds) -> None:
    """Further ones are lost and counted; those that wait are written in order."""
    counters = Counters()
    writer = new_writer(counters=counters, backlog=Backlog(**bounds), clock=clock)
    with monkeypatch.context() as full:
        full.setattr(SegmentFile, "append", fail)
        receipts = [put(writer, key) for key in range(4)]
    assert [receipt.lost for receipt in receipts] == [False, False, True, True]
    assert counters.snapshot() == {"dropped.queue_full": 2}
    clock.now += 10.0
    assert put(writer, 5).seq == 3
    assert [receipt.seq for receipt in receipts] == [1, 2, None, None]


def test_a_disk_that_fails_is_tried_again_by_itself(new_writer, loop, monkeypatch, clock) -> None:
    """With growing pauses, one timer at a time, up to five seconds."""
    writer = new_writer(call_later=loop.call_later, clock=clock)
    pauses = []
    with monkeypatch.context() as full:
        full.setattr(SegmentFile, "append", fail)
        receipt = put(writer, 1)
        for _ in range(12):
            [(seconds, retry)] = loop.later
            loop.later.clear()
            pauses.append(seconds)
            clock.now += seconds
            retry()
    assert writer.failing.kind == "unwritable"
    assert "no space left on device" in writer.failing.text
    assert 0.07 < pauses[0] <= 0.1
    assert pauses[0] < pauses[3] < pauses[5]
    assert 3.7 < pauses[-1] <= 5.0
    [(_, retry)] = loop.later
    retry()
    assert receipt.done
    assert writer.failing is None


def test_an_append_tries_again_once_it_is_time(new_writer, monkeypatch, clock: Clock) -> None:
    """Not before: a disk that fails is not asked for every frame."""
    writer = new_writer(clock=clock)
    attempts = []
    with monkeypatch.context() as full:
        full.setattr(SegmentFile, "append", lambda *_: attempts.append(1) or fail())
        receipts = [put(writer, key) for key in range(50)]
        assert len(attempts) <= 2
    receipts.append(put(writer, 50))
    assert not receipts[-1].done
    clock.now += 0.2
    receipts.append(put(writer, 51))
    assert [receipt.seq for receipt in receipts] == list(range(1, 53))


def test_the_loop_is_not_held_by_what_waited(new_writer, loop, monkeypatch) -> None:
    """Thousands of frames are written in portions of some milliseconds."""
    moment = itertools.count(step=0.001)
    writer = new_writer(call_later=loop.call_later, clock=lambda: next(moment))
    with monkeypatch.context() as full:
        full.setattr(SegmentFile, "append", fail)
        receipts = [put(writer, key) for key in range(100)]
    loop.later.clear()
    writer.retry()
    assert 0 < sum(receipt.done for receipt in receipts) < 50
    while loop.later:
        loop.later.pop()[1]()
    assert [receipt.seq for receipt in receipts] == list(range(1, 101))


def test_closing_writes_what_waits(new_writer, journal, monkeypatch, clock: Clock) -> None:
    """And counts what the disk does not take even then."""
    counters = Counters()
    writer = new_writer(clock=clock, counters=counters)
    with monkeypatch.context() as full:
        full.setattr(SegmentFile, "append", fail)
        put(writer, 1)
    writer.close()
    assert seqs(read_all(journal)) == [1]
    other = new_writer(clock=clock, counters=counters)
    monkeypatch.setattr(SegmentFile, "append", fail)
    receipt = put(other, 2)
    other.close()
    assert receipt.lost
    assert counters.snapshot() == {"dropped.stopped": 1}


def test_a_callback_may_append(new_writer, journal, loop, monkeypatch, clock: Clock) -> None:
    """Also while what waited is written: nothing is written twice."""
    writer = JournalWriter(
        journal,
        max_bytes=MIB,
        durability=Durability.PROCESS,
        counters=Counters(),
        call_soon=lambda function: function(),
        clock=clock,
    )
    with monkeypatch.context() as full:
        full.setattr(SegmentFile, "append", fail)
        for key in range(3):
            put(writer, key).add_done_callback(lambda receipt: put(writer, receipt.seq + 100))
    clock.now += 1.0
    writer.retry()
    frames = read_all(journal)
    assert seqs(frames) == [1, 2, 3, 4, 5, 6]
    assert [frame.key for frame in frames if frame.key < 100] == [0, 1, 2]
    writer.close()


# Half-written


@pytest.mark.exhaustive
@pytest.mark.parametrize("durability", Durability)
def test_full_at_every_byte_of_a_frame(tmp_path: Path, durability: Durability) -> None:
    """A real limit of the system, at each byte of three frames: nothing half-written is read,
    what was acknowledged is there, and with room again the rest follows in order.
    """
    small, larger = HEADER_SIZE + 8, HEADER_SIZE + 4 + 36
    first, last = 0, 2 * small + 3 * larger + 1
    folder = tmp_path / "journals"
    folder.mkdir(mode=0o700)
    command = [sys.executable, "-m", "tests.unit.journal.limits", str(folder)]
    done = subprocess.run(
        [*command, str(first), str(last), durability.value],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == last
    for limit, line in enumerate(lines):
        assert line["before"] == [True, True]
        assert line["later"] == [True] * 3
        assert line["after"]
        assert line["seqs"] == [1, 2, 3, 4, 5, 6]
        assert line["failing_after"] is None
        assert bool(line["failing"]) == (limit < larger), limit
        counters = Counters()
        frames = read_all(JournalDirectory.open(Path(line["journal"])), counters=counters)
        assert [(frame.seq, frame.key) for frame in frames] == list(
            zip(range(1, 7), [0, 1, 10, 11, 12, 20], strict=True)
        )
        assert counters.snapshot() == {}


@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_a_reader_sees_nothing_of_what_was_cut_off(
    new_writer, journal, monkeypatch, clock: Clock, seconds: float
) -> None:
    """It looks between the failed write and the next one; what comes goes into another file."""
    writer = new_writer(clock=clock)
    put(writer, 1)
    clock.now += seconds  # so that the writer also looks where its segment is
    reader = JournalReader(journal, is_outstanding=lambda seq: True)
    assert [ref.seq for ref in reader.next(9)] == [1]
    writev = os.writev
    seen = []

    def write_half(fd: int, buffers) -> int:
        written = writev(fd, [b"".join(buffers)[:-3]])
        seen.extend(reader.next(9))
        monkeypatch.setattr(os, "writev", writev)
        return written

    monkeypatch.setattr(os, "writev", write_half)
    monkeypatch.setattr("response_store.journal.segments.write_all", fail)
    assert put(writer, 2, b"another body").done
    assert seen == []
    [ref] = reader.next(9)
    assert reader.body(ref) == b"another body"
    assert len(journal.segments()) == 2


def test_a_file_that_cannot_be_cut_back_is_left(new_writer, journal, monkeypatch) -> None:
    """Another segment begins; the torn end is damage, since its writer went on."""
    writer = new_writer()
    put(writer, 1)
    with monkeypatch.context() as broken:
        broken.setattr(os, "ftruncate", fail)
        broken.setattr("response_store.journal.segments.write_all", fail)
        writev = os.writev

        def half(fd: int, buffers) -> int:
            broken.setattr(os, "writev", writev)
            return writev(fd, [b"".join(buffers)[:-3]])

        broken.setattr(os, "writev", half)
        assert put(writer, 2).done
    counters = Counters()
    assert seqs(read_all(journal, counters=counters)) == [1, 2]
    assert counters.snapshot() == {"journal.damaged": 1}


# A folder that goes away


def test_a_removed_segment_is_noticed(new_writer, journal, clock: Clock) -> None:
    """Within a second it is put back with all that it held, and the next one begins."""
    counters = Counters()
    writer = new_writer(clock=clock, counters=counters)
    put(writer, 1)
    journal.discard_segments()
    clock.now += 1.1
    put(writer, 2)
    assert seqs(read_all(journal)) == [1, 2]
    assert [one.number for one in journal.segments()] == [1, 2]
    assert counters.snapshot() == {"journal.segment_gone": 1}


def test_a_segment_is_put_back_once_there_is_room(
    new_writer, journal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it can't be put back all frames wait; then they come, in order."""
    writer = new_writer(clock=clock)
    put(writer, 1)
    journal.discard_segments()
    clock.now += 1.1
    with monkeypatch.context() as full:
        full.setattr(SegmentFile, "put_back", no_room)
        receipts = [put(writer, number) for number in (2, 3)]
        writer.released(0)
        receipts.append(put(writer, 4))
        assert not any(receipt.done for receipt in receipts)
        assert "no space left" in writer.failing.text
        assert journal.segments() == []
    clock.now += 10
    writer.retry()
    assert all(receipt.done for receipt in receipts)
    assert seqs(read_all(journal)) == [1, 2, 3, 4]


def test_a_problem_that_lasts_is_reported(
    new_writer, journal, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, and once more when it is over; one that is over at once is not worth it."""
    writer = new_writer(clock=clock)
    put(writer, 1)
    moved = journal.path.rename(journal.path.with_name("moved"))
    for _ in range(3):
        clock.now += 1.1
        put(writer, 2)
    moved.rename(journal.path)
    clock.now += 10
    writer.retry()
    first, second = [record.getMessage() for record in caplog.records]
    assert "can't be written" in first
    assert "what comes meanwhile waits in memory" in first
    assert "is written again" in second
    journal.path.rename(moved)
    clock.now += 1.1
    put(writer, 3)
    moved.rename(journal.path)
    clock.now += 0.5
    writer.retry()
    assert len(caplog.records) == 2


def no_room(segment: SegmentFile) -> None:
    """Fail as where a disk is full."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_moved_folder_is_noticed(new_writer, journal, clock: Clock) -> None:
    """Frames wait until it is back."""
    writer = new_writer(clock=clock)
    put(writer, 1)
    moved = journal.path.rename(journal.path.with_name("moved"))
    clock.now += 1.1
    receipt = put(writer, 2)
    assert not receipt.done
    assert "no such file or directory" in writer.failing.text
    moved.rename(journal.path)
    clock.now += 1.0
    writer.retry()
    assert receipt.done
    assert seqs(read_all(journal)) == [1, 2]


# Power


class Disk:
    """Records what is synced and acknowledged, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def sync_segment(self, segment: SegmentFile) -> None:
        """Sync a file."""
        segment.sync()
        self.calls.append(f"file {segment.number}")

    def sync_entries(self, path: Path) -> None:
        """Sync a folder."""
        names = sorted(int(entry.name[2:22]) for entry in path.glob("m-*.seg"))
        self.calls.append(f"entries {names}")


@pytest.fixture
def disk() -> Disk:
    """A disk that records."""
    return Disk()


@pytest.fixture
def power(new_writer, disk: Disk):
    """Make a writer with `durability: power`."""
    return lambda **options: new_writer(
        durability=Durability.POWER,
        sync_segment=disk.sync_segment,
        sync_entries=disk.sync_entries,
        **options,
    )


def test_power_acknowledges_after_the_sync(power, disk: Disk, journal) -> None:
    """The frame can be read before."""
    writer = power()
    receipt = put(writer, 1)
    assert seqs(read_all(journal)) == [1]
    assert writer.wait([receipt], 10.0)
    assert disk.calls == ["entries [1]", "file 1"]


def test_power_syncs_an_entry_before_it_acknowledges(power, disk, journal, loop) -> None:
    """For each segment, whether it was made ahead or not."""
    writer = power(segment_bytes=1000)
    for key in range(1, 40):
        receipt = put(writer, key, bytes(100))
        receipt.add_done_callback(lambda done: disk.calls.append(f"done {done.seq}"))
        if key % 3:
            assert writer.wait([receipt], 10.0)
        loop.run()
    loop.run_until(lambda: "done 39" in disk.calls)
    synced: set[int] = set()
    for call in disk.calls:
        what, rest = call.split(" ", 1)
        if what == "entries":
            synced |= set(json.loads(rest))
        elif what == "file":
            assert int(rest) in synced, disk.calls
    places = {ref.seq: int(ref.segment[2:22]) for ref in JournalReader(journal).next(100)}
    assert len(set(places.values())) >= 5
    covered: set[int] = set()
    for call in disk.calls:
        if call.startswith("file"):
            covered.add(int(call[5:]))
        elif call.startswith("done"):
            assert places[int(call[5:])] in covered


def test_power_makes_the_next_segment_ahead(power, disk: Disk, journal, loop) -> None:
    """So that the loop neither makes a file nor waits for its entry."""
    writer = power(segment_bytes=1000)
    for key in range(1, 6):
        assert writer.wait([put(writer, key, bytes(100))], 10.0)
    loop.run_until(lambda: len(journal.segments()) == 2)
    loop.run_until(lambda: "entries [1, 2]" in disk.calls)
    loop.run_until(lambda: writer._sync._prepared)
    made = []
    real = SegmentFile.__init__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            SegmentFile, "__init__", lambda *arguments: made.append(1) or real(*arguments)
        )
        for key in range(6, 9):
            put(writer, key, bytes(100))
    assert made == []
    assert [segment.number for segment in journal.segments()] == [1, 2]
    assert seqs(read_all(journal)) == list(range(1, 9))


def test_what_was_made_ahead_too_late_is_not_used(power, journal, monkeypatch, loop) -> None:
    """Its number is below that of a segment that the loop has made meanwhile."""
    writer = power(segment_bytes=1000)
    prepare = writer._sync.prepare
    late = []
    monkeypatch.setattr(writer._sync, "prepare", late.append)
    receipts = [put(writer, key, bytes(200)) for key in range(1, 5)]
    assert late
    receipts.append(put(writer, 5, bytes(200)))
    prepare(late[0])
    loop.run_until(lambda: writer._sync._prepared)
    receipts += [put(writer, key, bytes(200)) for key in range(6, 20)]
    assert writer.wait(receipts, 10.0)
    assert seqs(read_all(journal)) == list(range(1, 20))
    numbers = [segment.number for segment in journal.segments()]
    assert late[0] not in numbers


@pytest.mark.parametrize("is_late", [False, True])
def test_what_was_made_ahead_of_a_rotation_is_not_used(
    power, journal, monkeypatch, loop, *, is_late: bool
) -> None:
    """Whoever drops all segments up to the last seq takes it along, also while it holds nothing."""
    writer = power(segment_bytes=1000)
    prepare, late = writer._sync.prepare, []
    if is_late:
        monkeypatch.setattr(writer._sync, "prepare", late.append)
    receipts = [put(writer, key, bytes(100)) for key in range(1, 6)]
    if not is_late:
        loop.run_until(lambda: writer._sync._prepared)
    assert writer.wait(receipts, 10.0)
    writer.rotate()
    for number in late[:1]:
        prepare(number)
        loop.run_until(lambda: writer._sync._prepared)
    receipts = [put(writer, key, bytes(100)) for key in range(6, 20)]
    assert writer.wait(receipts, 10.0)
    loop.run_until(lambda: len(journal.segments()) > 2)
    numbers = [segment.number for segment in journal.segments()]
    assert numbers[:2] == [1, 6]
    assert seqs(read_all(journal)) == list(range(1, 20))


def test_a_segment_of_one_frame_has_none_made_ahead(power, monkeypatch) -> None:
    """It would have the number that the loop takes for the next one."""
    writer = power(segment_bytes=1000)
    asked = []
    monkeypatch.setattr(writer._sync, "prepare", asked.append)
    put(writer, 1, bytes(600))
    assert asked == []
    put(writer, 2)
    assert asked == [2]


def test_power_syncs_large_frames_too(power, disk: Disk, journal, monkeypatch) -> None:
    """File, then entry."""
    monkeypatch.setattr(large_frames, "sync_file", lambda fd: disk.calls.append("large"))
    monkeypatch.setattr(large_frames, "sync_folder", lambda path: disk.calls.append("entry"))
    writer = power(large_from=1000)
    assert writer.wait([put(writer, 1, bytes(2000))], 10.0)
    assert disk.calls == ["large", "entry"]


def test_a_failed_sync_begins_another_segment(power, disk: Disk, journal, loop) -> None:
    """What the disk has not kept is lost and counted, though it may be read."""
    counters = Counters()
    writer = power(counters=counters)
    sync = disk.sync_segment

    def broken(segment: SegmentFile) -> None:
        if segment.number == 1:
            fail()
        sync(segment)

    writer._sync._sync_segment = broken
    first = put(writer, 1)
    assert not writer.wait([first], 10.0)
    loop.run()
    assert first.lost
    assert writer.failing.kind == "unwritable"
    assert counters.snapshot() == {"dropped.unsynced": 1}
    assert writer.wait([put(writer, 2)], 10.0)
    assert writer.failing is None
    assert [segment.number for segment in journal.segments()] == [1, 2]


# Anything, in any order


@given(st.lists(st.sampled_from("appends large rotate reserve full room".split()), max_size=40))
def test_any_order_of_work_keeps_the_order_of_frames(tmp_path_factory, steps) -> None:
    """Whatever fails meanwhile: at the end each frame is there once, keys in order."""
    folder = tmp_path_factory.mktemp("order")
    folder.chmod(0o700)
    journal, loop, clock = make_journal(folder), EventLoop(), Clock()
    writer = make_writer(journal, loop, segment_bytes=500, large_from=400, clock=clock)
    key = 0
    reserved = set()
    with pytest.MonkeyPatch.context() as disk:
        for step in steps:
            if step == "appends":
                key += 1
                put(writer, key, bytes(key * 37 % 300))
            elif step == "large":
                key += 1
                put(writer, key, bytes(1000))
            elif step == "rotate":
                writer.rotate()
            elif step == "reserve":
                reserved.add(writer.next_seq())
            elif step == "full":
                disk.setattr(SegmentFile, "append", fail)
            else:
                disk.undo()
                clock.now += 6.0
                writer.retry()
    clock.now += 6.0
    writer.retry()
    writer.close()
    frames = read_all(journal)
    assert [frame.key for frame in frames] == list(range(1, key + 1))
    assert set(seqs(frames)) | reserved == set(range(1, writer.last_seq + 1))
    journal.close()


@pytest.mark.exhaustive
@pytest.mark.parametrize("durability", Durability)
def test_killed_at_any_moment(tmp_path: Path, durability: Durability) -> None:
    """A process that appends all it can is killed; every frame that it had acknowledged is read,
    no other is damaged, and each is what it was.
    """
    folder = tmp_path / "journals"
    folder.mkdir(mode=0o700)
    chance = random.Random(7)
    total = 0
    for seed in range(3):
        with appender.start(folder, seed, durability, reserved=0.05) as child:
            journal_id = child.stdout.readline().strip()
            time.sleep(0.02 + chance.random() * 0.15)
            child.send_signal(signal.SIGKILL)
            lines = child.stdout.read().split("\n")[:-1]
        counters = Counters()
        frames = {
            frame.seq: frame
            for frame in read_all(JournalDirectory.open(folder / journal_id), counters=counters)
        }
        for line in lines:
            seq, key, checksum = map(int, line.split())
            assert frames[seq].key == key
            assert zlib.crc32(frames[seq].body) == checksum
        assert counters.snapshot() == {}
        total += len(lines)
    assert total > 30


def test_who_blocks_does_not_wait_for_the_end_of_the_turn(power, loop) -> None:
    """With `durability: power` a stream's callable blocks the turn that would hand over."""
    writer = power(at_turn_end=loop.soon.append)
    receipts = [put(writer, key) for key in (1, 2)]
    assert not any(receipt.is_settled for receipt in receipts)
    assert writer.wait(receipts, 10.0)
