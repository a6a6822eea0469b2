"""Files and folders of this user alone, opened without following links and checked by descriptor.

A folder of journals is the user's own, yet what is found in it is input: a link, another user's
file, a pipe or a file that others may read is refused before a byte of it is read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from pathlib import Path

from response_store.journal.errors import make_refusal

_OTHERS = 0o077
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe must not hang who opens it


def open_private(path: Path, flags: int = os.O_RDONLY) -> int:
    """Return a descriptor (close-on-exec) of a regular file that is this user's alone.

    What is created has mode 0600. Raises JournalError where the file is something else, OSError
    where it can't be opened.
    """
    try:
        fd = os.open(path, flags | _SAFE, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise make_refusal(path, "is no regular file", "remove it") from None
        raise
    try:
        _check(path, os.fstat(fd), stat.S_ISREG, "no regular file")
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_folder(path: Path) -> None:
    """See that a folder is this user's alone. Raises JournalError, or OSError where it is gone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _SAFE)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise make_refusal(path, "is no folder", "remove it") from None
        raise
    try:
        _check(path, os.fstat(fd), stat.S_ISDIR, "no folder")
    finally:
        os.close(fd)


def _check(path: Path, status: os.stat_result, is_right: object, wrong: str) -> None:
    if not callable(is_right) or not is_right(status.st_mode):
        raise make_refusal(path, f"is {wrong}", "remove it")
    if status.st_uid != os.geteuid():
        raise make_refusal(path, "belongs to another user", "remove it, or run as its owner")
    if status.st_mode & _OTHERS:
        raise make_refusal(path, "is open to other users", f"chmod go= {path}")


def sync_file(fd: int) -> None:
    """Have the disk keep what a file holds. Raises OSError."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def sync_folder(path: Path) -> None:
    """Have the disk keep the entries of a folder. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if sys.platform == "darwin":
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)
    finally:
        os.close(fd)
