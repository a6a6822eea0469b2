"""Drafts to records: read the bodies, decide the state, fill the columns.

Runs in the writer thread. A draft gives one record, whatever its bodies hold: what can't be read
is kept as raw bytes with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from response_store import json_text
from response_store.capture.answer_body import read_answer, read_part, without_echoes
from response_store.capture.chat_completion import DONE
from response_store.capture.compression import Compressor
from response_store.capture.content_encoding import EncodingError, TooLargeError, decode
from response_store.capture.draft import Answer, Draft, Ending, Request
from response_store.capture.judging import (
    MESSAGE_CHARS,
    WELL,
    Reading,
    cut_state,
    judged,
    state_of,
    undecodable,
    unreadable,
)
from response_store.capture.masking import mask, mask_echoes
from response_store.capture.outcome import Fault, Outcome
from response_store.capture.request import ReadRequest, Skip, read_request
from response_store.capture.response_events import read_terminal
from response_store.capture.sse import Event
from response_store.config import CaptureConfig, RawBodies, StoreFalse
from response_store.store.records import (
    UNFINISHED,
    Api,
    EndedBy,
    ExchangeRow,
    Record,
    ResponseRow,
    State,
    Transport,
)

UNREADABLE_REQUEST = "unreadable_request"


class RecordBuilder:
    """Builds records for one recorder. Not thread-safe: it reuses one compressor."""

    def __init__(
        self,
        capture: CaptureConfig,
        recorder_id: str,
        redact: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._capture = capture
        self._recorder_id = recorder_id
        self._redact = redact
        self._zstd = Compressor()

    def build(self, draft: Draft) -> Record | Skip:
        """Turn a draft into a record, or say why it makes none."""
        facts = draft.request.facts()
        request = self._request(facts)
        if isinstance(request, Skip):
            return request
        if draft.ending is None:
            return Record(self._row(None, facts, request, Reading(Outcome(), State.OPEN)))
        reading = self._read(facts.api, draft.ending, request)
        response = self._response(facts, request, reading)
        row = self._row(draft.ending, facts, request, reading, stored=response is not None)
        return Record(row, response)

    def _request(self, facts: Request) -> ReadRequest | Skip:
        read = facts.read
        if read is None:
            read = read_request(facts, self._capture.max_body_bytes)
            if isinstance(read, ReadRequest) and not read.store:
                read = Skip.STORE_FALSE if self._capture.store_false is StoreFalse.SKIP else read
            if isinstance(read, ReadRequest) and read.body and self._redact:
                read = replace(read, body=self._redact(read.body), input=self._redact(read.input))
            facts.read = read
        return read

    # Reading the answer

    def _read(self, api: Api, ending: Ending, request: ReadRequest) -> Reading:
        answer = ending.answer
        if answer is None:
            return Reading(Outcome(), cut_state(ending, None))
        terminal = self._terminal(answer, request)
        if terminal is not None:
            state = state_of(terminal, answer, ending)
            if not self._keeps_raw(state):
                return Reading(terminal, state)
        if answer.too_large or answer.body is None:
            state = State.TOO_LARGE if answer.too_large else cut_state(ending, answer)
            return Reading(terminal or Outcome(), state)
        try:
            body = decode(answer.body, answer.content_encoding, self._capture.max_body_bytes)
        except TooLargeError:
            return Reading(terminal or Outcome(), State.TOO_LARGE)
        except EncodingError as error:
            part = self._scrub(error.decoded, request)
            outcome = terminal or without_echoes(read_part(api, answer, part), request.secrets)
            undecoded = self._scrub(b"".join(answer.body), request)
            return undecodable(outcome, str(error), undecoded, answer)
        body = self._scrub(body, request)
        try:
            outcome = terminal or without_echoes(read_answer(api, answer, body), request.secrets)
        except json_text.UnreadableError as error:
            return unreadable(str(error), body, answer, ending)
        return judged(outcome, body, answer, ending)

    def _terminal(self, answer: Answer, request: ReadRequest) -> Outcome | None:
        """Read the terminal event alone, where it says everything."""
        if answer.terminal is None or answer.terminal.data == DONE:
            return None
        data, flaw = json_text.repaired(self._scrub(answer.terminal.data, request))
        if flaw is not None:
            return None
        return read_terminal(Event(answer.terminal.name, data))

    def _scrub(self, body: bytes, request: ReadRequest) -> bytes:
        body = mask_echoes(mask(body).body, request.secrets)
        return self._redact(body) if self._redact else body

    # Filling the columns

    def _response(
        self, facts: Request, request: ReadRequest, reading: Reading
    ) -> ResponseRow | None:
        outcome = reading.outcome
        if outcome.response is None or not outcome.response_id:
            return None
        if reading.state in (State.REFUSED, State.UNREADABLE):
            return None
        return ResponseRow(
            tenant_id=facts.tenant_id,
            id=outcome.response_id,
            created_at=_created_at(facts, outcome),
            model=outcome.model or request.model or "",
            response_object=outcome.response.decode(),
            input=request.input.decode(),
            messages=_messages(request.input, outcome.items),
            final=reading.state not in UNFINISHED,
            has_input=request.has_input,
        )

    def _row(
        self,
        ending: Ending | None,
        facts: Request,
        request: ReadRequest,
        reading: Reading,
        stored: bool = False,
    ) -> ExchangeRow:
        outcome, usage = reading.outcome, reading.outcome.usage
        answer = ending.answer if ending else None
        fault = outcome.fault or _request_fault(request)
        result = None if stored else outcome.partial or outcome.response
        return ExchangeRow(
            exchange_id=facts.exchange_id,
            tenant_id=facts.tenant_id,
            response_id=outcome.response_id,
            previous_response_id=outcome.previous_response_id or request.previous_response_id,
            conversation_id=outcome.conversation_id or request.conversation_id,
            api=facts.api.value,
            transport=(answer.transport if answer else Transport.HTTP).value,
            state=reading.state.value,
            ended_by=_ended_by(ending, outcome),
            status_code=answer.status_code if answer else None,
            error_code=fault.code if fault else None,
            error_message=_clipped(fault.message) if fault else None,
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
            path=facts.path,
            user_agent=facts.user_agent,
            upstream_request_id=answer.upstream_request_id if answer else None,
            request_body=self._zstd.frame(request.body) if request.body else None,
            result=result.decode() if result else None,
            output_text=outcome.output_text,
            raw_response=self._raw(reading),
            recorder_id=self._recorder_id,
        )

    def _raw(self, reading: Reading) -> bytes | None:
        if not reading.body or not self._keeps_raw(reading.state):
            return None
        return self._zstd.frame(reading.body)

    def _keeps_raw(self, state: State) -> bool:
        kept = self._capture.raw_bodies
        return kept is RawBodies.ALWAYS or (kept is RawBodies.ON_ERROR and state not in WELL)


def _ended_by(ending: Ending | None, outcome: Outcome) -> str | None:
    """What ended an exchange: a terminal event counts even where its last line end is missing."""
    if ending is None:
        return None
    return (EndedBy.TERMINAL_EVENT if outcome.terminal else ending.ended_by).value


def _request_fault(request: ReadRequest) -> Fault | None:
    return Fault(UNREADABLE_REQUEST, request.reason) if request.reason else None


def _created_at(facts: Request, outcome: Outcome) -> int:
    return outcome.created_at if outcome.created_at is not None else int(facts.started_at)


def _messages(items: bytes, output: tuple[bytes, ...]) -> str:
    """Input items, then output items, as one JSON array."""
    parts = (json_text.array_inner(items), b",".join(output))
    return (b"[" + b",".join(part for part in parts if part) + b"]").decode()


def _clipped(message: str | None) -> str | None:
    return message[:MESSAGE_CHARS] if message else message
