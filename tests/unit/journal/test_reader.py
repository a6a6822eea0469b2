"""Reading a journal: one order over all its segments, gaps, dropping and carrying."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.config import Durability
from response_store.diagnostics import Counters
from response_store.journal import reader
from response_store.journal import segments as cleaned
from response_store.journal.directory import JournalDirectory, SegmentKind, format_segment_name
from response_store.journal.errors import DamagedFrameError, JournalError, JournalWriteError
from response_store.journal.frames import CARRIED, FrameKind, FrameRef, encode
from response_store.journal.reader import JournalReader
from response_store.journal.segments import CleanedWriter
from tests.unit.journal import appender
from tests.unit.journal.making import clean, make_journal, open_files, read_all, seqs


def data(journal: JournalDirectory, numbers: Iterable[int], body: bytes = b"") -> bytes:
    """Return frames of these seqs, encoded."""
    return b"".join(
        b"".join(encode(seq, FrameKind.END, seq % 7, b"main", (body,), seed=journal.seed))
        for seq in numbers
    )


def write(journal: JournalDirectory, kind: SegmentKind, *numbers: int, body: bytes = b"") -> Path:
    """Write frames of these seqs into a segment that is named by the first."""
    path = journal.path / format_segment_name(kind, numbers[0])
    path.touch(mode=0o600)
    append(journal, path, *numbers, body=body)
    return path


def append(journal: JournalDirectory, path: Path, *numbers: int, body: bytes = b"") -> None:
    """Append frames to a segment."""
    with path.open("ab") as file:
        file.write(data(journal, numbers, body))


def main(journal: JournalDirectory, *numbers: int, body: bytes = b"") -> Path:
    """Write a main segment."""
    return write(journal, SegmentKind.MAIN, *numbers, body=body)


def large(journal: JournalDirectory, seq: int) -> Path:
    """Write a large segment."""
    return write(journal, SegmentKind.LARGE, seq)


class Proxy:
    """A proxy that lives: what is missing may come, unless it said that it is void."""

    def __init__(self) -> None:
        self.void: set[int] = set()

    def is_outstanding(self, seq: int) -> bool:
        """Say whether a seq may still come."""
        return seq not in self.void


def read(reader: JournalReader, limit: int = 1000) -> list[int]:
    """Return the seqs that can be read now."""
    return [ref.seq for ref in reader.next(limit)]


def test_segments_of_all_kinds_are_merged(journal: JournalDirectory) -> None:
    """By seq, whatever file they are in."""
    main(journal, 1, 2, 5)
    main(journal, 6, 9, 12)
    large(journal, 3)
    large(journal, 10)
    clean(journal, 4, 8, 11)
    clean(journal, 7)
    assert read(JournalReader(journal)) == list(range(1, 13))


def test_no_segments_no_frames(journal: JournalDirectory) -> None:
    """Also where the folder goes away."""
    reader = JournalReader(journal)
    assert read(reader) == []
    assert reader.last_seq() == reader.bytes_on_disk() == 0
    journal.remove()
    assert read(reader) == []


def test_frames_come_in_portions(journal: JournalDirectory) -> None:
    """The position is that of the last one that was handed out."""
    main(journal, *range(1, 8))
    reader = JournalReader(journal)
    assert read(reader, 3) == [1, 2, 3]
    assert reader.position == 3
    for ref in reader.next(100):
        assert reader.position == ref.seq == 4
        break
    assert read(reader) == [5, 6, 7]
    assert read(reader) == []


def test_files_grow_and_come(journal: JournalDirectory) -> None:
    """A reader that asks again sees what was appended meanwhile, in any segment."""
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    first = main(journal, 1)
    assert read(reader) == [1]
    append(journal, first, 2)
    assert read(reader) == [2]
    large(journal, 3)
    append(journal, first, 4)
    second = main(journal, 5)
    assert read(reader) == [3, 4, 5]
    writer = CleanedWriter(journal)
    writer.append(6, FrameKind.END, 1, b"cleaned")
    assert read(reader) == [6]
    append(journal, second, 7)
    writer.append(8, FrameKind.END, 1, b"cleaned")
    assert read(reader) == [7, 8]
    writer.close()


def test_a_gap_of_a_living_proxy_is_waited_for(journal: JournalDirectory) -> None:
    """Whatever is behind it."""
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    path = main(journal, 1, 2, 4, 5)
    assert read(reader) == [1, 2]
    append(journal, path, 6)
    assert read(reader) == []
    large(journal, 3)
    assert read(reader) == [3, 4, 5, 6]


def test_a_void_seq_is_passed(journal: JournalDirectory) -> None:
    """One by one; the next that is outstanding stops again."""
    proxy = Proxy()
    reader = JournalReader(journal, is_outstanding=proxy.is_outstanding)
    main(journal, 3, 5)
    proxy.void.add(1)
    assert read(reader) == []
    proxy.void.add(2)
    assert read(reader) == [3]
    proxy.void.add(4)
    assert read(reader) == [5]


def test_a_gap_of_a_dead_proxy_is_final(journal: JournalDirectory) -> None:
    """What is missing was never acknowledged."""
    main(journal, 2, 5)
    assert read(JournalReader(journal)) == [2, 5]


def test_the_end_of_a_proxy_ends_its_gaps(journal: JournalDirectory) -> None:
    """But not before the files were looked at once more: its last frames may lie there."""
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    path = main(journal, 1, 2, 5)
    rest = reader.next(100)
    assert next(rest).seq == 1
    large(journal, 3)
    append(journal, path, 7)
    reader.owner_gone()
    assert [ref.seq for ref in rest] == [2, 3, 5, 7]


def test_a_checkpoint_closes_the_gaps_before_it(journal: JournalDirectory) -> None:
    """What was applied and dropped is not missing; what is kept comes, to rebuild state."""
    proxy = Proxy()
    reader = JournalReader(journal, checkpoint=10, is_outstanding=proxy.is_outstanding)
    clean(journal, 3, 7)
    main(journal, 9, 10, 11, 13)
    assert read(reader) == [3, 7, 9, 10, 11]


def test_a_gap_right_behind_the_checkpoint_counts(journal: JournalDirectory) -> None:
    """The frame after it is the next one."""
    reader = JournalReader(journal, checkpoint=10, is_outstanding=Proxy().is_outstanding)
    main(journal, 9, 12)
    assert read(reader) == [9]
    large(journal, 11)
    assert read(reader) == [11, 12]


def test_each_seq_comes_once(journal: JournalDirectory) -> None:
    """A carried copy and its original, or a frame that was sent twice."""
    main(journal, 1, 2, 3)
    clean(journal, 2, 3, 4)
    clean(journal, 4)
    reader = JournalReader(journal)
    assert read(reader) == [1, 2, 3, 4]
    clean(journal, 1, 2)
    assert read(reader) == []


@given(st.data())
def test_merging_is_sorting(tmp_path_factory, draw_from) -> None:
    """Seqs in any segments, some twice, read in any portions, come once and in order."""
    folder = tmp_path_factory.mktemp("merge")
    folder.chmod(0o700)
    journal = make_journal(folder)
    numbers = st.sets(st.integers(1, 60), max_size=12)
    all_numbers: set[int] = set()
    bounds = sorted(draw_from.draw(st.sets(st.integers(1, 60), min_size=1, max_size=4)))
    for low, high in zip(bounds, [*bounds[1:], 61], strict=True):
        chosen = {low} | {n for n in draw_from.draw(numbers) if low <= n < high}
        main(journal, *sorted(chosen))
        all_numbers |= chosen
    for _ in range(draw_from.draw(st.integers(0, 3))):
        if chosen := draw_from.draw(numbers):
            clean(journal, *sorted(chosen))
            all_numbers |= chosen
    reader = JournalReader(journal)
    found: list[int] = []
    while portion := read(reader, draw_from.draw(st.integers(1, 20))):
        found += portion
    assert found == sorted(all_numbers)
    reader.close()
    journal.close()


def test_last_seq_is_the_highest_of_any_file(journal: JournalDirectory) -> None:
    """Whatever was read of it."""
    reader = JournalReader(journal)
    path = main(journal, 1, 2)
    main(journal, 3).write_bytes(b"")
    assert reader.last_seq() == 2
    append(journal, path, 5)
    assert reader.last_seq() == 5
    clean(journal, 7)
    assert reader.last_seq() == 7
    clean(journal, 6)
    assert reader.last_seq() == 7
    large(journal, 9)
    assert reader.last_seq() == 9
    append(journal, journal.path / format_segment_name(SegmentKind.MAIN, 3), 12)
    assert reader.last_seq() == 12
    assert reader.position == 0


def test_a_file_that_grows_slowly_is_read_once(journal: JournalDirectory, monkeypatch) -> None:
    """Asking again for the last seq reads what is new."""
    path = main(journal, *range(1, 2000))
    reader = JournalReader(journal)
    assert reader.last_seq() == 1999
    reads = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: reads.append(args) or pread(*args))
    append(journal, path, 2000)
    assert reader.last_seq() == 2000
    assert len(reads) <= 2


def test_a_foreign_file_is_an_error(journal: JournalDirectory, tmp_path: Path) -> None:
    """A link in the place of a segment is not read."""
    main(journal, 1).rename(tmp_path / "outside")
    (journal.path / format_segment_name(SegmentKind.MAIN, 1)).symlink_to(tmp_path / "outside")
    with pytest.raises(JournalError, match="no regular file"):
        read(JournalReader(journal))


# Damage


def test_damage_inside_is_counted_and_kept(journal: JournalDirectory) -> None:
    """Once, however often the journal is read; the other frames are read."""
    path = main(journal, 1, 2, 3)
    content = bytearray(path.read_bytes())
    content[len(content) // 3 + 8] ^= 1
    path.write_bytes(content)
    counters = Counters()
    assert seqs(read_all(journal, counters=counters)) == [1, 3]
    assert seqs(read_all(journal, counters=counters)) == [1, 3]
    assert counters.snapshot() == {"journal.damaged": 1}
    [kept] = (journal.path.parent / "damaged").iterdir()
    assert kept.read_bytes() == content[len(content) // 3 : 2 * len(content) // 3]


def test_a_damaged_body_is_counted_once(journal: JournalDirectory) -> None:
    """Each attempt to read it is an error."""
    path = main(journal, 1, 2, body=b"body")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    counters = Counters()
    reader = JournalReader(journal, counters=counters)
    first, second = reader.next(10)
    assert reader.body(first) == b"body"
    for _ in range(2):
        with pytest.raises(DamagedFrameError):
            reader.body(second)
    assert counters.snapshot() == {"journal.damaged": 1}


def test_a_torn_tail_is_no_damage(journal: JournalDirectory) -> None:
    """The proxy was killed while it wrote."""
    path = main(journal, 1, 2)
    path.write_bytes(path.read_bytes()[:-1])
    counters = Counters()
    assert seqs(read_all(journal, counters=counters)) == [1]
    assert counters.snapshot() == {}


def test_a_torn_end_of_a_segment_that_others_followed_is_damage(journal: JournalDirectory) -> None:
    """Its writer went on, so this end was once whole."""
    path = main(journal, 1, 2)
    path.write_bytes(path.read_bytes()[:-1])
    main(journal, 3)
    counters = Counters()
    assert seqs(read_all(journal, counters=counters)) == [1, 3]
    assert counters.snapshot() == {"journal.damaged": 1}


def test_a_large_segment_that_is_not_whole_is_damage(journal: JournalDirectory) -> None:
    """It had its name only once it was."""
    path = large(journal, 2)
    path.write_bytes(path.read_bytes()[:-1])
    main(journal, 3)
    counters = Counters()
    assert seqs(read_all(journal, counters=counters)) == [3]
    assert counters.snapshot() == {"journal.damaged": 1}


def test_a_torn_cleaned_segment_is_no_damage(journal: JournalDirectory) -> None:
    """The ingester was killed, and its next one began another file."""
    clean(journal, 1, 2)
    path = journal.path / format_segment_name(SegmentKind.CLEANED, 1)
    path.write_bytes(path.read_bytes()[:-1])
    clean(journal, 3)
    counters = Counters()
    assert seqs(read_all(journal, counters=counters)) == [1, 3]
    assert counters.snapshot() == {}


def test_another_journals_segment_is_not_read(folder: Path, journal: JournalDirectory) -> None:
    """A file that was copied here from another journal holds no frames of this one."""
    other = make_journal(folder)
    main(journal, 5).write_bytes(main(other, 5).read_bytes())
    assert read_all(journal) == []
    other.close()


# Dropping and carrying


def names(journal: JournalDirectory) -> list[str]:
    """Return kind and number of each segment."""
    return [f"{segment.kind.value}{segment.number}" for segment in journal.segments()]


def shorten(segments: Iterable[str]) -> list[str]:
    """Return kind and number of segments' names."""
    return [f"{name[0]}{int(name[2:22])}" for name in segments]


