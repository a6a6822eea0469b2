"""Drafts to changes: what becomes of an exchange in the store.

Runs in the writer thread. A draft gives one record, whatever its bodies hold: what can't be read
is kept as raw bytes with the reason. One that asked for a deletion gives that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.capture.draft import Draft, Ending, Request
from response_store.config import CaptureConfig, StoreFalse
from response_store.ingest.background import followed
from response_store.ingest.deletions import Deletions
from response_store.ingest.request_reader import ReadRequest, read_request
from response_store.ingest.response_reader import AnswerReader
from response_store.ingest.result_state import Reading
from response_store.ingest.row_filler import RowFiller, transport
from response_store.openai_api.endpoints import Skip
from response_store.openai_api.outcome import Outcome
from response_store.store.records import Change, Record, State

if TYPE_CHECKING:
    from response_store.redaction.rows import Redaction

_NO_BODY = ReadRequest(None)  # of a request that asks after a response


class RecordBuilder:
    """Builds changes for one recorder, in the order of its drafts. Not thread-safe."""

    def __init__(
        self,
        capture: CaptureConfig,
        recorder_id: str,
        redact: Redaction | None = None,
        *,
        deletes_unknown: bool = False,
    ) -> None:
        self._capture = capture
        self._redact = redact
        self._answers = AnswerReader(capture, keeps_undecodable=redact is None)
        self._rows = RowFiller(capture, recorder_id, finishes=redact is None)
        self._deletions = Deletions(of_unknown=deletes_unknown)

    def build(self, draft: Draft) -> Change | Skip:
        """Turn a draft into a change, or say why it makes none."""
        change = self._change(draft)
        if self._redact is None or isinstance(change, Skip):
            return change
        return self._redact.change(change)

    def _change(self, draft: Draft) -> Change | Skip:
        facts = draft.request.facts()
        if draft.ending is not None and facts.deletes:
            return self._deletions.read(facts, draft.ending)
        request = self._request(facts)
        if isinstance(request, Skip):
            return request
        if draft.ending is None:
            opened = Reading(Outcome(), State.OPEN)
            return Record(self._rows.exchange(None, facts, request, opened))
        return self._ended(facts, draft.ending, request)

    def _request(self, facts: Request) -> ReadRequest | Skip:
        if facts.follows is not None:
            return _NO_BODY
        read = facts.read
        if read is None:
            read = facts.given or read_request(facts, self._capture.max_body_bytes)
            if isinstance(read, ReadRequest) and not read.store:
                read = Skip.STORE_FALSE if self._capture.store_false is StoreFalse.SKIP else read
            facts.read = read
        return read

    def _ended(self, facts: Request, ending: Ending, request: ReadRequest) -> Record | Skip:
        reading = self._answers.read(facts, ending, request)
        if facts.follows is not None:
            found = followed(facts, reading, transport(facts, ending.answer))
            if isinstance(found, Skip):
                return found
            facts, reading = found
        response = self._rows.response(facts, request, reading)
        stored = response is not None and reading.outcome.response is not None
        if response is not None and self._deletions.hide(facts, response.id):
            response = None
        row = self._rows.exchange(ending, facts, request, reading, stored=stored)
        return Record(row, response)
