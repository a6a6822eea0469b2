"""The files of an open SQLite database: whether those that were opened still stand at their paths.

SQLite goes on with files that were moved or removed, and what it writes there nobody finds. The
files are looked at by path alone: a descriptor of our own, once closed, would take SQLite's locks
on the same file along.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import NamedTuple


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