def test_what_is_read_and_applied_can_be_dropped(journal: JournalDirectory) -> None:
    """But not what is above the position, nor what the proxy still appends to."""
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    main(journal, 1, 2)
    large(journal, 3)
    main(journal, 4, 5)
    main(journal, 6)
    assert reader.droppable(100) == []
    assert read(reader, 4) == [1, 2, 3, 4]
    assert read(reader) == [5, 6]
    assert shorten(reader.droppable(2)) == ["m1"]
    assert shorten(reader.droppable(4)) == ["l3", "m1"]
    assert shorten(reader.droppable(100)) == ["l3", "m1", "m4"]
    for name in reader.droppable(100):
        reader.drop(name)
    assert names(journal) == ["m6"]
    append(journal, journal.path / format_segment_name(SegmentKind.MAIN, 6), 7)
    assert read(reader) == [7]


def test_without_a_proxy_the_last_segment_can_be_dropped(journal: JournalDirectory) -> None:
    """Nobody appends to it."""
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    main(journal, 1, 2)
    assert read(reader) == [1, 2]
    assert reader.droppable(2) == []
    reader.owner_gone()
    assert read(reader) == []
    assert shorten(reader.droppable(2)) == ["m1"]


def test_a_segment_made_ahead_does_not_end_the_one_before(journal: JournalDirectory) -> None:
    """Only a frame in it does."""
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    path = main(journal, 1)
    ahead = main(journal, 2)
    ahead.write_bytes(b"")
    assert read(reader) == [1]
    append(journal, path, 2)
    assert read(reader) == [2]
    assert reader.droppable(2) == []
    append(journal, ahead, 3)
    assert read(reader) == [3]
    assert shorten(reader.droppable(2)) == ["m1"]


