"""The position of a journal, once more in a file of its folder: a hint, the database decides.

It tells that an older copy of a database, or an empty one, was put in the place of the one that was
written last.
"""

from __future__ import annotations

import contextlib
import os

from response_store.journal.directory import POSITION, JournalDirectory
from response_store.journal.private_files import open_private

_DIGITS = 20


class PositionHint:
    """The file. For one thread; what the disk refuses is left out."""

    def __init__(self, directory: JournalDirectory) -> None:
        self._path = directory.path / POSITION
        self._fd = -1

    def read(self) -> int:
        """Return the position that was written last; 0 where there is none."""
        try:
            fd = open_private(self._path)
        except OSError:
            return 0
        try:
            text = os.read(fd, _DIGITS)
        finally:
            os.close(fd)
        return int(text) if len(text) == _DIGITS and text.isdigit() else 0

    def write(self, position: int) -> None:
        """Write a position."""
        with contextlib.suppress(OSError):
            if self._fd < 0:
                self._fd = open_private(self._path, os.O_WRONLY | os.O_CREAT)
            os.pwrite(self._fd, b"%0*d" % (_DIGITS, position), 0)

    def remove(self) -> None:
        """Remove the file: the journal is empty."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
