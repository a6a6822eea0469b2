"""Check what stands at a database's paths, before SQLite opens it and while it is open.

A clone, an unpacked archive or another user of a shared folder can have put it there. A file is
looked at through a descriptor that can read nothing (O_PATH): closing any other one would take the
locks that SQLite holds on the same file along.

SQLite goes on with files that were moved or removed, and what it writes there nobody finds. The
files are looked at by path alone: a descriptor of our own, once closed, would take SQLite's locks
on the same file along.
"""

from __future__ import annotations

import os
import stat
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from response_store.config.secret import mask_credentials
from response_store.errors import PermanentStoreError
from response_store.links import TooManyLinksError, find_foreign_link

_LOG = "-wal"
_BESIDE = (_LOG, "-shm", "-journal")
_OTHERS = 0o077
_O_PATH = getattr(os, "O_PATH", None)  # Linux has it
_OPEN_FLAGS = (_O_PATH or 0) | os.O_NOFOLLOW | os.O_CLOEXEC


def check_files(path: Path, label: str, *, writes: bool = True, closes: bool = True) -> None:
    """See that a database and what SQLite keeps beside it are this user's own, plain files.

    Who only reads may read root's as well. With `closes` the bits for other users are taken off
    our own, and a warning says so. `path` need not exist. Raises PermanentStoreError, which begins
    with `label` and names the fix, or OSError.
    """
    owners = {os.geteuid()} if writes else {os.geteuid(), 0}
    _check_links(path, label)
    real = os.path.realpath(path)
    # The database is the last: a log that a proxy begins meanwhile is one with a database.
    side_files = {
        suffix: _check_path(real + suffix, label, owners, closes=closes) for suffix in _BESIDE
    }
    database = _check_path(real, label, owners, closes=closes)
    if side_files[_LOG] is not None and (database is None or not database.st_size):
        raise _build_error(
            label,
            real + _LOG,
            "is there without its database",
            "put the database back beside it, as it may hold what was written last, or remove it",
        )


def _check_links(path: Path, label: str) -> None:
    try:
        link = find_foreign_link(path.absolute())
    except TooManyLinksError:
        raise _build_error(label, path, "has too many links", "name the file itself") from None
    if link is not None:
        raise _build_error(label, link, "is another user's link", "name a file of your own")


def _check_path(path: str, label: str, owners: set[int], *, closes: bool) -> os.stat_result | None:
    """Return what stands at a path; None where nothing does."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS) if _O_PATH is not None else None
        status = os.lstat(path) if descriptor is None else os.fstat(descriptor)
    except FileNotFoundError:
        return None
    try:
        _check(path, status, label, owners)
        if closes and status.st_mode & _OTHERS and status.st_uid == os.geteuid():
            _close_to_others(path, descriptor, status, label)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return status


def _check(path: str, status: os.stat_result, label: str, owners: set[int]) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise PermanentStoreError(f"{label}{_get_suffix(path)}: a folder: name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise _build_error(label, path, "is no regular file", "remove it, or name another file")
    if status.st_uid not in owners:
        fix = "run as its owner, or name a copy of your own"
        raise _build_error(label, path, "belongs to another user", fix)


def _close_to_others(path: str, descriptor: int | None, status: os.stat_result, label: str) -> None:
    """Take the bits for other users off; where that can't be done, say how it can."""
    import logging  # noqa: PLC0415 (commands start quicker without)

    logger = logging.getLogger(__name__)
    mode = stat.S_IMODE(status.st_mode) & ~_OTHERS
    try:
        if descriptor is None:
            os.chmod(path, mode, follow_symlinks=False)  # noqa: PTH101 - the path is a text
        else:
            os.chmod(f"/proc/self/fd/{descriptor}", mode)  # noqa: PTH101 - a descriptor
    except (OSError, NotImplementedError):
        logger.warning(
            "%s: %s is readable by other users: chmod go= %s",
            label,
            _mask_name(path),
            _mask_name(path),
        )
    else:
        logger.warning(
            "%s: %s was readable by other users: it is its owner's alone now",
            label,
            _mask_name(path),
        )


def _get_suffix(path: str) -> str:
    return next((suffix for suffix in _BESIDE if path.endswith(suffix)), "")


