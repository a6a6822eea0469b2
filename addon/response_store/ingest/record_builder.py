"""Drafts to changes: what becomes of an exchange in the store.

Runs in the ingester. A draft gives one record, whatever its bodies hold: what can't be read is
kept as raw bytes with the reason. One that asked for a deletion gives that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from response_store.config import CaptureConfig, StoreFalse
from response_store.ingest.background import normalize_poll
from response_store.ingest.deletions import Key, Tombstones
from response_store.ingest.draft import Draft, Ending, Request
from response_store.ingest.request_reader import ReadRequest, read_request
from response_store.ingest.response_reader import AnswerReader
from response_store.ingest.result_state import ClassifiedResponse
from response_store.ingest.row_filler import RowFiller, determine_transport, limit_names
from response_store.openai_api.conversations import ConversationRequest, read_conversation_change
from response_store.openai_api.endpoints import Skip
from response_store.openai_api.outcome import ParsedResponse
from response_store.store.records import Api, Change, ConversationChange, Deletion, Record, State

if TYPE_CHECKING:
    from response_store.redaction.rows import Redactor

_NO_BODY = ReadRequest(None)  # of a request that asks after a response


class RecordBuilder:
    """Builds the changes of one journal, in the order of its drafts. Not thread-safe.

    Some drafts change what later ones give: deletions, and background streams that broke off. All
    that is remembered of them is built again by `replay`, in the order of the journal.
    """

    def __init__(
        self,
        capture: CaptureConfig,
        recorder_id: str,
        redact: Redactor | None = None,
        *,
        deletes_unknown: bool = False,
        marks_key: bytes = b"",
    ) -> None:
        self._capture = capture
        self._redact = redact
        self._answers = AnswerReader(capture, redacts=redact is not None, marks_key=marks_key)
        self._rows = RowFiller(capture, recorder_id, finishes=redact is None)
        self._tombstones = Tombstones(of_unknown=deletes_unknown)
        self.incomplete = 0  # rows in which something that came is missing, the bytes being kept

    @property
    def held_exchanges(self) -> frozenset[str]:
        """Return the ids of the exchanges whose broken-off streams may be resumed.

        Their frames have to be replayed after a restart. At most 8 MiB of bodies in all.
        """
        return self._answers.resumable.exchange_ids

    @property
    def tombstones(self) -> frozenset[Key]:
        """Return tenant and id of the responses that were deleted last, at most 1024.

        Their deletions have to be replayed after a restart.
        """
        return self._tombstones.keys

    def covers(self, key: Key, started_at: float) -> bool:
        """Return whether a response was deleted after a request of that time had asked for it."""
        return self._tombstones.covers(key, started_at)

    def build(self, draft: Draft) -> Change | Skip:
        """Turn a draft into a change, or say why it makes none. Doing so again changes nothing."""
        change = self._change(draft)
        if isinstance(change, Skip):
            return change
        return limit_names(change if self._redact is None else self._redact.change(change))

    def replay(self, draft: Draft) -> None:
        """Remember of a draft whose change is in the database what later ones need of it."""
        facts = draft.request
        if draft.ending is None:
            return
        if facts.deletes:
            self._delete(facts, draft.ending)
            return
        request = self._request(facts)
        if isinstance(request, ReadRequest):
            self._answers.read(facts, draft.ending, request)

    def _change(self, draft: Draft) -> Change | Skip:
        facts = draft.request
        if draft.ending is not None and facts.deletes:
            return self._delete(facts, draft.ending)
        request = self._request(facts)
        if isinstance(request, Skip):
            return request
        if draft.ending is None:
            opened = ClassifiedResponse(ParsedResponse(), State.OPEN)
            return Record(self._rows.exchange(None, facts, request, opened))
        return self._ended(facts, draft.ending, request)

    def _delete(self, facts: Request, ending: Ending) -> Deletion | Skip:
        deletion = self._tombstones.read(facts, ending)
        if isinstance(deletion, Deletion):
            self._answers.resumable.drop((deletion.tenant_id, deletion.id))
        return deletion

    def _request(self, facts: Request) -> ReadRequest | Skip:
        if facts.target_response_id is not None:
            return _NO_BODY
        read: ReadRequest | Skip | None = facts.parsed
        if read is None:
            read = facts.preset or read_request(facts)
            if not read.store and self._capture.store_false is StoreFalse.SKIP:
                read = Skip.STORE_FALSE
            facts.parsed = read
        return read

    def _ended(self, facts: Request, ending: Ending, request: ReadRequest) -> Record | Skip:
        classified = self._answers.read(facts, ending, request)
        if facts.target_response_id is not None:
            poll = normalize_poll(facts, classified, determine_transport(facts, ending.answer))
            if isinstance(poll, Skip):
                return poll
            facts, classified = poll
        response = self._rows.response(facts, request, classified)
        stored = response is not None and classified.outcome.response is not None
        if response is not None and self.covers((facts.tenant_id, response.id), facts.started_at):
            response = None
        row = self._rows.exchange(ending, facts, request, classified, stored=stored)
        self.incomplete += classified.outcome.lost is not None
        return Record(row, response, _build_conversation_change(facts, request, classified))


def _build_conversation_change(
    facts: Request, request: ReadRequest, classified: ClassifiedResponse
) -> ConversationChange | None:
    """Return what an exchange changes of a conversation, if it does."""
    answer = classified.outcome.partial
    if facts.api is not Api.CONVERSATIONS or classified.state is not State.COMPLETED or not answer:
        return None
    asked = ConversationRequest(
        facts.tenant_id, facts.method, facts.path, request.body, facts.started_at
    )
    return read_conversation_change(asked, answer)
