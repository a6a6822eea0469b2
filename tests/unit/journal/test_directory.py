"""One journal's folder: its header, its locks, how it comes and how it goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from response_store.errors import PermanentStoreError
from response_store.journal import directory as directory_module
from response_store.journal.directory import (
    FORMAT,
    HEADER_NAME,
    OWNER_LOCK,
    JournalDirectory,
    SegmentKind,
    format_segment_name,
    list_journals,
)
from response_store.journal.errors import JournalError, JournalNewerError
from tests.unit.journal.making import TARGET, make_header, make_journal, names_in

NOBODY = 65534
REPOSITORY = Path(__file__).parents[3]
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def abandon(folder: Path, **values) -> JournalDirectory:
    """Leave a journal whose owner is gone, and return it as somebody else finds it."""
    made = make_journal(folder, **values)
    made.close()
    return JournalDirectory.open(made.path)


def test_a_journal_is_whole_when_it_appears(folder: Path) -> None:
    """Its header can be read, it is owned, and nothing else is in the folder."""
    header = make_header(settings={"capture": {"max": 1}}, database_id="x")
    made = JournalDirectory.create(folder, header)
    assert names_in(folder) == [header.journal_id]
    assert made.is_owned()
    [found] = list_journals(folder)
    assert found.header == header
    assert found.header.target == TARGET
    assert found.is_owned()
    assert not found.lock_owner()
    made.close()


def test_all_is_for_its_owner_alone(journal: JournalDirectory) -> None:
    """The folder has 0700, each file 0600."""
    journal.lock_reader()
    assert journal.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in journal.path.iterdir()} == {0o600}


def test_a_header_is_replaced(journal: JournalDirectory) -> None:
    """The id of the database is added once it was reached."""
    changed = make_header(journal_id=journal.journal_id, database_id="abc")
    journal.write_header(changed)
    assert JournalDirectory.open(journal.path).header == changed
    assert journal.header == changed


def test_the_owner_is_gone_with_its_lock(folder: Path) -> None:
    """Whoever finds the journal sees that it has no owner, and may own it."""
    found = abandon(folder)
    assert not found.is_owned()
    assert found.lock_owner()
    assert found.is_owned()
    found.close()
    assert not found.is_owned()


def test_one_reads(journal: JournalDirectory) -> None:
    """The reader lock is another one than the owner's."""
    other = JournalDirectory.open(journal.path)
    assert not other.is_read()
    assert journal.lock_reader()
    assert other.is_read()
    assert not other.lock_reader()
    journal.release_reader()
    assert other.lock_reader()
    other.close()


def test_looking_makes_no_file(folder: Path) -> None:
    """Also where a lock file is missing."""
    found = abandon(folder)
    (found.path / OWNER_LOCK).unlink()
    assert not found.is_owned()
    assert not found.is_read()
    assert names_in(found.path) == [HEADER_NAME]


def test_segments_are_listed_by_kind_and_number(journal: JournalDirectory) -> None:
    """What is named otherwise is none."""
    names = [format_segment_name(kind, number) for kind in SegmentKind for number in (10, 2)]
    for name in [*names, "m-1.seg", "x-00000000000000000001.seg", "m-0000000000000000000a.seg"]:
        (journal.path / name).write_bytes(b"xy")
    found = journal.segments()
    assert [(segment.kind.value, segment.number) for segment in found] == [
        ("c", 2), ("c", 10), ("l", 2), ("l", 10), ("m", 2), ("m", 10)
    ]  # fmt: skip
    assert {segment.size for segment in found} == {2}
    assert journal.bytes_on_disk() == 12


def test_removing_leaves_nothing(folder: Path) -> None:
    """Segments, also unfinished ones, header and locks go with the folder."""
    found = abandon(folder)
    for name in (
        format_segment_name(SegmentKind.MAIN, 1),
        directory_module.format_unfinished_name(2),
    ):
        (found.path / name).write_bytes(b"x")
    assert found.remove()
    assert names_in(folder) == []
    assert not found.lock_reader()
    assert not found.is_owned()
    assert found.segments() == []


