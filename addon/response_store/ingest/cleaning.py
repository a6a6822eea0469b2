"""Removal of secrets from frames that may not touch the disk before.

They come over the channel, in memory. A frame that has all of an exchange becomes the finished
change, built and redacted here. Of a frame that is a part of one the credentials are masked; with
redaction, bodies that can't be searched in parts are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from response_store.capture.draft import EndHead, RequestHead, encode_head
from response_store.config import Config, Serve
from response_store.counts import Counters
from response_store.faults import ErrorReporter
from response_store.ingest.draft import Draft, Ending
from response_store.ingest.exchanges import (
    build_answer,
    build_request,
    decode_head,
    read_end_head,
    read_request_head,
    split_answer,
)
from response_store.ingest.record_builder import RecordBuilder
from response_store.ingest.record_frame import RecordHead, encode_change, find_change_kind
from response_store.journal.frames import FrameKind
from response_store.openai_api.endpoints import Skip
from response_store.redaction.chosen import build_redactor
from response_store.redaction.credentials import UncleanableError, mask
from response_store.store.records import Deletion, EndedBy

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
        return CleanFrame(kind, head, () if self._redacts else (self._masked(body),))

    def _masked_end(self, head: EndHead, body: bytes) -> CleanFrame:
        """Return the end of an exchange whose other frames lie in the journal."""
        if self._redacts:
            if head.answer is not None:
                head.answer.has_body = False
            head.raw_size = 0
            return CleanFrame(FrameKind.END, encode_head(head), ())
        answer, raw = split_answer(head, body)
        answer, raw = self._masked(answer), self._masked(raw or b"")
        head.raw_size = len(raw)
        return CleanFrame(FrameKind.END, encode_head(head), (answer, raw))

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
        build_answer(head.answer, answer, raw, None),
        head.problem,
    )
    return Draft(build_request(request, body[: head.request_size]), ending)
