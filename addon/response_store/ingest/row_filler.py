"""The rows of a record, filled from what was read of its exchange."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from response_store import json_text
from response_store.config import CaptureConfig
from response_store.ingest.background import is_background
from response_store.ingest.compression import Compressor
from response_store.ingest.draft import AnswerDraft, Ending, Request
from response_store.ingest.request_reader import ReadRequest
from response_store.ingest.response_reader import keeps_raw
from response_store.ingest.result_state import MESSAGE_CHARS, ClassifiedResponse
from response_store.limits import NAME, limit_name
from response_store.openai_api.outcome import ApiError, ParsedResponse
from response_store.store.records import (
    HEADER_COLUMNS,
    Change,
    Deletion,
    EndedBy,
    ExchangeRow,
    Record,
    ResponseRow,
    State,
    Transport,
)

_NAMES = ("requested_model", "model", "error_code")
_TEXTS = ("host", "path", *HEADER_COLUMNS, "upstream_request_id")
UNREADABLE_REQUEST = "unreadable_request"


class RowFiller:
    """Fills the rows of one recorder. Not thread-safe: it reuses one compressor.

    Unless it `finishes` them, bodies are not packed yet and messages not clipped.
    """

    def __init__(self, capture: CaptureConfig, recorder_id: str, *, finishes: bool = True) -> None:
        self._capture = capture
        self._recorder_id = recorder_id
        self._pack: Callable[[bytes], bytes] = Compressor().frame if finishes else bytes
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
        return ResponseRow(
            tenant_id=facts.tenant_id,
            id=limit_name(outcome.response_id),
            created_at=_find_created_at(facts, outcome),
            model=outcome.model or request.model or "",
            response_object=json_text.column(text),
            input=json_text.column(request.input),
            messages=_join_items(request.input, outcome.items),
            final=outcome.response is not None and state.is_final,
            has_input=request.has_input,
        )

    def exchange(
        self,
        ending: Ending | None,
        facts: Request,
        request: ReadRequest,
        classified: ClassifiedResponse,
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
            method=facts.method,
            scheme=facts.scheme,
            host=facts.host,
            port=facts.port,
            path=facts.path,
            upstream_request_id=answer.upstream_request_id if answer else None,
            request_body=self._pack(request.body) if request.body else None,
            result=json_text.column(result) if result else None,
            output_text=outcome.output_text,
            raw_response=self._raw(classified),
            recorder_id=self._recorder_id,
            **facts.headers,
        )

    def _clipped(self, message: str | None) -> str | None:
        return message[: self._message_chars] if message else message

    def _raw(self, classified: ClassifiedResponse) -> bytes | None:
        lost = classified.outcome.lost is not None
        if not classified.body or not keeps_raw(self._capture, classified.state, lost=lost):
            return None
        return self._pack(classified.body)


def limit_names(change: Change) -> Change:
    """Return a change whose names and short texts fit a row, once secrets are out of them."""
    if isinstance(change, Deletion):
        return msgspec.structs.replace(change, id=limit_name(change.id))
    row, response = change.exchange, change.response
    long = {
        name: limit_name(value) if name in _NAMES else value[:NAME]
        for name in (*_NAMES, *_TEXTS)
        if (value := getattr(row, name)) is not None and len(value) > NAME
    }
    if response is not None and len(response.model) > NAME:
        response = msgspec.structs.replace(response, model=limit_name(response.model))
    exchange = msgspec.structs.replace(row, **long) if long else row
    conversation = change.conversation
    if conversation is not None:
        conversation = msgspec.structs.replace(conversation, id=limit_name(conversation.id))
    return Record(exchange, response, conversation)


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


def _join_items(items: bytes, output: tuple[bytes, ...]) -> json_text.LongText:
    """Return input items, then output items, as one JSON array."""
    inner = json_text.strip_brackets(items)
    parts = [part for item in ((inner, *output) if inner else output) for part in (b",", item)]
    return json_text.column(b"".join((b"[", *parts[1:], b"]")))