def _build_error(label: str, path: str | Path, reason: str, fix: str) -> PermanentStoreError:
    return PermanentStoreError(f"{label}: {_mask_name(path)} {reason}: {fix}")


def _mask_name(path: str | Path) -> str:
    """Return a file's name, without what could be a password in it."""
    return mask_credentials(os.path.basename(path))  # noqa: PTH119 - texts and paths


class FilesState(Enum):
    """The state of a database's files.

    `REWRITTEN`: the file itself has changed, by another process's checkpoint or by a copy that was
    written over it. `MOVED`: one of the files is gone, is another one, or was cut.
    """

    SAME = "same"
    REWRITTEN = "rewritten"
    MOVED = "moved"


class _FileStatus(NamedTuple):
    """Identity, size and time of a file; all zero where there is none."""

    inode: tuple[int, int] = (0, 0)
    size: int = 0
    changed: int = 0  # nanoseconds


class DatabaseFiles:
    """The file of a database, its -wal and its -shm, as they were when this was made.

    Make it once the database has been read: SQLite makes the other two then. For one thread.
    """

    def __init__(self, path: Path) -> None:
        real = os.path.realpath(path)
        self._path = os.fspath(path)
        self._real, self._wal_path, self._shm_path = real, f"{real}-wal", f"{real}-shm"
        self.note()

    def note(self) -> None:
        """Take the files as they are now for the right ones, after a checkpoint of our own."""
        self._main, self._wal, self._shm = self._see()

    @property
    def log_bytes(self) -> int:
        """Return the size of the -wal at the last look."""
        return self._wal.size

    def look(self) -> FilesState:
        """Compare the files with those that were opened. A -shm that was cut is fixed."""
        main, wal, shm = self._see()
        if not self._are_ours(main, wal, shm) or wal.size < self._wal.size:
            return FilesState.MOVED
        self._note_growth(wal, shm)
        return FilesState.SAME if main == self._main else FilesState.REWRITTEN

    def are_in_place(self) -> bool:
        """Return whether the files are those that were opened, after a commit."""
        main, wal, shm = self._see()
        if not self._are_ours(main, wal, shm):
            return False
        self._note_growth(wal, shm)
        return True

    def log_is_ours(self) -> bool:
        """Return whether nobody else can have written to a log at these paths."""
        wal, shm = _stat(self._wal_path), _stat(self._shm_path)
        if not wal.size:  # removed; or made by somebody who has read only
            return True
        return wal.inode == self._wal.inode and shm.inode in (self._shm.inode, _FileStatus().inode)

    def remove_log_of_moved(self) -> None:
        """Remove our -wal and -shm where our file is no longer beside them.

        SQLite would take them for those of the next file at that path, and corrupt it.
        """
        if _stat(self._real).inode == self._main.inode:
            return
        for path, ours in ((self._wal_path, self._wal), (self._shm_path, self._shm)):
            if ours.inode == _stat(path).inode != _FileStatus().inode:
                os.unlink(path)  # noqa: PTH108 - the paths are texts

    def _see(self) -> tuple[_FileStatus, _FileStatus, _FileStatus]:
        return _stat(self._path), _stat(self._wal_path), _stat(self._shm_path)

    def _are_ours(self, main: _FileStatus, wal: _FileStatus, shm: _FileStatus) -> bool:
        ours = (self._main.inode, self._wal.inode, self._shm.inode)
        return ours == (main.inode, wal.inode, shm.inode) and _FileStatus().inode not in ours

    def _note_growth(self, wal: _FileStatus, shm: _FileStatus) -> None:
        self._wal = wal
        if shm.size >= self._shm.size:
            self._shm = shm
        else:
            # SQLite has it mapped, and a touch beyond its end ends the process (SIGBUS). All zero
            # it is no index, and is made anew from the log; a beginning alone would be believed.
            os.truncate(self._shm_path, 0)
            os.truncate(self._shm_path, self._shm.size)


def _stat(path: str) -> _FileStatus:
    try:
        status = os.stat(path)  # noqa: PTH116 - the quicker one
    except OSError:
        return _FileStatus()
    return _FileStatus((status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)
