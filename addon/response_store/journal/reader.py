"""Read a journal: the frames of all its segments in the order of their seqs, also as they grow.

Frames come by three ways (main, large and cleaned segments), so while seq n was read, n + 2 may
be there and n + 1 not: a *gap*. With a living proxy it is waited for, unless the proxy says that
the seq is void; without one it is final, since what is missing was never acknowledged.

Memory: a chunk for each segment that is read at the moment, and nothing for frames that were
handed out: who needs one again keeps its FrameRef.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from response_store.diagnostics import Counters
from response_store.journal.directory import JournalDirectory, SegmentEntry, SegmentKind
from response_store.journal.errors import DamagedFrameError, JournalError, JournalWriteError
from response_store.journal.frames import Frame, FrameRef
from response_store.journal.private_files import DAMAGED, check_folder, open_private
from response_store.journal.segments import SEGMENT_BYTES, CleanedWriter, SegmentReader, write_all

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


_MAX_OPEN = 32  # files


@dataclass(eq=False, slots=True)
class _Cursor:
    """How far one segment was read."""

    segment: SegmentEntry
    reader: SegmentReader
    ref: FrameRef | None = None  # read, and not handed out yet
    is_finished: bool = False  # nothing will be appended
    is_read: bool = False  # finished, and all of it was handed out


class JournalReader:
    """Reads one journal; for one thread.

    `checkpoint` is the position that the database has: gaps up to it mean nothing, since the
    frames there were applied and dropped. `is_outstanding` says whether a seq that is not there
    may still come; None stands for a journal without a living owner. `position` is the seq of the
    last frame that was handed out.

    Damage is counted (`journal.damaged`) and kept aside.
    """

    def __init__(
        self,
        directory: JournalDirectory,
        *,
        checkpoint: int = 0,
        is_outstanding: Callable[[int], bool] | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.position = 0
        self._directory = directory
        self._checkpoint = checkpoint
        self._is_outstanding = is_outstanding
        self._counters = counters if counters is not None else Counters()
        self._cursors: dict[str, _Cursor] = {}
        self._heap: list[tuple[int, str]] = []  # of segments with more; the seq is a lower bound
        self._idle: dict[str, _Cursor] = {}  # of segments without more, for now
        self._open: OrderedDict[str, SegmentReader] = OrderedDict()
        self._tails: dict[str, SegmentReader] = {}
        self._reported: set[tuple[str, int]] = set()
        self._last_main = 0  # number of the last main segment with frames
        self._is_stale = True  # whether files may hold more than was seen, for good

    def next(self, limit: int) -> Iterator[FrameRef]:
        """Yield up to `limit` further frames in the order of their seqs, each seq once.

        Ends at a gap that may still be filled, and where there is no more: call it again when
        there may be. Frames up to the checkpoint come too: they rebuild what the database does
        not hold. Raises OSError, JournalError where a file is not ours.
        """
        self._poll()
        for _ in range(limit):
            ref = self._take()
            if ref is None:
                return
            yield ref

    def owner_gone(self) -> None:
        """Note that the proxy has ended: what is missing now stays missing."""
        self._is_outstanding = None
        self._is_stale = True

    def frame(self, ref: FrameRef) -> Frame:
        """Return a frame. Raises DamagedFrameError where its bytes are damaged or gone, OSError."""
        cursor = self._cursors.get(ref.segment)
        if cursor is None:
            raise DamagedFrameError(f"segment {ref.segment} was dropped, and with it a frame")
        self._use(cursor.reader)
        return cursor.reader.frame(ref)

    def body(self, ref: FrameRef) -> bytes:
        """Return the body of a frame. Raises as `frame` does."""
        return self.frame(ref).body

    def last_seq(self) -> int:
        """Return the highest seq in any file, whether it was handed out or not; 0 for none."""
        segments = self._directory.segments()
        names = {segment.name for segment in segments}
        self._tails = {name: tail for name, tail in self._tails.items() if name in names}
        last = 0
        for segment in segments:
            if segment.kind is SegmentKind.LARGE:
                last = max(last, segment.number)
            elif segment.kind is SegmentKind.CLEANED:
                last = max(last, self._last_in(segment))
        for segment in reversed([s for s in segments if s.kind is SegmentKind.MAIN and s.size]):
            if last_in := self._last_in(segment):
                return max(last, last_in)
        return last

    def bytes_on_disk(self) -> int:
        """Return the bytes of all segments."""
        return self._directory.bytes_on_disk()

    def droppable(self, position: int, needed: Collection[FrameRef] = ()) -> list[str]:
        """Return the segments that are finished, hold nothing above `position` or in `needed`."""
        candidates = {cursor.segment.name for cursor in self._read_up_to(position)}
        if candidates:
            candidates.difference_update(ref.segment for ref in needed)
        return sorted(candidates)

    def drop(self, segment: str) -> None:
        """Remove a segment's file. Raises OSError."""
        self._forget(segment)
        (self._directory.path / segment).unlink(missing_ok=True)

    def compact(
        self, position: int, needed: Collection[FrameRef], cleaned: CleanedWriter
    ) -> dict[FrameRef, FrameRef]:
        """Drop what nobody needs, and carry what is needed out of segments that are half empty.

        `position` is that of the database, with `durability: power` one that its disk keeps.
        Return where frames of `needed` lie now, for those that were carried. Raises OSError.
        """
        for segment in self.droppable(position, needed):
            self.drop(segment)
        moved: dict[FrameRef, FrameRef] = {}
        leaving = self._worth_carrying(position, needed)
        try:
            for ref in sorted(ref for refs in leaving.values() for ref in refs):
                try:
                    moved[ref] = cleaned.carry(self.frame(ref))
                except DamagedFrameError:  # counted; there is nothing left to carry
                    continue
            cleaned.sync()
        except JournalWriteError:  # both copies stay; no room is made before there is some
            self._counters.add("journal.carry_failed")
        else:
            for segment in leaving:
                self.drop(segment)
        self._poll()
        return moved

    def close(self) -> None:
        """Close the files. Idempotent; what comes later opens them again."""
        for cursor in self._cursors.values():
            cursor.reader.release()
        self._open.clear()

    def _poll(self) -> None:
        """See which segments there are, and which of them have grown."""
        self._is_stale = False
        segments = self._directory.segments()
        for name in self._cursors.keys() - {segment.name for segment in segments}:
            self._forget(name)
        for segment in segments:
            if segment.name not in self._cursors:
                self._add(segment)
        self._mark_finished(segments)
        for cursor in list(self._idle.values()):
            self._advance(cursor)

    def _add(self, segment: SegmentEntry) -> None:
        reader = SegmentReader(
            segment.name, self._directory.open_segment, self._directory.seed, self._report
        )
        cursor = self._cursors[segment.name] = _Cursor(segment, reader)
        if segment.kind is SegmentKind.CLEANED:
            self._idle[segment.name] = cursor
        else:  # no seq in it is below the number: it is opened when that is reached
            heapq.heappush(self._heap, (segment.number, segment.name))

    def _mark_finished(self, segments: list[SegmentEntry]) -> None:
        """Note which segments will not grow any more: those before the last one with frames.

        The list is older than what is read after it, so a finished one is read whole.
        """
        self._last_main = _find_last_number(
            s for s in segments if s.kind is SegmentKind.MAIN and s.size
        )
        last_cleaned = _find_last_number(s for s in segments if s.kind is SegmentKind.CLEANED)
        for cursor in self._cursors.values():
            kind, number = cursor.segment.kind, cursor.segment.number
            cursor.is_finished = (
                kind is SegmentKind.LARGE
                or (kind is SegmentKind.CLEANED and number < last_cleaned)
                or (kind is SegmentKind.MAIN and number < self._last_main)
                or (kind is SegmentKind.MAIN and self._is_outstanding is None)
            )

    def _take(self) -> FrameRef | None:
        """Return the next frame in the order of seqs; None at an open gap or the end."""
        while self._heap:
            seq, name = self._heap[0]
            cursor = self._cursors.get(name)
            ref = cursor.ref if cursor is not None else None
            if ref is not None and ref.seq != seq:  # of an empty file that had the same name
                heapq.heappop(self._heap)
                continue
            if ref is not None and ref.seq > self.position:
                missing = range(max(self.position, self._checkpoint) + 1, ref.seq)
                if missing and self._is_stale:
                    self._poll()
                    continue
                if self._is_outstanding is not None and any(map(self._is_outstanding, missing)):
                    return None
                self.position = ref.seq
            else:  # not read yet, a second copy, or of a segment that is gone
                ref = None
            heapq.heappop(self._heap)
            if cursor is not None:
                self._advance(cursor)
            if ref is not None:
                return ref
        return None

    def _advance(self, cursor: _Cursor) -> None:
        """Read a segment's next frame."""
        name, reader = cursor.segment.name, cursor.reader
        self._use(reader)
        try:
            cursor.ref = reader.next()
        except FileNotFoundError:
            cursor.ref = None
        if cursor.ref is not None:
            self._idle.pop(name, None)
            heapq.heappush(self._heap, (cursor.ref.seq, name))
        elif cursor.is_finished:
            self._finish(cursor)
        else:
            self._idle[name] = cursor
            if not reader.offset:  # an empty file may give way to another one of its name
                reader.release()

    def _finish(self, cursor: _Cursor) -> None:
        """Note that a segment was read to its end. Behind a tail that is torn nothing came."""
        kind, number = cursor.segment.kind, cursor.segment.number
        if kind is SegmentKind.LARGE or (kind is SegmentKind.MAIN and number < self._last_main):
            with contextlib.suppress(FileNotFoundError):
                cursor.reader.report_tail()
        cursor.is_read = True
        self._idle.pop(cursor.segment.name, None)
        cursor.reader.release()

    def _forget(self, name: str) -> None:
        self._idle.pop(name, None)
        self._open.pop(name, None)
        if (cursor := self._cursors.pop(name, None)) is not None:
            cursor.reader.release()

    def _use(self, reader: SegmentReader) -> None:
        """Note that a file is used, and close the one that was not for the longest time."""
        self._open[reader.name] = reader
        self._open.move_to_end(reader.name)
        if len(self._open) > _MAX_OPEN:
            self._open.popitem(last=False)[1].release()

    def _report(self, segment: str, start: int, end: int) -> None:
        """Count damage, once, and keep its bytes aside."""
        if (segment, start) not in self._reported:
            self._reported.add((segment, start))
            if keep_damaged(self._directory, segment, start, end):
                self._counters.add("journal.damaged")

    def _read_up_to(self, position: int) -> list[_Cursor]:
        return [c for c in self._cursors.values() if c.is_read and c.reader.last_seq <= position]

    def _worth_carrying(
        self, position: int, needed: Collection[FrameRef]
    ) -> dict[str, list[FrameRef]]:
        """Return the needed frames of segments that are to go, by segment.

        Those of which at most half is needed; and with them small cleaned ones, so that the
        copies of many segments come together again.
        """
        cursors = self._read_up_to(position)
        groups: dict[str, list[FrameRef]] = {cursor.segment.name: [] for cursor in cursors}
        if groups:
            for ref in needed:
                if ref.segment in groups:
                    groups[ref.segment].append(ref)
        half_empty = {
            c.segment.name
            for c in cursors
            if 2 * sum(ref.size for ref in groups[c.segment.name]) <= c.reader.offset
        }
        if not half_empty:
            return {}
        small = {c.segment.name for c in cursors if _is_small(c)}
        return {name: refs for name, refs in groups.items() if name in half_empty | small}

    def _last_in(self, segment: SegmentEntry) -> int:
        """Return the highest seq in a segment; what was read before is not read again."""
        tail = self._tails.get(segment.name)
        if tail is None:
            tail = SegmentReader(
                segment.name, self._directory.open_segment, self._directory.seed, _ignore_damage
            )
            self._tails[segment.name] = tail
        try:
            while tail.next() is not None:
                pass
        except FileNotFoundError:  # dropped in between, so others have read it
            pass
        finally:
            tail.release()
        return tail.last_seq


def _find_last_number(segments: Iterable[SegmentEntry]) -> int:
    return max((segment.number for segment in segments), default=0)


def _is_small(cursor: _Cursor) -> bool:
    is_cleaned = cursor.segment.kind is SegmentKind.CLEANED
    return is_cleaned and cursor.reader.offset < SEGMENT_BYTES // 4


def _ignore_damage(segment: str, start: int, end: int) -> None:
    """Leave damage to the reader that applies the journal."""
