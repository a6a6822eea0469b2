"""Appending to one file: a frame is in it as a whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from response_store.journal import segments
from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.segments import SegmentFile, write_all

FRAME = [b"head", b"er", b"body"]


@pytest.fixture
def segment(journal: JournalDirectory) -> SegmentFile:
    """A new main segment."""
    return SegmentFile(journal, SegmentKind.MAIN, 1)


def test_frames_follow_each_other(segment: SegmentFile) -> None:
    """The size is that of all of them."""
    segment.append(FRAME, 10)
    segment.append(FRAME, 10)
    assert segment.path.read_bytes() == b"headerbody" * 2
    assert segment.size == 20
    segment.close()


def test_it_is_private_and_new(journal: JournalDirectory, segment: SegmentFile) -> None:
    """Nothing that is there already is written to."""
    assert segment.path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        SegmentFile(journal, SegmentKind.MAIN, 1)
    segment.close()


def test_a_link_in_its_place_is_not_followed(journal: JournalDirectory, tmp_path: Path) -> None:
    """Not even one that leads nowhere yet."""
    (journal.path / "m-00000000000000000007.seg").symlink_to(tmp_path / "outside")
    with pytest.raises(FileExistsError):
        SegmentFile(journal, SegmentKind.MAIN, 7)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("written", range(10))
def test_a_short_write_is_continued(segment: SegmentFile, monkeypatch, written: int) -> None:
    """A write that was interrupted ends with the rest."""

    def interrupted(fd: int, buffers: list[bytes]) -> int:
        return os.write(fd, b"".join(buffers)[:written])

    monkeypatch.setattr(segments.os, "writev", interrupted)
    segment.append(FRAME, 10)
    assert segment.path.read_bytes() == b"headerbody"
    segment.close()


@pytest.mark.parametrize("written", range(10))
def test_a_failed_write_is_cut_off(segment: SegmentFile, monkeypatch, written: int) -> None:
    """However much of it is in the file, it ends after the last whole frame."""
    segment.append(FRAME, 10)
    write = os.write

    def fail(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        segments.os, "writev", lambda fd, buffers: write(fd, b"".join(buffers)[:written])
    )
    monkeypatch.setattr(segments.os, "write", fail)
    with pytest.raises(OSError, match="No space"):
        segment.append(FRAME, 10)
    assert segment.path.read_bytes() == b"headerbody"
    assert segment.size == 10
    segment.close()


def test_an_empty_one_is_removed(segment: SegmentFile) -> None:
    """It leaves its name for another one; closing twice is fine."""
    segment.close()
    segment.close()
    assert not segment.path.exists()


def test_closing_removes_no_other_file(segment: SegmentFile) -> None:
    """The path may mean another file by now."""
    segment.path.unlink()
    segment.path.write_bytes(b"another")
    assert not segment.is_in_place()
    segment.close()
    assert segment.path.read_bytes() == b"another"


def test_moved_or_removed(segment: SegmentFile) -> None:
    """Whether the path still means the file."""
    assert segment.is_in_place()
    segment.path.rename(segment.path.with_name("elsewhere"))
    assert not segment.is_in_place()
    segment.close()


def test_write_all_goes_on(tmp_path: Path, monkeypatch) -> None:
    """A write of a part is followed by others."""
    write = os.write
    monkeypatch.setattr(segments.os, "write", lambda fd, data: write(fd, bytes(data[:3])))
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    write_all(fd, [b"abcdefgh", b"", memoryview(b"ij")])
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"abcdefghij"
