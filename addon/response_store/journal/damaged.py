"""Keeps damaged bytes of journals aside, in a folder beside the journals, bounded."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from response_store.journal.directory import JournalDirectory
from response_store.journal.errors import JournalError
from response_store.journal.folder import DAMAGED
from response_store.journal.private_files import check_folder, open_private
from response_store.journal.segment_file import write_all

MAX_FILES, MAX_BYTES = 1000, 64 << 20  # of all journals together
MAX_PIECE = 16 << 20  # what is kept of one damaged place
_SLICE = 1 << 20


def keep_damaged(directory: JournalDirectory, segment: str, start: int, end: int) -> bool:
    """Copy bytes of a segment into the folder of damaged ones, as far as there is room.

    Return False where that was done before, by an earlier reader. Never raises for what the disk
    does: the damage is counted all the same.
    """
    folder = directory.path.parent / DAMAGED
    path = folder / f"{directory.journal_id}-{segment}-{start}.bin"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        check_folder(folder)
        if path.exists():
            return False
        if _has_room(folder):
            _copy(directory, segment, start, min(end, start + MAX_PIECE), path)
    except (OSError, JournalError):
        with contextlib.suppress(OSError):
            path.unlink()
    return True


def _has_room(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        sizes = [entry.stat(follow_symlinks=False).st_size for entry in entries]
    return len(sizes) < MAX_FILES and sum(sizes) < MAX_BYTES


def _copy(directory: JournalDirectory, segment: str, start: int, end: int, path: Path) -> None:
    source = directory.open_segment(segment)
    try:
        target = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            while start < end and (piece := os.pread(source, min(_SLICE, end - start), start)):
                write_all(target, [piece])
                start += len(piece)
        finally:
            os.close(target)
    finally:
        os.close(source)
