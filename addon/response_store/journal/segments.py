"""Append frames to one segment file whole or not at all, and read them while another appends.

What follows the last whole frame is a *torn tail*: a frame that is being written, or whose writer
was killed. Bytes that are no frame but have one behind them are *damage*: they are reported and
skipped, by looking for the next bytes that are a frame with right checksums.

Cleaned segments, which `CleanedWriter` writes, hold frames that came over the socket and were
cleaned, and copies of frames whose segments are about to be dropped. Within one file seqs rise, as
in a main segment: a frame with a lower one begins another file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from response_store.journal.directory import JournalDirectory, SegmentKind, format_segment_name
from response_store.journal.errors import DamagedFrameError, JournalWriteError
from response_store.journal.frames import (
    CARRIED,
    HEADER_SIZE,
    MAGIC,
    Buffer,
    Frame,
    FrameKind,
    FrameRef,
    checksum_head,
    decode,
    encode,
    parse_header,
)
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
        chunk_size = _CHUNK if offset else _FIRST_CHUNK
        self._chunk = self._pread(max(size, chunk_size), offset)
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


SEGMENT_BYTES = 16 << 20


class CleanedWriter:
    """Appends to cleaned segments of a journal whose reader lock this process holds.

    With `power` what was appended is kept by the disk once `sync` has returned.
    """

    def __init__(
        self,
        directory: JournalDirectory,
        *,
        power: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._directory = directory
        self._power = power
        self._segment_bytes = segment_bytes
        self._segment: SegmentFile | None = None
        self._unsynced: list[SegmentFile] = []  # each with frames since the last sync
        self._last_seq = 0  # in the current segment
        self._last_number = max(
            (s.number for s in directory.segments() if s.kind is SegmentKind.CLEANED), default=0
        )

    def append(
        self,
        seq: int,
        kind: FrameKind,
        key: int,
        head: bytes,
        parts: Sequence[Buffer] = (),
        *,
        flags: int = 0,
    ) -> FrameRef:
        """Append a frame under the seq that it has, and return where it lies.

        Raises JournalWriteError, and nothing of the frame is read later then.
        """
        body_size = sum(map(len, parts))
        ref = FrameRef(seq, kind, key, flags, "", 0, len(head), body_size)
        buffers = encode(seq, kind, key, head, parts, flags=flags, seed=self._directory.seed)
        try:
            segment = self._segment_for(seq, ref.size)
            offset = segment.size
            segment.append([b"".join(buffers[:3]), *buffers[3:]], ref.size)
        except OSError as error:
            self._leave()
            raise JournalWriteError(self._directory.path, error) from None
        self._last_seq = seq
        if self._power and segment not in self._unsynced:
            self._unsynced.append(segment)
        return replace(ref, segment=segment.name, offset=offset)

    def carry(self, frame: Frame) -> FrameRef:
        """Append a copy of a frame and return where it lies. Raises JournalWriteError."""
        flags = frame.flags | CARRIED
        return self.append(frame.seq, frame.kind, frame.key, frame.head, (frame.body,), flags=flags)

    def sync(self) -> None:
        """Have the disk keep what was appended. Raises JournalWriteError."""
        try:
            if not all(segment.entry_is_synced for segment in self._unsynced):
                sync_folder(self._directory.path)
            for segment in self._unsynced:
                segment.entry_is_synced = True
                segment.sync()
        except OSError as error:
            raise JournalWriteError(self._directory.path, error) from None
        for segment in self._unsynced:
            if segment is not self._segment:
                segment.close()
        self._unsynced.clear()

    def close(self) -> None:
        """Close the files. Idempotent."""
        self._leave()
        for segment in self._unsynced:
            segment.close()
        self._unsynced.clear()

    def _segment_for(self, seq: int, size: int) -> SegmentFile:
        segment = self._segment
        is_full = segment is not None and segment.size + size > self._segment_bytes
        if segment is not None and segment.size and (is_full or seq <= self._last_seq):
            self._leave()
        if self._segment is None:
            self._last_number += 1
            self._segment = SegmentFile(self._directory, SegmentKind.CLEANED, self._last_number)
        return self._segment

    def _leave(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None and segment not in self._unsynced:
            segment.close()
