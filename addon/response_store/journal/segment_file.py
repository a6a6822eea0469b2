"""Appends frames to one segment file: all of a frame, or nothing of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from response_store.journal.directory import JournalDirectory, SegmentKind, format_segment_name
from response_store.journal.frames import Buffer
from response_store.journal.private_files import sync_file, sync_folder

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
_COPY_BATCH_BYTES = 1 << 20  # bytes


class SegmentFile:
    """A new segment, open for appending. Raises OSError where it can't be made."""

    def __init__(self, directory: JournalDirectory, kind: SegmentKind, number: int) -> None:
        self.name = format_segment_name(kind, number)
        self.number = number
        self.path = directory.path / self.name
        self.fd = os.open(self.path, _CREATE, 0o600)  # EXCL follows no link
        self.size = 0  # bytes of whole frames
        self.entry_is_synced = False  # whether the folder's entry is on the disk

    def append(self, buffers: Sequence[Buffer], size: int) -> None:
        """Append one frame of `size` bytes.

        Raises OSError when it can't; the file is then cut back to its last whole frame and must
        not be appended to again: a reader may have seen the beginning of what was cut off, and
        other bytes in its place would be a frame that never was.
        """
        try:
            written = os.writev(self.fd, buffers)
            if written != size:
                write_all(self.fd, [memoryview(b"".join(buffers))[written:]])
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, self.size)
            raise
        self.size += size

    def is_in_place(self) -> bool:
        """Return whether the path still means this file."""
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self.fd))
        except OSError:
            return False

    def put_back(self) -> None:
        """Write what it holds to its path once more, from which it was taken. Raises OSError.

        This object goes on meaning the file that was taken away.
        """
        new = self.path.with_suffix(".new")
        new.unlink(missing_ok=True)
        fd = os.open(new, _CREATE, 0o600)
        try:
            for at in range(0, self.size, _COPY_BATCH_BYTES):
                size = min(_COPY_BATCH_BYTES, self.size - at)
                write_all(fd, [os.pread(self.fd, size, at)])
            sync_file(fd)
        finally:
            os.close(fd)
        new.replace(self.path)
        sync_folder(self.path.parent)

    def sync(self) -> None:
        """Have the disk keep what was appended. Raises OSError."""
        sync_file(self.fd)

    def close(self) -> None:
        """Close the file, and remove it where it holds nothing. Idempotent."""
        if self.fd < 0:
            return
        if not self.size and self.is_in_place():
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self.fd)
        self.fd = -1


def write_all(fd: int, buffers: Sequence[Buffer]) -> None:
    """Write buffers one by one, whole. Raises OSError."""
    for buffer in buffers:
        rest = memoryview(buffer)
        while rest:
            rest = rest[os.write(fd, rest) :]
