"""Open files and folders of this user alone: by descriptor, locked, where journals belong.

A folder of journals is the user's own, yet what is found in it is input: a link, another user's
file, a pipe or a file that others may read is refused before a byte of it is read.

Not `filelock`: that makes missing folders before it locks, so a journal that somebody removes
would come back as an empty folder; and it knows no shared locks, so that two who only look
whether a journal has an owner would take each other for one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from response_store.journal.errors import JournalError, make_refusal, make_unusable_error
from response_store.links import TooManyLinksError, find_foreign_link

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


DAMAGED = "damaged"  # beside the journals: what was damaged in any of them
JOURNAL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NEW_PREFIX, GONE_PREFIX = ".new-", ".gone-"
_OWN_NAME = re.compile(rf"({DAMAGED}|({re.escape(NEW_PREFIX)}|\.gone-)?{JOURNAL_ID.pattern})")


def prepare_folder(
    configured: Path | None, environ: Mapping[str, str], *, create: bool = True
) -> Path:
    """Return the real path of the folder of journals, made (0700) and checked.

    `journal.path` as configured, else `journals` in $STATE_DIRECTORY (systemd's), else in the
    user's state folder. With `create` False a folder that does not exist is returned as it is.
    Raises JournalError where somebody else could read it or put files there.
    """
    path = (configured or _find_default(environ)).absolute()
    try:
        _check_links(path)
        real = path.resolve()
        if configured is None:
            _restrict_mode(real.parent, 0o022)
        if create:
            _make(real)
        if real.exists() or create:
            _check_parent(real.parent)
            _check_own(real)
    except OSError as error:
        raise make_unusable_error(path, error) from None
    return real


def _find_default(environ: Mapping[str, str]) -> Path:
    """Return the place where nothing is configured."""
    systemd = environ.get("STATE_DIRECTORY", "").split(":")[0]
    state = Path(systemd) if systemd else platformdirs.user_state_path("response-store", False)
    return state / "journals"


def _check_links(path: Path) -> None:
    """See that each link on the way is root's or ours: its owner decides where it leads."""
    try:
        link = find_foreign_link(path)
    except TooManyLinksError:
        raise make_refusal(path, "has too many links", "name the folder itself") from None
    if link is not None:
        raise make_refusal(link, "is another user's link", "name a folder of your own")


def _make(path: Path) -> None:
    """Make a folder and its parents, each 0700 and kept by the disk."""
    if path.exists():
        return
    _make(path.parent)
    if path.parent.exists():
        _check_parent(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_folder(path.parent)


def _check_parent(parent: Path) -> None:
    """See that nobody else can put a folder of his own in the place of ours."""
    status = parent.stat()
    if status.st_uid not in {0, os.geteuid()}:
        raise make_refusal(parent, "belongs to another user", "name a folder of your own")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
        raise make_refusal(parent, "can be written by other users", f"chmod go-w {parent}")


def _check_own(folder: Path) -> None:
    """See that a folder is this user's alone; take the bits for others off one of journals."""
    if all(_OWN_NAME.fullmatch(path.name) for path in folder.iterdir()):
        _restrict_mode(folder, 0o077)
    check_folder(folder)


def _restrict_mode(folder: Path, bits: int) -> None:
    """Take bits of the mode off a folder of ours; leave what is missing or another user's."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        status = os.fstat(fd)
        if status.st_uid == os.geteuid() and status.st_mode & bits:
            os.fchmod(fd, stat.S_IMODE(status.st_mode) & ~bits)
    finally:
        os.close(fd)
