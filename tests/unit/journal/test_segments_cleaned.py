"""Cleaned segments: rising seqs in each file, all of a frame or nothing."""

from __future__ import annotations

import errno
import os

import pytest
from msgspec.structs import replace

from response_store.journal import segments
from response_store.journal.directory import JournalDirectory
from response_store.journal.errors import JournalWriteError
from response_store.journal.frames import CARRIED, HEADER_SIZE, Frame, FrameKind
from response_store.journal.reader import JournalReader
from response_store.journal.segments import CleanedWriter
from tests.unit.journal.making import clean, open_files, read_all, seqs


def test_frames_are_read_back(journal: JournalDirectory) -> None:
    """With the seq that they had."""
    clean(journal, 3, 5, 8, body=b"body")
    assert read_all(journal)[1] == Frame(5, FrameKind.END, 5, 0, b"cleaned", b"body")


def test_a_reference_says_where_it_lies(journal: JournalDirectory) -> None:
    """What `append` returns is what a reader would."""
    writer = CleanedWriter(journal)
    refs = [writer.append(seq, FrameKind.PART, 1, b"head", (b"a", b"b")) for seq in (1, 2)]
    assert list(JournalReader(journal).next(9)) == refs
    writer.close()


def test_a_lower_seq_begins_another_file(journal: JournalDirectory) -> None:
    """So that each file can be merged as it is read."""
    clean(journal, 3, 5, 4, 9, 4)
    assert [segment.number for segment in journal.segments()] == [1, 2, 3]
    assert seqs(read_all(journal)) == [3, 4, 5, 9]


def test_a_full_file_is_followed_by_another(journal: JournalDirectory) -> None:
    """One frame may be larger than a file should be."""
    clean(journal, 1, 2, 3, body=bytes(100), segment_bytes=10)
    clean(journal, 4, 5, body=bytes(100), segment_bytes=500)
    assert [segment.number for segment in journal.segments()] == [1, 2, 3, 4]


def test_a_new_writer_begins_a_new_file(journal: JournalDirectory) -> None:
    """What a killed one left, torn or not, is not written to."""
    clean(journal, 1)
    clean(journal, 2)
    assert [segment.number for segment in journal.segments()] == [1, 2]


def test_a_carried_frame_is_a_copy(journal: JournalDirectory) -> None:
    """The flag is all that differs."""
    clean(journal, 7, body=b"body")
    [frame] = read_all(journal)
    journal.discard_segments()
    writer = CleanedWriter(journal)
    writer.carry(frame)
    writer.close()
    assert read_all(journal) == [replace(frame, flags=CARRIED)]


@pytest.mark.parametrize("written", range(HEADER_SIZE + 44))
def test_a_full_disk_is_an_error_and_leaves_no_part(journal, monkeypatch, written: int) -> None:
    """And the writer goes on once there is room."""
    writer = CleanedWriter(journal)
    writer.append(1, FrameKind.END, 1, b"head")
    write = os.write

    def fail(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(segments.os, "writev", lambda fd, data: write(fd, b"".join(data)[:written]))
        full.setattr(segments.os, "write", fail)
        with pytest.raises(JournalWriteError, match=r"no space left .*journal\.path"):
            writer.append(2, FrameKind.END, 2, b"head", (b"body" * 10,))
    writer.append(3, FrameKind.END, 3, b"head")
    writer.close()
    assert seqs(read_all(journal)) == [1, 3]


def test_power_syncs_the_entry_and_the_files(journal, monkeypatch) -> None:
    """Also files that were left since the last sync; and nothing twice."""
    from response_store.journal import segments as cleaned

    calls: list[str] = []
    monkeypatch.setattr(cleaned, "sync_folder", lambda path: calls.append("entries"))
    monkeypatch.setattr(cleaned.SegmentFile, "sync", lambda file: calls.append(file.name[-5:-4]))
    writer = CleanedWriter(journal, power=True)
    writer.append(5, FrameKind.END, 5, b"head")
    writer.append(3, FrameKind.END, 3, b"head")
    writer.sync()
    writer.sync()
    assert calls == ["entries", "1", "2"]
    writer.append(4, FrameKind.END, 4, b"head")
    writer.sync()
    assert calls == ["entries", "1", "2", "2"]
    writer.close()


def test_a_failed_sync_is_an_error(journal: JournalDirectory, monkeypatch) -> None:
    """It is asked for again."""
    writer = CleanedWriter(journal, power=True)
    writer.append(5, FrameKind.END, 5, b"head")

    def fail(file) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(segments.SegmentFile, "sync", fail)
        with pytest.raises(JournalWriteError):
            writer.sync()
    writer.sync()
    writer.close()


def test_no_descriptor_is_left(journal: JournalDirectory) -> None:
    """Closing twice is fine."""
    before = open_files()
    writer = CleanedWriter(journal, power=True)
    for seq in (3, 2, 1):
        writer.append(seq, FrameKind.END, seq, b"head")
    writer.close()
    writer.close()
    assert open_files() == before