def test_the_disk_knows_that_a_journal_goes_before_anything_in_it_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a loss of power could leave a folder of its name that has no header any more."""
    found = abandon(folder)
    synced: dict[str, list[str]] = {}

    def sync(path: Path) -> None:
        [gone] = path.iterdir()
        synced[path.name] = [gone.name[:6], *names_in(gone)]

    monkeypatch.setattr(directory_module, "sync_folder", sync)
    assert found.remove()
    assert synced == {"journals": [".gone-", HEADER_NAME, OWNER_LOCK, "reader.lock"]}


@pytest.mark.parametrize("lock", ["lock_owner", "lock_reader"])
def test_nothing_is_removed_while_another_is_at_it(folder: Path, lock: str) -> None:
    """Neither an owner nor a reader loses its journal, and no lock is kept."""
    found = abandon(folder)
    other = JournalDirectory.open(found.path)
    assert getattr(other, lock)()
    assert not found.remove()
    assert found.exists()
    other.close()
    assert other.remove()


def test_removing_does_not_mind_those_who_look(folder: Path, monkeypatch) -> None:
    """A look is a shared lock of a moment."""
    found = abandon(folder)
    looking = directory_module.try_lock(found.path / OWNER_LOCK, shared=True)
    monkeypatch.setattr(directory_module.time, "sleep", lambda _: os.close(looking))
    assert found.remove()


def test_what_is_not_ours_stays(folder: Path) -> None:
    """A file that somebody put there is not removed, nor what a link leads to."""
    found = abandon(folder)
    outside = folder.parent / "outside"
    outside.write_text("kept")
    (found.path / "notes.txt").write_text("kept")
    (found.path / format_segment_name(SegmentKind.MAIN, 1)).symlink_to(outside)
    assert found.remove()
    [rest] = folder.iterdir()
    assert names_in(rest) == ["notes.txt"]
    assert outside.read_text() == "kept"
    assert list_journals(folder) == []


def test_segments_are_discarded(journal: JournalDirectory) -> None:
    """The journal stays, empty."""
    (journal.path / format_segment_name(SegmentKind.CLEANED, 1)).write_bytes(b"x")
    assert not journal.is_empty()
    journal.discard_segments()
    assert journal.is_empty()
    assert JournalDirectory.open(journal.path).header == journal.header


def test_an_empty_journal_without_an_owner_is_removed(folder: Path) -> None:
    """Not while it has an owner, and not with a byte in it."""
    owned = make_journal(folder)
    assert not JournalDirectory.open(owned.path).remove_if_empty()
    owned.close()
    used = abandon(folder)
    (used.path / format_segment_name(SegmentKind.MAIN, 1)).write_bytes(b"x")
    assert not used.remove_if_empty()
    assert JournalDirectory.open(owned.path).remove_if_empty()
    assert [found.journal_id for found in list_journals(folder)] == [used.journal_id]


def test_a_prepared_segment_is_no_content(folder: Path) -> None:
    """A file without a byte does not keep a journal."""
    found = abandon(folder)
    (found.path / format_segment_name(SegmentKind.MAIN, 1)).touch()
    assert found.remove_if_empty()


def test_no_folder_no_journals(tmp_path: Path) -> None:
    """Nothing was journalled yet."""
    assert list_journals(tmp_path / "missing") == []


def test_other_names_are_no_journals(folder: Path) -> None:
    """Neither files nor folders of other things, not even the damaged ones'."""
    (folder / "damaged").mkdir()
    (folder / "file").touch()
    assert list_journals(folder) == []
    with pytest.raises(JournalError, match="is no journal"):
        JournalDirectory.open(folder / "damaged")


def test_a_missing_journal_is_an_error_that_names_the_place(folder: Path) -> None:
    """`flush --journal DIR` with a folder that is not there."""
    path = folder / str(uuid.uuid4())
    with pytest.raises(PermanentStoreError, match=f"journal.path: {path} can't be used"):
        JournalDirectory.open(path)


def test_a_newer_format_is_listed_and_left_alone(folder: Path) -> None:
    """Whatever else its header holds, and however empty it is."""
    found = abandon(folder)
    (found.path / HEADER_NAME).write_text(json.dumps({"format": FORMAT + 1, "new": {}}))
    with pytest.raises(JournalNewerError, match=f"its format is {FORMAT + 1}"):
        JournalDirectory.open(found.path)
    [listed] = list_journals(folder)
    assert not listed.format_known
    assert isinstance(listed.problem, JournalNewerError)
    assert not listed.remove_if_empty()
    with pytest.raises(JournalNewerError):
        _ = listed.header


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', '{"format": "1"}', "\xff", " " * (2 << 20)]
)
def test_a_header_that_cannot_be_read_is_a_problem(folder: Path, text: str) -> None:
    """The journal is listed with it, and its format is not said to be newer."""
    found = abandon(folder)
    (found.path / HEADER_NAME).write_text(text, encoding="latin-1")
    [listed] = list_journals(folder)
    assert "header that can't be read" in str(listed.problem)
    assert listed.format_known


def test_a_copy_under_another_name_is_a_problem(folder: Path) -> None:
    """Two journals of one id would apply frames twice."""
    found = abandon(folder)
    copy = folder / str(uuid.uuid4())
    found.path.rename(copy)
    assert "header that can't be read" in str(list_journals(folder)[0].problem)


