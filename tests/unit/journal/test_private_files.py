"""Files that are found are input: only regular ones, of this user alone, are opened."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from response_store.journal.errors import JournalError
from response_store.journal.private_files import check_folder, open_private
from tests.unit.journal.making import open_files

NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of ours, 0600."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    path.chmod(0o600)
    return path


def test_a_file_of_ours_is_opened(file: Path) -> None:
    """The descriptor does not survive an exec."""
    fd = open_private(file)
    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    assert os.read(fd, 9) == b"x"
    os.close(fd)


def test_what_is_made_is_ours_alone(tmp_path: Path) -> None:
    """A new file has mode 0600."""
    os.close(open_private(tmp_path / "new", os.O_WRONLY | os.O_CREAT))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


def test_a_link_is_refused(file: Path) -> None:
    """Nothing behind a link is opened, also where it is ours."""
    (file.parent / "link").symlink_to(file)
    with pytest.raises(JournalError, match=r"link is no regular file: remove it"):
        open_private(file.parent / "link")


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY])
def test_a_pipe_is_refused(tmp_path: Path, flags: int) -> None:
    """A pipe does not hang who opens it."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(JournalError, match="no regular file"):
        open_private(tmp_path / "pipe", flags)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder is no file."""
    with pytest.raises(JournalError, match="no regular file"):
        open_private(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's file")
def test_another_users_file_is_refused(file: Path) -> None:
    """Root does not trust what another user wrote."""
    os.chown(file, NOBODY, NOBODY)
    with pytest.raises(JournalError, match="belongs to another user"):
        open_private(file)


@pytest.mark.parametrize("mode", [0o640, 0o602, 0o601])
def test_a_file_open_to_others_is_refused(file: Path, mode: int) -> None:
    """The error says how to close it."""
    file.chmod(mode)
    with pytest.raises(JournalError, match=f"chmod go= {file}"):
        open_private(file)


def test_refused_files_leave_no_descriptor(file: Path) -> None:
    """What is refused is closed."""
    file.chmod(0o644)
    before = open_files()
    for _ in range(3):
        with pytest.raises(JournalError):
            open_private(file)
    assert open_files() == before


def test_a_folder_of_ours_is_fine(tmp_path: Path) -> None:
    """0700 and ours."""
    (tmp_path / "own").mkdir(mode=0o700)
    check_folder(tmp_path / "own")


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    """A folder is looked at by itself."""
    (tmp_path / "own").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "own")
    with pytest.raises(JournalError, match="no folder"):
        check_folder(tmp_path / "link")
