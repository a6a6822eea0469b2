"""Locks on files: one holder, gone with its process, worth nothing on a file that was removed."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from response_store.journal import private_files
from response_store.journal.errors import JournalError
from response_store.journal.private_files import try_lock

HOLD = """
import sys
from pathlib import Path
from response_store.journal.private_files import try_lock
print(try_lock(Path(sys.argv[1])) is not None, flush=True)
sys.stdin.read()
"""


def test_one_holds_it(tmp_path: Path) -> None:
    """A second one gets None, until the first closes its descriptor."""
    fd = try_lock(tmp_path / "lock")
    assert fd is not None
    assert try_lock(tmp_path / "lock") is None
    os.close(fd)
    again = try_lock(tmp_path / "lock")
    assert again is not None
    os.close(again)


def test_it_goes_with_its_process(tmp_path: Path) -> None:
    """After kill -9 the lock is free."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"True\n"
        assert try_lock(tmp_path / "lock") is None
        assert try_lock(tmp_path / "lock", shared=True) is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    fd = try_lock(tmp_path / "lock")
    assert fd is not None
    os.close(fd)


def test_a_child_does_not_inherit_it(tmp_path: Path) -> None:
    """A program that was started meanwhile keeps no lock alive."""
    fd = try_lock(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        os.close(fd)
        again = try_lock(tmp_path / "lock")
        assert again is not None
        os.close(again)
        child.communicate(b"\n")


def test_those_who_look_do_not_see_each_other(tmp_path: Path) -> None:
    """Shared locks exclude only the exclusive one."""
    first, second = (try_lock(tmp_path / "lock", shared=True) for _ in range(2))
    assert first is not None
    assert second is not None
    assert try_lock(tmp_path / "lock") is None
    os.close(first)
    os.close(second)


def test_a_file_that_was_removed_meanwhile_locks_nothing(tmp_path: Path, monkeypatch) -> None:
    """Between opening and locking somebody removed the file: None, not a lock on nothing."""
    path = tmp_path / "lock"
    flock = fcntl.flock

    def remove_first(fd: int, operation: int) -> None:
        path.unlink()
        path.touch(mode=0o600)
        flock(fd, operation)

    monkeypatch.setattr(private_files.fcntl, "flock", remove_first)
    assert try_lock(path) is None


def test_a_folder_that_is_gone_stays_gone(tmp_path: Path) -> None:
    """No folder is made for a lock."""
    assert try_lock(tmp_path / "gone" / "lock") is None
    assert not (tmp_path / "gone").exists()


def test_no_file_is_made_to_look(tmp_path: Path) -> None:
    """With `create` False nothing changes."""
    assert try_lock(tmp_path / "lock", create=False) is None
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_permanent_error(tmp_path, monkeypatch, code) -> None:
    """The error names the setting."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(private_files.fcntl, "flock", refuse)
    with pytest.raises(JournalError, match=r"without file locks: name .* in journal\.path"):
        try_lock(tmp_path / "lock")