def test_an_empty_segment_may_give_way_to_another_of_its_name(journal: JournalDirectory) -> None:
    """A writer that failed removed it, and made a new one later."""
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    path = main(journal, 1)
    path.write_bytes(b"")
    assert read(reader) == []
    path.unlink()
    main(journal, 1, 2)
    assert read(reader) == [1, 2]
    (journal.path / format_segment_name(SegmentKind.MAIN, 3)).touch(mode=0o600)
    assert read(reader) == []
    (journal.path / format_segment_name(SegmentKind.MAIN, 3)).unlink()
    assert read(reader) == []
    main(journal, 3, 4)
    assert read(reader) == [3, 4]


def test_what_is_needed_is_not_dropped(journal: JournalDirectory) -> None:
    """Until it is not needed any more."""
    main(journal, 1, 2)
    main(journal, 3, 4)
    reader = JournalReader(journal)
    refs = list(reader.next(10))
    assert shorten(reader.droppable(4, [refs[0]])) == ["m3"]
    assert shorten(reader.droppable(4, refs)) == []
    assert shorten(reader.droppable(4, {})) == ["m1", "m3"]


def test_a_frame_of_a_dropped_segment_is_gone(journal: JournalDirectory) -> None:
    """Who kept its reference is told so."""
    main(journal, 1)
    reader = JournalReader(journal)
    [ref] = reader.next(10)
    reader.drop(ref.segment)
    with pytest.raises(DamagedFrameError, match="dropped"):
        reader.frame(ref)


