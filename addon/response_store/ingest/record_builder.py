"""Build the changes that an exchange makes in the store: its rows, filled from what was read.

Runs in the ingester. A draft gives one record, whatever its bodies hold: what can't be read is
kept as raw bytes with the reason. One that asked for a deletion gives that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING

import msgspec

from response_store import jsontext
from response_store.config import CaptureConfig, InputColumns, StoreFalse
from response_store.ingest.background import Key, Tombstones, is_background, normalize_poll
from response_store.ingest.conversation_place import (
    ConversationPlace,
    ConversationTexts,
    PlaceFinder,
    select_texts,
)
from response_store.ingest.draft import AnswerDraft, Draft, Ending, ReadRequest, Request
from response_store.ingest.event_times import build_event_times
from response_store.ingest.request_reader import read_request
from response_store.ingest.response_reader import AnswerReader, keeps_raw
from response_store.ingest.result_state import ClassifiedResponse
from response_store.limits import MESSAGE_CHARS, NAME, limit_name
from response_store.model.precedence import slice_output
from response_store.model.records import (
    HEADER_COLUMNS,
    Api,
    Change,
    ConversationChange,
    Deletion,
    EndedBy,
    ExchangeRow,
    Record,
    ResponseRow,
    State,
    Transport,
)
from response_store.model.zstd import Compressor
from response_store.openai_api.endpoints import Skip
from response_store.openai_api.items import slice_array
from response_store.openai_api.other_requests import ConversationRequest, read_conversation_change
from response_store.openai_api.outcome import ApiError, ParsedResponse
from response_store.openai_api.question import PLAIN_CHARS, SEARCHED_CHARS, shorten_question
from response_store.openai_api.request_input import EMPTY_ARRAY, join_messages

if TYPE_CHECKING:
    from response_store.redaction.redactor import Redactor

_NAMES = ("requested_model", "model", "error_code")
_TEXTS = (
    "host", "path", *HEADER_COLUMNS, "upstream_request_id", "service_tier", "incomplete_reason",
)  # fmt: skip
_LIMITED = (*_NAMES, *_TEXTS)
_get_limited: Callable[[ExchangeRow], tuple[str | None, ...]] = attrgetter(*_LIMITED)
UNREADABLE_REQUEST = "unreadable_request"


class RowFiller:
    """Fills the rows of one recorder. Not thread-safe: it reuses one compressor.

    Unless it `finishes` them, bodies are not packed yet and messages not clipped. Those of requests
    are in frames that the store still packs, against one another.
    """

    def __init__(self, capture: CaptureConfig, recorder_id: str, *, finishes: bool = True) -> None:
        self._capture = capture
        self._recorder_id = recorder_id
        compressor = Compressor()
        self._pack: Callable[[bytes], bytes] = compressor.frame if finishes else bytes
        self._pack_request: Callable[[bytes], bytes] = compressor.hold if finishes else bytes
        self._message_chars = MESSAGE_CHARS if finishes else None

    def response(
        self, facts: Request, request: ReadRequest, classified: ClassifiedResponse
    ) -> ResponseRow | None:
        """Return the response that an exchange brought, if it brought one."""
        outcome, state = classified.outcome, classified.state
        text = outcome.response
        if text is None and state is State.INTERRUPTED and is_background(outcome.partial):
            text = outcome.partial  # it runs on, and who asks after it does not repeat the input
        if text is None or not outcome.response_id:
            return None
        if state in (State.REFUSED, State.UNREADABLE):
            return None
        items, messages = self._list_items(request, outcome)
        return ResponseRow(
            tenant_id=facts.tenant_id,
            id=limit_name(outcome.response_id),
            created_at=_find_created_at(facts, outcome),
            model=outcome.model or request.model or "",
            response_object=jsontext.decode_column(text),
            input=jsontext.decode_column(items),
            messages=jsontext.decode_column(messages),
            final=outcome.response is not None and state.is_final,
            has_input=request.has_input,
        )

    def _list_items(self, request: ReadRequest, outcome: ParsedResponse) -> tuple[bytes, bytes]:
        """Return what the columns `input` and `messages` hold.

        Left out is what the request's body, and the output of the response object, tell as well.
        """
        if request.store or self._capture.input_columns is InputColumns.ALWAYS:
            return request.input, join_messages(request.input, outcome.items)
        output = slice_array(slice_output(outcome.response or outcome.partial or b""))
        is_told = [*map(bytes, output)] == [*map(bytes, outcome.items)]
        return EMPTY_ARRAY, join_messages(EMPTY_ARRAY, () if is_told else outcome.items)

    def exchange(
        self,
        ending: Ending | None,
        facts: Request,
        request: ReadRequest,
        classified: ClassifiedResponse,
        *,
        place: ConversationPlace,
        stored: bool = False,
    ) -> ExchangeRow:
        """Return the row of an exchange; `stored` says that its response has one of its own."""
        outcome, usage = classified.outcome, classified.outcome.usage
        answer = ending.answer if ending else None
        api_error = (
            outcome.error
            or _find_connection_error(ending, classified)
            or _find_request_error(request)
        )
        result = outcome.partial or outcome.response
        raw = self._raw(classified)
        if stored or classified.state is State.TOO_LARGE:  # then there is only its beginning
            result = None
        return ExchangeRow(
            exchange_id=facts.exchange_id,
            tenant_id=facts.tenant_id,
            response_id=_limit_name(outcome.response_id),
            previous_response_id=_limit_name(
                outcome.previous_response_id or request.previous_response_id
            ),
            conversation_id=_limit_name(outcome.conversation_id or request.conversation_id),
            api=facts.api.value,
            transport=determine_transport(facts, answer).value,
            state=classified.state.value,
            ended_by=_determine_end(ending, outcome),
            status_code=answer.status_code if answer else None,
            error_code=api_error.code if api_error else None,
            error_message=self._clipped(api_error.message) if api_error else None,
            started_at=facts.started_at,
            first_event_ms=ending.first_event_ms if ending else None,
            duration_ms=ending.duration_ms if ending else None,
            requested_model=request.model,
            model=outcome.model,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            total_tokens=usage.total_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            method=facts.method,
            scheme=facts.scheme,
            host=facts.host,
            port=facts.port,
            path=facts.path,
            upstream_request_id=answer.upstream_request_id if answer else None,
            request_body=self._pack_request(request.body) if request.body else None,
            result=jsontext.decode_column(result) if result else None,
            output_text=outcome.output_text,
            raw_response=raw,
            recorder_id=self._recorder_id,
            label=self._capture.label,
            question=place.question,
            service_tier=outcome.service_tier,
            incomplete_reason=(
                api_error.code if api_error and classified.state is State.INCOMPLETE else None
            ),
            rate_limits=_find_rate_limits(answer, outcome),
            context_digest=place.digest,
            event_times=self._event_times(answer, classified, raw),
            answer_digest=place.answer,
            **_find_header_columns(facts, request),
        )

    def _clipped(self, message: str | None) -> str | None:
        return message[: self._message_chars] if message else message

    def _raw(self, classified: ClassifiedResponse) -> bytes | None:
        lost = classified.outcome.lost is not None
        if not classified.body or not keeps_raw(self._capture, classified.state, lost=lost):
            return None
        return self._pack(classified.body)

    def _event_times(
        self, answer: AnswerDraft | None, classified: ClassifiedResponse, raw: bytes | None
    ) -> str | None:
        """Return when the events of a stream came, where that is kept as it came."""
        if raw is None or answer is None or not answer.body or not classified.body:
            return None
        return build_event_times(answer.arrivals, answer.body, classified.body)


def limit_names(change: Change) -> Change:
    """Return a change whose names and short texts fit a row, once secrets are out of them."""
    if isinstance(change, Deletion):
        return msgspec.structs.replace(change, id=limit_name(change.id))
    row, response = change.exchange, change.response
    long = {
        name: limit_name(value) if name in _NAMES else value[:NAME]
        for name, value in zip(_LIMITED, _get_limited(row), strict=True)
        if value is not None and len(value) > NAME
    }
    if response is not None and len(response.model) > NAME:
        response = msgspec.structs.replace(response, model=limit_name(response.model))
    if row.question is not None and (short := shorten_question(row.question)) != row.question:
        long["question"] = short
    exchange = msgspec.structs.replace(row, **long) if long else row
    conversation = change.conversation
    if conversation is not None:
        conversation = msgspec.structs.replace(conversation, id=limit_name(conversation.id))
    return msgspec.structs.replace(
        change, exchange=exchange, response=response, conversation=conversation
    )


def _find_header_columns(facts: Request, request: ReadRequest) -> dict[str, str]:
    if not request.columns:
        return facts.headers
    return {**request.columns, **facts.headers}


def _guesses_session(facts: Request, request: ReadRequest) -> bool:
    return "session_id" in request.columns and "session_id" not in facts.headers


_MAX_LIMITS = 1000  # bytes


def _find_rate_limits(answer: AnswerDraft | None, outcome: ParsedResponse) -> str | None:
    """Return what an answer says of rate limits, as JSON: its stream, else its headers.

    Those of a socket came with its handshake, and may be hours old.
    """
    limits = outcome.rate_limits
    if limits is not None and len(limits) <= _MAX_LIMITS:
        return limits.decode()
    return json.dumps(answer.limits) if answer is not None and answer.limits else None


def _limit_name(name: str | None) -> str | None:
    return limit_name(name) if name else name


def determine_transport(facts: Request, answer: AnswerDraft | None) -> Transport:
    """Return how an exchange's answer came; while there is none, how its request did."""
    if answer is None or facts.transport is Transport.WEBSOCKET:
        return facts.transport
    return answer.transport


