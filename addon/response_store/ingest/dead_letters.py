"""Keep rows that the database refuses in a private file of their journal's folder.

They are frames in the journal's format, each with the reason; their seqs are those of the frames
that the rows came from.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from response_store.backends.base import Store
from response_store.errors import RowRefusedError
from response_store.ingest.exchanges import decode_change, encode_change, find_change_kind
from response_store.journal.directory import DEAD_LETTERS, JournalDirectory
from response_store.journal.errors import DamagedFrameError, JournalWriteError
from response_store.journal.frames import FrameKind, FrameRef, encode
from response_store.journal.private_files import open_private, sync_file, sync_folder
from response_store.journal.segments import SegmentReader, write_all
from response_store.model.records import Change

_NEW = f"{DEAD_LETTERS}.new"
_ROOM = 0.75  # of what they may take, once the oldest have gone


class DeadLetter(NamedTuple):
    """A refused row, and why. `at` is Unix seconds, `seq` the frame that it came from."""

    seq: int
    at: float
    reason: str
    change: Change


class _Head(msgspec.Struct, array_like=True):
    kind: str
    at: float
    reason: str


_encode_head = msgspec.msgpack.Encoder().encode
_read_head = msgspec.msgpack.Decoder(_Head).decode


class DeadLetters:
    """The dead letters of one journal, at most `max_bytes` of them. For one thread.

    `number` and `size` (bytes) may be read by any. Raises JournalWriteError where the file can't be
    written, JournalError where it is not ours.
    """

    def __init__(
        self, directory: JournalDirectory, max_bytes: int, wall: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._wall = wall
        self._seqs: set[int] = set()
        self.number = 0
        self.size = 0
        self._count()

    def append(self, seq: int, change: Change, reason: str) -> int:
        """Keep a row, on the disk; return how many of the oldest had to go for it.

        A row that is kept already, as the process was killed right behind that, is kept once.
        """
        if seq in self._seqs:
            return 0
        letter = DeadLetter(seq, self._wall(), reason, change)
        with self._writing():
            self._write(DEAD_LETTERS, os.O_APPEND, [letter])
            if not self.number:  # the file may be a new one
                sync_folder(self._directory.path)
        self._seqs.add(seq)
        self.number += 1
        self.size += sum(map(len, self._frame(letter)))
        return self._make_room() if self.size > self._max_bytes else 0

    def read(self) -> list[DeadLetter]:
        """Return all of them, the oldest first."""
        reader = self._reader()
        try:
            return [
                letter
                for ref in _read_refs(reader)
                if (letter := _read_letter(reader, ref)) is not None
            ]
        finally:
            reader.release()

    def retry(self, store: Store) -> int:
        """Write what the database takes by now; return how many. Raises StoreError.

        What it refuses again stays, with the reason of today.
        """
        letters, left, tried = self.read(), [], 0
        try:
            for letter in letters:
                reason = _try_write(store, letter.change)
                tried += 1
                if reason is not None:
                    left.append(letter._replace(reason=reason, at=self._wall()))
        finally:
            store.sync()
            self._replace([*left, *letters[tried:]])
        return tried - len(left)

    def _make_room(self) -> int:
        """Let the oldest go; return how many."""
        letters = self.read()
        room = self._max_bytes * _ROOM
        kept: list[DeadLetter] = []
        for letter in reversed(letters):
            room -= sum(map(len, self._frame(letter)))
            if room < 0:
                break
            kept.append(letter)
        self._replace(kept[::-1])
        return len(letters) - len(kept)

    def _replace(self, letters: Sequence[DeadLetter]) -> None:
        """Keep these and no others: all or nothing of that happens."""
        path = self._directory.path
        with self._writing():
            if letters:
                self._write(_NEW, os.O_TRUNC, letters)
                (path / _NEW).replace(path / DEAD_LETTERS)
            else:
                (path / DEAD_LETTERS).unlink(missing_ok=True)
            sync_folder(path)
        self._count()

    def _write(self, name: str, flags: int, letters: Sequence[DeadLetter]) -> None:
        fd = open_private(self._directory.path / name, os.O_WRONLY | os.O_CREAT | flags)
        try:
            for letter in letters:
                write_all(fd, [b"".join(self._frame(letter))])
            sync_file(fd)
        finally:
            os.close(fd)

    def _frame(self, letter: DeadLetter) -> list[bytes | bytearray | memoryview]:
        head = _encode_head(_Head(find_change_kind(letter.change), letter.at, letter.reason))
        body = encode_change(letter.change)
        return encode(letter.seq, FrameKind.RECORD, 0, head, (body,), seed=self._directory.seed)

    def _count(self) -> None:
        reader = self._reader()
        try:
            refs = _read_refs(reader)
        finally:
            reader.release()
        self._seqs = {ref.seq for ref in refs}
        self.number = len(refs)
        self.size = sum(ref.size for ref in refs)

    def _reader(self) -> SegmentReader:
        directory = self._directory
        return SegmentReader(DEAD_LETTERS, directory.open_segment, directory.seed, _ignore_damage)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JournalWriteError(self._directory.path, error) from None


def _read_refs(reader: SegmentReader) -> list[FrameRef]:
    refs = []
    try:
        while (ref := reader.next()) is not None:
            refs.append(ref)
    except FileNotFoundError:
        return []
    return refs


def _read_letter(reader: SegmentReader, ref: FrameRef) -> DeadLetter | None:
    """Return a dead letter; None where it is damaged."""
    try:
        frame = reader.frame(ref)
        head = _read_head(frame.head)
        return DeadLetter(ref.seq, head.at, head.reason, decode_change(head.kind, frame.body))
    except (DamagedFrameError, msgspec.MsgspecError):
        return None


def _try_write(store: Store, change: Change) -> str | None:
    """Write one change; return why the database refuses it, if it does."""
    try:
        store.write([change], None)
    except RowRefusedError as error:
        return str(error)
    return None


def _ignore_damage(segment: str, start: int, end: int) -> None:
    """Leave damaged ones where they are: nobody can read them."""