def test_what_is_needed_is_carried(journal: JournalDirectory) -> None:
    """Out of segments that are half empty, with its seq, and can be read where it is now."""
    main(journal, 1, 2, 3, 4, body=b"one")
    main(journal, 5, 6, body=b"two")
    main(journal, 7)
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    refs = {ref.seq: ref for ref in reader.next(10)}
    writer = CleanedWriter(journal)
    moved = reader.compact(7, [refs[2], refs[5], refs[7]], writer)
    assert {ref.seq: (new.seq, new.flags) for ref, new in moved.items()} == {
        2: (2, CARRIED),
        5: (5, CARRIED),
    }
    assert names(journal) == ["c1", "m7"]
    assert [reader.body(ref) for ref in moved.values()] == [b"one", b"two"]
    assert read(reader) == []
    assert seqs(read_all(journal)) == [2, 5, 7]
    writer.close()


def test_what_is_needed_for_the_most_part_stays(journal: JournalDirectory) -> None:
    """A body of 40 MB is not copied again and again."""
    main(journal, 1, 2, 3)
    main(journal, 4)
    reader = JournalReader(journal)
    refs = list(reader.next(10))
    writer = CleanedWriter(journal)
    assert reader.compact(4, refs[:2], writer) == {}
    assert names(journal) == ["m1"]
    writer.close()