def _determine_end(ending: Ending | None, outcome: ParsedResponse) -> str | None:
    """Return what ended an exchange: a terminal event counts even without its last line end."""
    if ending is None:
        return None
    return (EndedBy.TERMINAL_EVENT if outcome.terminal else ending.ended_by).value


def _find_connection_error(
    ending: Ending | None, classified: ClassifiedResponse
) -> ApiError | None:
    """Return what a connection failed with before its answer was whole."""
    if ending is None or ending.problem is None or classified.state is not State.INTERRUPTED:
        return None
    return ApiError(*ending.problem)


def _find_request_error(request: ReadRequest) -> ApiError | None:
    return ApiError(UNREADABLE_REQUEST, request.reason) if request.reason else None


def _find_created_at(facts: Request, outcome: ParsedResponse) -> int:
    return outcome.created_at if outcome.created_at is not None else int(facts.started_at)


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
        self._places = PlaceFinder(PLAIN_CHARS if redact is None else SEARCHED_CHARS)
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
        return change if isinstance(change, Skip) else limit_names(change)

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
            is_guessed = _guesses_session(facts, request)
            opened = ClassifiedResponse(ParsedResponse(), State.OPEN)
            texts = select_texts(facts, request, opened)
            place = self._places.find_open(facts.exchange_id, texts)
            row = self._rows.exchange(None, facts, request, opened, place=place)
            record = place.add_to(Record(row, session_is_guessed=is_guessed))
            return self._redact_record(record, texts)
        return self._ended(facts, draft.ending, request)

    def _delete(self, facts: Request, ending: Ending) -> Deletion | Skip:
        deletion = self._tombstones.read(facts, ending)
        if isinstance(deletion, Deletion):
            self._answers.resumable.drop((deletion.tenant_id, deletion.id))
            return deletion if self._redact is None else self._redact.redact_deletion(deletion)
        return deletion

    def _redact_record(self, record: Record, texts: ConversationTexts | None) -> Record:
        """Return a record without secrets, and linked by texts that have none either."""
        if self._redact is None:
            return record
        redacted = self._redact.redact_record(record)
        if redacted.is_linked or not record.is_linked or texts is None:
            return redacted
        clean = texts.redact(self._redact.redact_json)
        if clean is None:
            return redacted
        place = self._places.find("", clean)
        row = msgspec.structs.replace(
            redacted.exchange, context_digest=place.digest, answer_digest=place.answer
        )
        return place.add_to(msgspec.structs.replace(redacted, exchange=row))

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
        texts = select_texts(facts, request, classified)
        if response is not None and self.covers((facts.tenant_id, response.id), facts.started_at):
            response = None
            if texts is not None and self._redact is not None:  # no column of it is searched
                texts = msgspec.structs.replace(texts, answer=None)
        place = self._places.find(facts.exchange_id, texts)
        row = self._rows.exchange(ending, facts, request, classified, place=place, stored=stored)
        self.incomplete += classified.outcome.lost is not None
        conversation = _build_conversation_change(facts, request, classified)
        is_guessed = _guesses_session(facts, request)
        record = Record(row, response, conversation, session_is_guessed=is_guessed)
        return self._redact_record(place.add_to(record), texts)


def _build_conversation_change(
    facts: Request, request: ReadRequest, classified: ClassifiedResponse
) -> ConversationChange | None:
    """Return what an exchange changes of a conversation, if it does."""
    answer = classified.outcome.partial
    if facts.api is not Api.CONVERSATIONS or classified.state is not State.COMPLETED or not answer:
        return None
    change_request = ConversationRequest(
        facts.tenant_id, facts.method, facts.path, request.body, facts.started_at
    )
    return read_conversation_change(change_request, answer)
