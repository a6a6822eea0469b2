"""Damaged bytes are kept beside the journals, within bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

from response_store.journal import reader
from response_store.journal.directory import JournalDirectory, SegmentKind, format_segment_name
from response_store.journal.reader import keep_damaged
from tests.unit.journal.making import names_in

NAME = format_segment_name(SegmentKind.MAIN, 1)


@pytest.fixture
def place(journal: JournalDirectory) -> Path:
    """The folder of what was damaged; the journal has one segment."""
    (journal.path / NAME).touch(mode=0o600)
    (journal.path / NAME).write_bytes(b"0123456789" * 10)
    return journal.path.parent / "damaged"


def test_the_bytes_are_kept(journal: JournalDirectory, place: Path) -> None:
    """For us alone, under a name that says where they were; they outlive the journal."""
    assert keep_damaged(journal, NAME, 3, 25)
    journal.remove()
    [kept] = place.iterdir()
    assert kept.name == f"{journal.journal_id}-{NAME}-3.bin"
    assert kept.read_bytes() == (b"0123456789" * 3)[3:25]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert place.stat().st_mode & 0o777 == 0o700


def test_a_second_reader_does_not_keep_them_again(journal: JournalDirectory, place: Path) -> None:
    """So that it does not count them again."""
    assert keep_damaged(journal, NAME, 3, 25)
    assert not keep_damaged(journal, NAME, 3, 25)
    assert keep_damaged(journal, NAME, 4, 25)


def test_a_piece_is_bounded(journal: JournalDirectory, place: Path, monkeypatch) -> None:
    """A whole segment of rubbish is not copied."""
    monkeypatch.setattr(reader, "MAX_PIECE", 7)
    keep_damaged(journal, NAME, 0, 100)
    assert [path.stat().st_size for path in place.iterdir()] == [7]


@pytest.mark.parametrize(("name", "value"), [("MAX_FILES", 2), ("MAX_BYTES", 15)])
def test_all_are_bounded(journal, place: Path, monkeypatch, name: str, value: int) -> None:
    """What does not fit is damage all the same."""
    monkeypatch.setattr(reader, name, value)
    assert all(keep_damaged(journal, NAME, start, start + 10) for start in range(5))
    assert len(names_in(place)) == 2


def test_a_link_in_its_place_is_not_followed(journal, place: Path, tmp_path: Path) -> None:
    """Nothing is written elsewhere, and nothing raised."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    assert keep_damaged(journal, NAME, 0, 9)
    assert names_in(tmp_path / "elsewhere") == []


def test_a_segment_that_is_gone_is_damage(journal: JournalDirectory, place: Path) -> None:
    """There is nothing to keep."""
    (journal.path / NAME).unlink()
    assert keep_damaged(journal, NAME, 0, 9)
    assert names_in(place) == []