def test_nothing_above_the_position_is_dropped_or_carried(journal: JournalDirectory) -> None:
    """The database does not have it yet."""
    main(journal, 1, 2, 3)
    main(journal, 4)
    reader = JournalReader(journal)
    refs = list(reader.next(10))
    writer = CleanedWriter(journal)
    assert reader.compact(2, refs[:1], writer) == {}
    assert names(journal) == ["m1", "m4"]
    writer.close()


def test_small_cleaned_segments_come_together(journal: JournalDirectory) -> None:
    """A socket of a day leaves no file for each segment that went by, or each restart."""
    proxy = Proxy()
    reader = JournalReader(journal, is_outstanding=proxy.is_outstanding)
    writer = CleanedWriter(journal)
    needed: dict[int, FrameRef] = {}
    for first in range(1, 401, 4):
        main(journal, *range(first, first + 4))
        for ref in reader.next(100):
            if ref.seq % 40 == 1:
                needed[ref.seq] = ref
        writer.close()
        writer = CleanedWriter(journal)
        for new in reader.compact(reader.position, needed.values(), writer).values():
            needed[new.seq] = new
        assert len(journal.segments()) <= 4
    assert sorted(needed) == list(range(1, 401, 40))
    assert [reader.frame(ref).seq for ref in needed.values()] == sorted(needed)
    assert set(needed) <= set(seqs(read_all(journal)))
    writer.close()


def test_a_full_disk_leaves_both_copies(journal: JournalDirectory, monkeypatch) -> None:
    """What could not be carried stays where it is, and each frame is read once."""
    main(journal, 1, 2, 3, 4)
    main(journal, 5, 6)
    reader = JournalReader(journal)
    refs = list(reader.next(10))
    writer = CleanedWriter(journal)
    carry = writer.carry

    def fail_at_five(frame):
        if frame.seq == 5:
            raise JournalWriteError(journal.path, OSError(28, "No space left on device"))
        return carry(frame)

    monkeypatch.setattr(writer, "carry", fail_at_five)
    moved = reader.compact(6, [refs[0], refs[4]], writer)
    assert [ref.seq for ref in moved] == [1]
    assert names(journal) == ["c1", "m1", "m5"]
    assert seqs(read_all(journal)) == [1, 2, 3, 4, 5, 6]
    assert reader.frame(moved[refs[0]]).seq == 1
    monkeypatch.setattr(writer, "carry", carry)
    moved = reader.compact(6, [moved[refs[0]], refs[4]], writer)
    assert [ref.seq for ref in moved] == [5]
    assert names(journal) == ["c1", "c2"] or names(journal) == ["c1"]
    writer.close()


