"""Reads the frames of one segment file, whole ones only, while another process may append to it.

What follows the last whole frame is a *torn tail*: a frame that is being written, or whose writer
was killed. Bytes that are no frame but have one behind them are *damage*: they are reported and
skipped, by looking for the next bytes that are a frame with right checksums.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from response_store.journal.errors import DamagedFrameError
from response_store.journal.frames import (
    HEADER_SIZE,
    MAGIC,
    Frame,
    FrameRef,
    checksum_head,
    decode,
    parse_header,
)

_FIRST_CHUNK, _CHUNK = 4096, 1 << 16
_CHEAP_HEAD = 4096  # bytes of a head whose checksum costs less than a call

OnDamage = Callable[[str, int, int], None]  # segment, first byte, byte behind the last


class SegmentReader:
    """Reads one segment from its start on. Keeps a chunk and a descriptor until `release`.

    `open_file` returns a new descriptor of the file. Not for several threads.
    """

    def __init__(
        self, name: str, open_file: Callable[[str], int], seed: int, on_damage: OnDamage
    ) -> None:
        self.name = name
        self.offset = 0  # behind the last frame that was read
        self.last_seq = 0  # the highest that was read
        self._open_file = open_file
        self._seed = seed
        self._on_damage = on_damage
        self._fd = -1
        self._size = 0  # of the file, when it was last looked at
        self._searched = 0  # its size when the last search for a frame ended in nothing
        self._chunk = b""
        self._chunk_at = 0

    def next(self) -> FrameRef | None:
        """Return the next whole frame; None where there is none, or none yet.

        Raises OSError where the file can't be opened or read, JournalError where it is not ours.
        """
        ref = self._frame_at(self.offset)
        if ref is None and self._size > self.offset + HEADER_SIZE:
            ref = self._search()
        if ref is not None:
            self.offset = ref.offset + ref.size
            self.last_seq = max(self.last_seq, ref.seq)
        return ref

    def frame(self, ref: FrameRef) -> Frame:
        """Return a frame with its body. Raises DamagedFrameError, and reports the damage."""
        try:
            frame = self._read(ref)
        except FileNotFoundError:
            raise DamagedFrameError(f"segment {self.name} is gone, and with it a frame") from None
        if frame is None:
            self._on_damage(self.name, ref.offset, ref.offset + ref.size)
            raise DamagedFrameError(f"segment {self.name}: the frame at {ref.offset} is damaged")
        return frame

    def report_tail(self) -> None:
        """Report what follows the last whole frame as damage: nothing will be appended."""
        self._look()
        if self._size > self.offset:
            self._on_damage(self.name, self.offset, self._size)
            self.offset = self._size

    def release(self) -> None:
        """Close the descriptor and forget the chunk; both come back when they are needed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._chunk = b""

    def _look(self) -> int:
        """Return the file's size."""
        if self._fd < 0:
            self._fd = self._open_file(self.name)
        self._size = os.fstat(self._fd).st_size
        return self._size

    def _frame_at(self, offset: int) -> FrameRef | None:
        """Return the frame at a place if it is whole and its head's checksum is right."""
        at = offset - self._chunk_at
        if at < 0 or at + HEADER_SIZE > len(self._chunk):
            if not self._load(offset, HEADER_SIZE):
                return None
            at = 0
        parsed = parse_header(self._chunk, at, self.name, offset)
        if parsed is None:
            return None
        ref, crc_head = parsed
        if at + HEADER_SIZE + ref.head_size > len(self._chunk):
            if not self._load(offset, HEADER_SIZE + ref.head_size):
                return None
            at = 0
        if checksum_head(self._chunk, at, ref.head_size, self._seed) != crc_head:
            return None
        end = offset + ref.size
        return ref if end <= self._size or end <= self._look() else None

    def _load(self, offset: int, size: int) -> bool:
        """Make `size` bytes at `offset` the start of the chunk; return whether there are so many.

        Bounded by the size of the file, whatever its headers say.
        """
        if offset + size > self._size and offset + size > self._look():
            return False
        wanted = _CHUNK if offset else _FIRST_CHUNK
        self._chunk = self._pread(max(size, wanted), offset)
        self._chunk_at = offset
        return len(self._chunk) >= size

    def _search(self) -> FrameRef | None:
        """Return the first whole frame behind what is none, and report what is between.

        Linear in the file's size, also where a body was made to look like many heads.
        """
        if self._look() == self._searched:
            return None
        budget = 4 * (self._size - self.offset)
        at = self._find(self.offset + 1)
        while at is not None:
            head_size = self._head_size(at)
            if head_size > _CHEAP_HEAD:
                budget -= head_size
            if (head_size <= _CHEAP_HEAD or budget > 0) and (ref := self._frame_at(at)):
                # One that was being written at the first look is whole now, as another follows.
                if (whole := self._frame_at(self.offset)) is not None:
                    return whole
                self._on_damage(self.name, self.offset, at)
                return ref
            at = self._find(at + 1)
        self._searched = self._size
        return None

    def _find(self, offset: int) -> int | None:
        """Return the first place from `offset` on where a header may begin."""
        while offset + HEADER_SIZE <= self._size:
            start = offset - self._chunk_at
            if not 0 <= start <= len(self._chunk) - HEADER_SIZE:
                if not self._load(offset, HEADER_SIZE):
                    return None
                start = 0
            at = self._chunk.find(MAGIC, start)
            if 0 <= at <= len(self._chunk) - HEADER_SIZE:
                return self._chunk_at + at
            offset = self._chunk_at + (at if at >= 0 else len(self._chunk) - len(MAGIC) + 1)
        return None

    def _head_size(self, offset: int) -> int:
        at = offset - self._chunk_at
        return int.from_bytes(self._chunk[at + 8 : at + 12], "little")

    def _read(self, ref: FrameRef) -> Frame | None:
        at, top = ref.offset - self._chunk_at, HEADER_SIZE + ref.head_size
        if at >= 0 and at + ref.size <= len(self._chunk):
            data = self._chunk[at : at + ref.size]
        elif ref.size <= _CHUNK:
            data = self._pread(ref.size, ref.offset)
        else:  # a body of megabytes is not copied
            body = self._pread(ref.body_size, ref.offset + top)
            return decode(ref, self._pread(top, ref.offset), body, self._seed)
        return decode(ref, data[:top], data[top:], self._seed)

    def _pread(self, size: int, offset: int) -> bytes:
        if self._fd < 0:
            self._look()
        return os.pread(self._fd, size, offset)
