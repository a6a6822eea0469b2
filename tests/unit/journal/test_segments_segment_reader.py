"""Reading one segment: whole frames, a torn tail, damage with frames behind it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.journal.errors import DamagedFrameError
from response_store.journal.frames import (
    HEADER_SIZE,
    MAX_HEAD_BYTES,
    Frame,
    FrameKind,
    FrameRef,
    encode,
)
from response_store.journal.segments import SegmentReader
from tests.harness.work import at_most
from tests.unit.journal.making import open_files

SEED = 77


def frame(seq: int, head: bytes = b"head", body: bytes = b"body") -> bytes:
    """Return the bytes of a frame."""
    return b"".join(encode(seq, FrameKind.END, seq, head, (body,), seed=SEED))


class Segment:
    """A segment file, its reader, and what was damaged in it."""

    def __init__(self, path: Path, data: bytes = b"") -> None:
        self.path = path
        self.damage: list[tuple[int, int]] = []
        path.write_bytes(data)
        self.reader = SegmentReader(
            path.name, self._open, SEED, lambda name, start, end: self.damage.append((start, end))
        )

    def _open(self, name: str) -> int:
        return os.open(self.path.with_name(name), os.O_RDONLY)

    def append(self, data: bytes) -> None:
        """Append bytes."""
        with self.path.open("ab") as file:
            file.write(data)

    def refs(self) -> list[FrameRef]:
        """Return what can be read now."""
        return list(iter(self.reader.next, None))

    def seqs(self) -> list[int]:
        """Return the seqs of what can be read now."""
        return [ref.seq for ref in self.refs()]


@pytest.fixture
def segment(tmp_path: Path):
    """An empty segment."""
    segment = Segment(tmp_path / "segment")
    yield segment
    segment.reader.release()


@given(
    bodies=st.lists(
        st.tuples(st.sampled_from([0, 9, 5000, 70_000]), st.sampled_from([0, 5, 70_000])),
        max_size=12,
    ),
    again=st.booleans(),
)
def test_round_trip(tmp_path_factory, bodies, again) -> None:
    """Frames of any size, also larger than a chunk, come back as they were, at any time."""
    path = tmp_path_factory.mktemp("segment") / "segment"
    contents = [(os.urandom(head_size), os.urandom(body_size)) for head_size, body_size in bodies]
    segment = Segment(
        path, b"".join(frame(seq, *content) for seq, content in enumerate(contents, 1))
    )
    found = []
    for ref in iter(segment.reader.next, None):
        found.append(ref)
        if again:
            assert segment.reader.frame(ref).seq == ref.seq
    assert [ref.seq for ref in found] == list(range(1, len(contents) + 1))
    segment.reader.release()
    for ref, (head, body) in zip(found, contents, strict=True):
        assert segment.reader.frame(ref) == Frame(ref.seq, FrameKind.END, ref.seq, 0, head, body)
    assert segment.damage == []
    segment.reader.release()


def test_cut_at_every_byte(tmp_path: Path) -> None:
    """A torn tail is no frame and no damage, and what comes to complete it makes it one."""
    first, second = frame(1), frame(2, b"another head")
    for size in range(len(second)):
        segment = Segment(tmp_path / "segment", first + second[:size])
        assert segment.seqs() == [1]
        assert segment.seqs() == []
        segment.append(second[size:])
        assert segment.seqs() == [2]
        assert segment.damage == []
        segment.reader.release()


def test_a_byte_flipped_at_every_place(tmp_path: Path) -> None:
    """Damage inside is reported, and the frames before and behind are read."""
    frames = [frame(1), frame(2, b"the second", b"its body"), frame(3)]
    start, end = len(frames[0]), len(frames[0]) + len(frames[1])
    for at in range(start, end):
        data = bytearray(b"".join(frames))
        data[at] ^= 0x10
        segment = Segment(tmp_path / "segment", bytes(data))
        refs = segment.refs()
        assert {1, 3} <= {ref.seq for ref in refs}
        for ref in refs:
            if ref.seq == 2:
                with pytest.raises(DamagedFrameError):
                    segment.reader.frame(ref)
            else:
                assert segment.reader.frame(ref).body == b"body"
        assert segment.damage == [(start, end)]
        segment.reader.release()


@pytest.mark.parametrize("damage", [b"", b"x", b"RSJ1", bytes(100), b"RSJ1" * 30, bytes(200_000)])
def test_bytes_between_frames_are_skipped(segment: Segment, damage: bytes) -> None:
    """However many they are, and whatever they look like."""
    segment.append(frame(1) + damage + frame(2))
    assert segment.seqs() == [1, 2]
    length = len(frame(1))
    assert segment.damage == ([(length, length + len(damage))] if damage else [])


@pytest.mark.parametrize("size", range(65_400, 65_600, 7))
def test_a_frame_is_found_across_chunks(segment: Segment, size: int) -> None:
    """Wherever its header lies in what is read at a time."""
    segment.append(frame(1) + bytes(size) + frame(2))
    assert segment.seqs() == [1, 2]


def test_damage_at_the_end_waits_for_what_follows(segment: Segment) -> None:
    """It may be a frame that is being written; once a frame follows, it is known not to be."""
    segment.append(frame(1) + b"\0" * 100)
    assert segment.seqs() == [1]
    assert segment.damage == []
    segment.append(frame(2))
    assert segment.seqs() == [2]
    assert len(segment.damage) == 1


@pytest.mark.parametrize("written", [50, 60_000, 131_000])
def test_a_frame_that_is_written_while_it_is_read(
    segment: Segment, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """It is no damage, also where the next one has followed before the reader looked again."""
    second = frame(2, body=bytes(131_072))
    segment.append(frame(1) + second[:written])
    find = segment.reader._find

    def find_later(offset: int) -> int | None:
        if segment.path.stat().st_size == len(frame(1)) + written:
            segment.append(second[written:] + frame(3))
        segment.reader._look()
        return find(offset)

    monkeypatch.setattr(segment.reader, "_find", find_later)
    assert segment.seqs() == [1, 2, 3]
    assert segment.damage == []


def test_a_tail_is_reported_on_demand(segment: Segment) -> None:
    """Once nothing more will come; only once."""
    segment.append(frame(1) + frame(2)[:-1])
    assert segment.seqs() == [1]
    segment.reader.report_tail()
    segment.reader.report_tail()
    assert segment.damage == [(len(frame(1)), len(frame(1)) + len(frame(2)) - 1)]


def test_a_frame_in_a_body_is_none(segment: Segment) -> None:
    """What a peer sent is not read as ours, even where its frame's header is damaged."""
    planted = b"".join(encode(9, FrameKind.END, 9, b"planted", seed=SEED + 1))
    outer = bytearray(frame(2, b"head", planted * 3))
    outer[3] ^= 1
    segment.append(frame(1) + bytes(outer) + frame(3))
    assert segment.seqs() == [1, 3]