def test_a_damaged_frame_is_not_carried(journal: JournalDirectory) -> None:
    """It is counted; the others are."""
    path = main(journal, 1, 2, 3, 4, body=b"body")
    size = path.stat().st_size // 4
    content = bytearray(path.read_bytes())
    content[size - 1] ^= 1
    path.write_bytes(content)
    counters = Counters()
    reader = JournalReader(journal, counters=counters)
    refs = list(reader.next(10))
    writer = CleanedWriter(journal)
    assert [ref.seq for ref in reader.compact(4, refs[:2], writer)] == [2]
    assert counters.snapshot() == {"journal.damaged": 1}
    writer.close()


def test_power_syncs_before_it_drops(journal: JournalDirectory, monkeypatch) -> None:
    """A copy is on the disk before its original goes."""
    seen = []
    monkeypatch.setattr(cleaned.SegmentFile, "sync", lambda file: seen.append(names(journal)))
    main(journal, 1, 2, 3, 4)
    reader = JournalReader(journal)
    refs = list(reader.next(10))
    writer = CleanedWriter(journal, power=True)
    reader.compact(4, refs[:1], writer)
    assert seen == [["c1", "m1"]]
    writer.close()


def test_random_work_loses_nothing_that_is_needed(folder: Path) -> None:
    """Segments come, exchanges open and end, the ingester is restarted between any two steps:
    what is needed is always read, and the journal stays small.
    """
    chance = random.Random(5)
    journal = make_journal(folder)
    needed: dict[int, FrameRef] = {}
    seq = 1
    reader = JournalReader(journal, is_outstanding=Proxy().is_outstanding)
    writer = CleanedWriter(journal, segment_bytes=2000)
    for _ in range(300):
        count = chance.randrange(1, 8)
        main(journal, *range(seq, seq + count), body=bytes(chance.randrange(200)))
        seq += count
        for ref in reader.next(1000):
            if chance.random() < 0.2:
                needed[ref.seq] = ref
        for number in list(needed):
            if chance.random() < 0.1:
                del needed[number]
        for new in reader.compact(reader.position, needed.values(), writer).values():
            needed[new.seq] = new
        if chance.random() < 0.1:
            writer.close()
            reader.close()
            writer = CleanedWriter(journal, segment_bytes=2000)
            reader = JournalReader(
                journal, checkpoint=seq - 1, is_outstanding=Proxy().is_outstanding
            )
            found = {ref.seq: ref for ref in reader.next(100_000)}
            needed = {number: found[number] for number in needed}
        assert {reader.frame(ref).seq for ref in needed.values()} == set(needed)
        assert len(journal.segments()) < 12 + len(needed)
    writer.close()
    reader.close()
    journal.close()


