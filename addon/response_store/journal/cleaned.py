"""Appends frames to cleaned segments, in the ingester's process.

They are frames that came over the socket and were cleaned, and copies of frames whose segments
are about to be dropped. Within one file seqs rise, as in a main segment: a frame with a lower one
begins another file.
"""

from __future__ import annotations

from collections.abc import Sequence

from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.errors import JournalWriteError
from response_store.journal.frames import CARRIED, Buffer, Frame, FrameKind, FrameRef, encode
from response_store.journal.private_files import sync_folder
from response_store.journal.segment_file import SegmentFile

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
        return ref._replace(segment=segment.name, offset=offset)

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