def test_sizes_are_bounded_by_the_file(segment: Segment) -> None:
    """A body of 2^60 bytes is not there; nothing is allocated for it."""
    start = encode(2, FrameKind.END, 2, b"head", seed=SEED)[0][:12] + (2**60).to_bytes(8, "little")
    segment.append(frame(1) + start + frame(2)[20:] + frame(3))
    assert segment.seqs() == [1, 3]


def test_many_false_heads_take_no_long_time(segment: Segment) -> None:
    """A body that was made to look like heads of a megabyte each is linear work."""
    header = bytearray(b"".join(encode(2, FrameKind.END, 2, b"", seed=SEED)))
    header[8:12] = MAX_HEAD_BYTES.to_bytes(4, "little")
    segment.append(b"\0" + bytes(header) * ((4 << 20) // HEADER_SIZE) + bytes(MAX_HEAD_BYTES))
    segment.append(frame(3))
    with at_most(5.0):
        assert segment.seqs() == [3]


@pytest.mark.exhaustive
def test_a_long_damage_that_nothing_follows_is_searched_once(segment: Segment) -> None:
    """Polling again costs nothing as long as the file does not grow."""
    segment.append(b"RSJ1" * 500_000)
    assert segment.seqs() == []
    with at_most(1.0):
        for _ in range(1000):
            assert segment.reader.next() is None


def test_what_is_gone_is_damaged(segment: Segment) -> None:
    """A frame that was referred to, of a file that is no more."""
    segment.append(frame(1))
    [ref] = segment.refs()
    segment.reader.release()
    segment.path.unlink()
    with pytest.raises(DamagedFrameError, match="is gone"):
        segment.reader.frame(ref)


def test_release_gives_everything_back(segment: Segment) -> None:
    """And reading goes on where it was."""
    segment.append(frame(1) + frame(2))
    before = open_files()
    assert segment.reader.next().seq == 1
    segment.reader.release()
    segment.reader.release()
    assert open_files() == before
    assert segment.seqs() == [2]