class Ingester:
    """Reads and applies, carries and drops, and begins again now and then."""

    def __init__(self, journal: JournalDirectory, chance: random.Random) -> None:
        self.applied: dict[int, tuple[int, int]] = {}
        self.counters = Counters()
        self._journal = journal
        self._chance = chance
        self._needed: dict[int, FrameRef] = {}
        self._proxy: Proxy | None = Proxy()
        self._start()

    def _start(self) -> None:
        self._checkpoint = max(self.applied, default=0)
        self.reader = JournalReader(
            self._journal,
            checkpoint=self._checkpoint,
            is_outstanding=self._proxy.is_outstanding if self._proxy is not None else None,
            counters=self.counters,
        )
        self._writer = CleanedWriter(self._journal, segment_bytes=100_000)

    def work(self) -> None:
        """Read what there is and apply what is new, then make room."""
        for ref in self.reader.next(500):
            frame = self.reader.frame(ref)
            if ref.seq > self._checkpoint:
                assert ref.seq == max(self.applied, default=0) + 1 or self._proxy is None
                assert ref.seq not in self.applied
                self.applied[ref.seq] = frame.key, zlib.crc32(frame.body)
                if self._chance.random() < 0.1:
                    self._needed[ref.seq] = ref
            elif ref.seq in self._needed:
                self._needed[ref.seq] = ref
        for seq in list(self._needed):
            if self._chance.random() < 0.05:
                del self._needed[seq]
        position = max(self.applied, default=0)
        for ref in self.reader.compact(position, self._needed.values(), self._writer).values():
            self._needed[ref.seq] = ref
        for seq, ref in self._needed.items():
            assert self.reader.frame(ref).seq == seq
        if self._chance.random() < 0.1:
            self.close()
            self._start()
            rebuilt = {ref.seq: ref for ref in self.reader.next(100_000)}
            assert self._needed.keys() <= rebuilt.keys()
            self._needed = {seq: rebuilt[seq] for seq in self._needed}
            for seq in sorted(rebuilt):
                if seq > self._checkpoint:
                    frame = self.reader.frame(rebuilt[seq])
                    self.applied[seq] = frame.key, zlib.crc32(frame.body)

    def end_proxy(self) -> None:
        """Note that what is missing stays missing, and read what is left."""
        self._proxy = None
        self.reader.owner_gone()
        for _ in range(100):
            self.work()

    def close(self) -> None:
        """Close all files, as the end of a process does."""
        self.reader.close()
        self._writer.close()


@pytest.mark.parametrize("durability", Durability)
def test_reading_while_a_proxy_appends_until_it_is_killed(folder: Path, durability) -> None:
    """Each frame that was acknowledged comes, in order, and is what it was.

    Whatever is carried, dropped and read again by a restarted ingester meanwhile.
    """
    with appender.start(folder, 3, durability, reserved=0.0) as child:
        journal = JournalDirectory.open(folder / child.stdout.readline().strip())
        ingester = Ingester(journal, random.Random(11))
        lines: list[str] = []
        drain = threading.Thread(target=lambda: lines.extend(child.stdout))
        drain.start()
        stop_at = time.monotonic() + 20.0
        while len(lines) < 150 and time.monotonic() < stop_at:
            ingester.work()
        child.send_signal(signal.SIGKILL)
        drain.join()
    ingester.end_proxy()
    acknowledged = [tuple(map(int, line.split())) for line in lines if line.endswith("\n")]
    assert len(acknowledged) > 30
    assert {seq: (key, checksum) for seq, key, checksum in acknowledged}.items() <= (
        ingester.applied.items()
    )
    assert ingester.counters.snapshot() == {}
    ingester.close()


# Cost


@pytest.mark.exhaustive
def test_memory_does_not_grow_with_the_journal(journal: JournalDirectory) -> None:
    """What was handed out is not kept."""
    for first in range(1, 40_001, 4000):
        main(journal, *range(first, first + 4000), body=bytes(400))
    reader = JournalReader(journal)
    assert len(read(reader, 100)) == 100
    tracemalloc.start()
    assert sum(1 for _ in reader.next(100_000)) == 39_900
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 << 20  # kept, they take 8 MB; threads of other tests may take some as well


def test_few_files_are_open(journal: JournalDirectory, monkeypatch) -> None:
    """However many segments there are, and in whatever order their frames are read."""
    monkeypatch.setattr(reader, "_MAX_OPEN", 4)
    before = open_files()
    for seq in range(1, 101):
        (large if seq % 2 else main)(journal, seq)
    clean(journal, 101)
    one = JournalReader(journal)
    refs = []
    for ref in one.next(1000):
        refs.append(ref)
        assert open_files() - before <= 5
    random.Random(3).shuffle(refs)
    for ref in refs:
        assert one.frame(ref).seq == ref.seq
        assert open_files() - before <= 5
    assert one.last_seq() == 101
    one.close()
    assert open_files() == before
