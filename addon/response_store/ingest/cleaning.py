"""Clean frames that may hold secrets, which come in memory, write them, and only then accept them.

They come over the channel, in memory. A frame that has all of an exchange becomes the finished
change, built and redacted here. Of a frame that is a part of one the credentials are masked; with
redaction, bodies that can't be searched in parts are left out.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from response_store.backoff import Backoff
from response_store.capture.draft import EndHead, RequestHead, encode_head
from response_store.config import Config, Durability, RedactConfig, Serve
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import StoreError
from response_store.ingest.channel import Dirty
from response_store.ingest.draft import Draft, Ending
from response_store.ingest.exchanges import (
    RecordHead,
    build_answer,
    build_request,
    decode_head,
    encode_change,
    find_change_kind,
    read_end_head,
    read_part_head,
    read_request_head,
    split_answer,
)
from response_store.ingest.record_builder import RecordBuilder
from response_store.journal.directory import JournalDirectory, SegmentKind
from response_store.journal.frames import Buffer, FrameKind, FrameRef
from response_store.journal.segments import CleanedWriter
from response_store.model.records import Deletion, EndedBy
from response_store.openai_api.credentials import UncleanableError, mask
from response_store.openai_api.endpoints import Skip

if TYPE_CHECKING:
    from response_store.redaction.redactor import Redactor


class SharedCleaned(CleanedWriter):
    """Appends for any thread. Raises JournalWriteError.

    `highest_seq` is the highest seq of a frame that was appended, and 0 before the first.
    """

    def __init__(self, directory: JournalDirectory, durability: Durability) -> None:
        super().__init__(directory, power=durability is Durability.POWER)
        self._lock = threading.RLock()
        self._before = {segment.name for segment in directory.segments()}
        self.highest_seq = 0

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
        """Append a frame under the seq that it has, and return where it lies."""
        with self._lock:
            ref = super().append(seq, kind, key, head, parts, flags=flags)
            self.highest_seq = max(self.highest_seq, seq)
            return ref

    def sync(self) -> None:
        """Have the disk keep what was appended, with `durability: power`."""
        with self._lock:
            super().sync()

    def own_segments(self) -> list[str]:
        """Return the names of the segments that this process has made, as far as they are there."""
        return [
            segment.name
            for segment in self._directory.segments()
            if segment.kind is SegmentKind.CLEANED and segment.name not in self._before
        ]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let nobody append meanwhile; what comes then begins another segment."""
        with self._lock:
            self.sync()
            self.close()
            yield


def build_redactor(
    config: RedactConfig, counters: Counters, errors: ErrorReporter
) -> Redactor | None:
    """Build what takes secrets out of records; None where the configuration keeps them as they
    are.
    """
    if not config:
        return None
    # Nobody else needs RE2.
    from response_store.model.zstd import Compressor  # noqa: PLC0415
    from response_store.redaction.patterns import build_patterns  # noqa: PLC0415
    from response_store.redaction.redactor import Redactor  # noqa: PLC0415

    return Redactor(build_patterns(config), Compressor().frame, counters, errors)


FAILED = "cleaning_failed"


class CleanFrame(NamedTuple):
    """What goes to the disk in the place of a frame."""

    kind: FrameKind
    head: bytes
    parts: Sequence[bytes]