def test_a_linked_journal_is_refused(folder: Path) -> None:
    """A link in place of a journal is not followed."""
    found = abandon(folder)
    aside = folder.parent / "aside"
    found.path.rename(aside)
    found.path.symlink_to(aside)
    with pytest.raises(JournalError, match="is no folder: remove it"):
        JournalDirectory.open(found.path)


def test_a_linked_header_is_refused(folder: Path) -> None:
    """Nor is a link in place of a file."""
    found = abandon(folder)
    (found.path / HEADER_NAME).rename(folder.parent / "header")
    (found.path / HEADER_NAME).symlink_to(folder.parent / "header")
    with pytest.raises(JournalError, match="is no regular file"):
        JournalDirectory.open(found.path)


def test_a_journal_open_to_others_is_refused(folder: Path) -> None:
    """Somebody may have written there; the error says how to close it."""
    found = abandon(folder)
    found.path.chmod(0o770)
    with pytest.raises(JournalError, match="chmod go="):
        JournalDirectory.open(found.path)


@only_root
def test_a_planted_journal_is_refused(folder: Path) -> None:
    """Another user's journal is listed with its problem, and not opened."""
    found = abandon(folder)
    os.chown(found.path, NOBODY, NOBODY)
    with pytest.raises(JournalError, match="belongs to another user"):
        JournalDirectory.open(found.path)
    assert "belongs to another user" in str(list_journals(folder)[0].problem)


@only_root
def test_a_planted_segment_is_refused(journal: JournalDirectory) -> None:
    """A single file of another user, too."""
    name = format_segment_name(SegmentKind.MAIN, 1)
    (journal.path / name).touch(mode=0o600)
    os.chown(journal.path / name, NOBODY, NOBODY)
    with pytest.raises(JournalError, match="belongs to another user"):
        journal.open_segment(name)


def test_an_id_that_is_a_path_makes_nothing(folder: Path) -> None:
    """An id is a uuid and nothing else."""
    with pytest.raises(ValueError, match="uuid"):
        JournalDirectory.create(folder, make_header(journal_id="../x"))


def test_what_cannot_be_made_is_an_error_that_names_the_setting(folder: Path) -> None:
    """And nothing is left of it."""
    with pytest.raises(PermanentStoreError, match=r"journal\.path"):
        JournalDirectory.create(folder / "missing", make_header())
    assert names_in(folder) == []


def test_a_disk_that_is_full_leaves_nothing(folder: Path, monkeypatch) -> None:
    """What was begun is removed."""

    def fail(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(directory_module.os, "fsync", fail)
    with pytest.raises(PermanentStoreError, match="no space left on device"):
        JournalDirectory.create(folder, make_header())
    assert names_in(folder) == []


def begin(folder: Path, prefix: str) -> Path:
    """Leave what a killed process leaves while it makes or removes a journal."""
    found = abandon(folder)
    return found.path.rename(folder / f"{prefix}{found.journal_id}")


def test_what_was_begun_is_swept_after_a_minute(folder: Path) -> None:
    """Not before: its maker may be slow."""
    path = begin(folder, ".new-")
    assert list_journals(folder) == []
    assert path.exists()
    list_journals(folder, wall=lambda: time.time() + 61.0)
    assert not path.exists()


def test_what_was_begun_without_a_lock_is_swept(folder: Path) -> None:
    """Killed straight after the folder was made."""
    (folder / ".new-x").mkdir(mode=0o700)
    list_journals(folder, wall=lambda: time.time() + 61.0)
    assert names_in(folder) == []


def test_what_is_being_made_is_not_swept(folder: Path) -> None:
    """However long it takes: the maker holds its lock."""
    path = begin(folder, ".new-")
    fd = directory_module.try_lock(path / OWNER_LOCK)
    list_journals(folder, wall=lambda: time.time() + 3600.0)
    assert path.exists()
    os.close(fd)


def test_what_was_about_to_go_is_swept_at_once(folder: Path) -> None:
    """It was decided that nobody needs it."""
    path = begin(folder, ".gone-")
    (path / format_segment_name(SegmentKind.MAIN, 1)).write_bytes(b"applied")
    (path / OWNER_LOCK).unlink()
    list_journals(folder)
    assert names_in(folder) == []


@pytest.mark.exhaustive
def test_200_proxies_of_one_exchange_each(tmp_path: Path) -> None:
    """Eight at once, one in five killed, others take over meanwhile: nothing is lost or left.

    A frame may be applied twice here, where somebody was killed between applying and removing:
    the database's checkpoint knows.
    """
    folder = tmp_path / "journals"
    folder.mkdir(mode=0o700)
    command = [sys.executable, "-m", "tests.unit.journal.proxies", str(folder), "200", "1"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["errors"] == []
    assert len(result["acknowledged"]) > 140
    assert set(result["acknowledged"]) - set(result["applied"]) == set()
    assert names_in(folder) == []
