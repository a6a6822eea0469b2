"""Files that are found where a database is to be: whose they are, and who else may open them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from response_store.backends.registry import open_file
from response_store.backends.sqlite.files import check_files
from response_store.errors import PermanentStoreError
from tests.harness.records import NAMES, record
from tests.unit.backends.sqlite.files import opened, rows, script, store_on

NOBODY = 65534
BESIDE = ("-wal", "-shm", "-journal")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files away")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.db"


def modes(folder: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in folder.iterdir()}


def write(path: Path) -> None:
    """Open a store as an ingester does."""
    with closing(store_on(path)) as store:
        store.open()


def read(path: Path) -> None:
    """Open a store as a command does."""
    open_file(path, NAMES).close()


def refusal(work: Callable[[Path], None], path: Path) -> str:
    with pytest.raises(PermanentStoreError) as caught:
        work(path)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o777])
def test_bits_for_others_are_taken_off_and_reported(
    path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An own file of whatever mode is its owner's alone before a row is written, and its -wal."""
    with opened(path):
        pass
    path.chmod(mode)
    with opened(path) as store:
        store.write([record()])
        assert set(modes(path.parent).values()) == {mode & 0o700}
    assert "responses.db was readable by other users: it is its owner's alone now" in caplog.text


def test_a_reader_takes_the_bits_off_as_well(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a command reads is nobody else's from then on; once it is, nothing is reported."""
    write(path)
    path.chmod(0o644)
    read(path)
    assert modes(path.parent)["responses.db"] == 0o600
    assert len(caplog.records) == 1
    read(path)
    assert len(caplog.records) == 1


@as_root
@pytest.mark.parametrize("work", [write, read])
@pytest.mark.parametrize("suffix", ["", *BESIDE])
def test_a_file_of_another_user_is_refused(
    path: Path, suffix: str, work: Callable[[Path], None]
) -> None:
    """Whichever of the four files another user owns, nothing is opened, and the fix is named."""
    write(path)
    other = path.with_name(path.name + suffix)
    other.touch()
    os.chown(other, NOBODY, NOBODY)
    before = other.read_bytes()
    message = refusal(work, path)
    assert f"responses.db{suffix} belongs to another user: run as its owner" in message
    assert other.read_bytes() == before


@as_root
def test_a_link_of_another_user_is_refused(path: Path, tmp_path: Path) -> None:
    """A link decides where the rows go, so its owner has to be this user, in each folder above."""
    (tmp_path / "real").mkdir()
    for link, target in ((path, "real/x.db"), (tmp_path / "folder", "real")):
        link.symlink_to(target)
        os.lchown(link, NOBODY, NOBODY)
    assert "responses.db is another user's link" in refusal(write, path)
    assert "folder is another user's link" in refusal(write, tmp_path / "folder" / "x.db")
    assert list((tmp_path / "real").iterdir()) == []


def test_an_own_link_leads_to_the_file(path: Path, tmp_path: Path) -> None:
    """Who has linked his database to another disk goes on with it."""
    path.symlink_to("elsewhere.db")
    with opened(path) as store:
        store.write([record()])
    assert rows(tmp_path / "elsewhere.db", "SELECT count(*) FROM openai_exchanges") == [(1,)]


@pytest.mark.parametrize("suffix", BESIDE)
@pytest.mark.parametrize("work", [write, read])
def test_what_lies_beside_is_a_file(
    path: Path, tmp_path: Path, suffix: str, work: Callable[[Path], None]
) -> None:
    """A link, a folder or a pipe beside the database is refused, and what it leads to is kept."""
    write(path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    beside = path.with_name(path.name + suffix)
    beside.symlink_to(victim)
    assert f"responses.db{suffix} is no regular file: remove it" in refusal(work, path)
    assert victim.read_text() == "precious"
    beside.unlink()
    os.mkfifo(beside)
    assert "is no regular file" in refusal(work, path)
    beside.unlink()
    beside.mkdir()
    assert f"{suffix}: a folder" in refusal(work, path)


def test_a_log_without_its_database_is_refused(path: Path) -> None:
    """A -wal that is there before its database is kept, and nothing is made beside it."""
    log = path.with_name("responses.db-wal")
    log.write_bytes(b"planted")
    message = refusal(write, path)
    assert "responses.db-wal is there without its database: put the database back" in message
    assert [each.name for each in path.parent.iterdir()] == [log.name]
    path.touch()
    assert "without its database" in refusal(write, path)
    assert log.read_bytes() == b"planted"


def test_a_log_with_its_database_is_taken(path: Path, tmp_path: Path) -> None:
    """What a killed process left in its -wal is there."""
    with opened(path) as store:
        store.write([record()])
        copy = tmp_path / "copy" / "responses.db"
        copy.parent.mkdir()
        for suffix in ("", "-wal"):
            data = path.with_name(path.name + suffix).read_bytes()
            copy.with_name(copy.name + suffix).write_bytes(data)
    write(copy)
    assert rows(copy, "SELECT count(*) FROM openai_exchanges") == [(1,)]


def test_a_look_takes_no_lock_along(path: Path) -> None:
    """A second look at a file that this process writes to leaves its locks in force."""
    script(path, "CREATE TABLE x (y)")
    path.chmod(0o600)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        check_files(path, "here")
        child = os.fork()
        if not child:
            try:
                sqlite3.connect(path, timeout=0).execute("INSERT INTO x VALUES (1)")
            except sqlite3.OperationalError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_name_shows_no_password(tmp_path: Path) -> None:
    """What could be credentials in a file's name is masked."""
    path = tmp_path / "user:c4n4ry@x.db"
    path.mkdir()
    assert "c4n4ry" not in refusal(write, path)
