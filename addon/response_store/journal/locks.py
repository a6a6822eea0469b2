"""Locks on files: held by an open descriptor, so they go with the process.

Not `filelock`: that makes missing folders before it locks, so a journal that somebody removes
would come back as an empty folder; and it knows no shared locks, so that two who only look
whether a journal has an owner would take each other for one.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from response_store.journal.errors import JournalError, make_unusable_error
from response_store.journal.private_files import open_private

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def try_lock(path: Path, *, shared: bool = False, create: bool = True) -> int | None:
    """Return a descriptor that holds the lock until it is closed, without waiting.

    None where another one holds it, or where the file (and with it the folder) is gone: a file
    that was removed while we were about to lock it locks nothing. Raises JournalError.
    """
    try:
        fd = open_private(path, os.O_RDWR | (os.O_CREAT if create else 0))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise make_unusable_error(path, error) from None
    try:
        if _lock(fd, path, shared) and _is_still(path, fd):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _lock(fd: int, path: Path, shared: bool) -> bool:
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise make_unusable_error(path, error) from None
        raise JournalError(
            f"journal.path: {path.parent} is on a file system without file locks: name a folder "
            "on a local disk in journal.path"
        ) from None
    return True


def _is_still(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except FileNotFoundError:
        return False