class Cleaner:
    """Cleans the frames of one journal. For one thread.

    What can't be cleaned is left out, and counted; nothing is raised.
    """

    def __init__(
        self,
        config: Config,
        journal_id: str,
        *,
        counters: Counters,
        errors: ErrorReporter,
        marks_key: bytes = b"",
    ) -> None:
        self._counters = counters
        self._errors = errors
        self._redacts = bool(config.redact)
        self._builder = RecordBuilder(
            config.capture,
            journal_id,
            build_redactor(config.redact, counters, errors),
            deletes_unknown=config.serve is Serve.PREFER,
            marks_key=marks_key,
        )

    def clean(self, kind: int, head: bytes, body: bytes) -> CleanFrame:
        """Return a frame without secrets."""
        try:
            return self._clean(FrameKind(kind), head, body)
        except Exception as error:  # noqa: BLE001 - what was not cleaned may not be kept
            self._errors.report("cleaning", error)
            self._counters.add("dropped.cleaning")
            nothing = RecordHead("", 0, ends=kind == FrameKind.END, skipped=FAILED)
            return CleanFrame(FrameKind.RECORD, encode_head(nothing), ())

    def _clean(self, kind: FrameKind, head: bytes, body: bytes) -> CleanFrame:
        if kind is FrameKind.OPEN:
            request = decode_head(read_request_head, head)
            return self._record(request, Draft(build_request(request, body)))
        if kind is FrameKind.END:
            end = decode_head(read_end_head, head)
            if end.request is not None:
                return self._record(end.request, _build_whole_draft(end.request, end, body))
            return self._masked_end(end, body)
        if self._redacts:
            self._counters.add("dropped.cleaning")
            return CleanFrame(kind, head, ())
        masked = self._masked(body)
        if masked != body:
            part = decode_head(read_part_head, head)
            part.arrivals = None  # of other bytes
            head = encode_head(part)
        return CleanFrame(kind, head, (masked,))

    def _masked_end(self, head: EndHead, body: bytes) -> CleanFrame:
        """Return the end of an exchange whose other frames lie in the journal."""
        if self._redacts:
            if head.answer is not None:
                head.answer.has_body = False
            head.raw_size = 0
            return CleanFrame(FrameKind.END, encode_head(head), ())
        answer, raw = split_answer(head, body)
        masked, raw = self._masked(answer), self._masked(raw or b"")
        head.raw_size = len(raw)
        if masked != answer:
            head.arrivals = None
        return CleanFrame(FrameKind.END, encode_head(head), (masked, raw))

    def _masked(self, body: bytes) -> bytes:
        """Return a body without credentials; nothing where that can't be had."""
        try:
            return mask(body).body
        except UncleanableError:
            self._counters.add("dropped.cleaning")
            return b""

    def _record(self, request: RequestHead, draft: Draft) -> CleanFrame:
        before = self._builder.incomplete
        change = self._builder.build(draft)
        if self._builder.incomplete > before:
            self._counters.add("incomplete")
        head = RecordHead(
            request.flow_id,
            request.turn,
            ends=draft.ending is not None,
            started_at=request.started_at,
        )
        if isinstance(change, Skip):
            head.skipped = change.value
            return CleanFrame(FrameKind.RECORD, encode_head(head), ())
        head.kind = find_change_kind(change)
        if isinstance(change, Deletion) and draft.ending is not None:
            head.deleted_at = request.started_at + (draft.ending.duration_ms or 0) / 1000
        return CleanFrame(FrameKind.RECORD, encode_head(head), (encode_change(change),))


def _build_whole_draft(request: RequestHead, head: EndHead, body: bytes) -> Draft:
    """Return the draft of an exchange that one frame says all of."""
    answer, raw = split_answer(head, body)
    ending = Ending(
        EndedBy(head.ended_by),
        head.duration_ms,
        head.first_event_ms,
        build_answer(head.answer, answer, raw, None, head.arrivals),
        head.problem,
    )
    return Draft(build_request(request, body[: head.request_size]), ending)


_MAX_BYTES = 64 << 20  # of cleaned frames that no file takes: no more is read then


class _Unwritten(NamedTuple):
    seq: int
    key: int
    frame: CleanFrame
    size: int


class Intake:
    """Takes frames that may hold secrets. For one thread."""

    def __init__(
        self,
        cleaner: Cleaner,
        cleaned: SharedCleaned,
        *,
        counters: Counters,
        errors: ErrorReporter,
        clock: Callable[[], float],
    ) -> None:
        self._cleaner = cleaner
        self._cleaned = cleaned
        self._counters = counters
        self._errors = errors
        self._clock = clock
        self._backoff = Backoff()
        self._waiting: deque[_Unwritten] = deque()
        self._size = 0
        self._unsynced: list[int] = []  # seqs that are in a file

    def take(self, message: Dirty, body: bytes) -> None:
        """Clean a frame, to be written by `write`."""
        frame = self._cleaner.clean(message.kind, message.head, body)
        size = sum(map(len, frame.parts))
        self._waiting.append(_Unwritten(message.seq, message.key, frame, size))
        self._size += size

    def write(self) -> tuple[int, ...]:
        """Write what is cleaned; return the seqs of what is as safe as is configured.

        What no file takes waits, and is tried again after a growing pause.
        """
        if not self._has_work or self._clock() < self._backoff.next_at:
            return ()
        try:
            while self._waiting:
                seq, key, (kind, head, parts), size = self._waiting[0]
                self._cleaned.append(seq, kind, key, head, parts)
                self._waiting.popleft()
                self._size -= size
                self._unsynced.append(seq)
            return self._sync()
        except StoreError as error:
            self._counters.add("journal.cleaned_failed")
            self._errors.report("intake", error)
            self._backoff.failed(self._clock())
            return ()

    @property
    def due_at(self) -> float | None:
        """Return when to try again what no file has taken, by the clock; None where all is well."""
        return self._backoff.next_at if self._has_work else None

    @property
    def is_full(self) -> bool:
        """Return whether no more should be taken."""
        return self._size > _MAX_BYTES

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting or self._unsynced)

    def _sync(self) -> tuple[int, ...]:
        self._cleaned.sync()
        safe, self._unsynced = tuple(self._unsynced), []
        self._backoff.succeeded()
        return safe
