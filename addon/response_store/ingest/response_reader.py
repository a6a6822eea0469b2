"""Read what came back: its body masked, what it says, and how it went, also where only its
beginning is kept.

Nothing here raises for what an answer holds: what can't be read gives a state that says so.

A stream is read as far as it came. A JSON object that breaks off is closed where it does: its last
string gets its end, and what is open its brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from response_store import jsontext
from response_store.config import CaptureConfig, RawBodies
from response_store.ingest.background import ResumableStreams
from response_store.ingest.draft import AnswerDraft, Ending, ReadRequest, Request
from response_store.ingest.result_state import (
    INTACT_STATES,
    ClassifiedResponse,
    classify,
    classify_unreadable,
    determine_cut_state,
    determine_state,
    with_decode_error,
)
from response_store.jsontext import (
    LongText,
    TooManyValuesError,
    UnreadableError,
    as_utf8,
    decode_column,
    measure_utf8,
)
from response_store.limits import READ_BYTES
from response_store.model.records import Api, State, Transport
from response_store.openai_api.credentials import UncleanableError, find_echoes, mask, mask_repeated
from response_store.openai_api.outcome import ParsedResponse, Usage
from response_store.openai_api.response_bodies import (
    mask_joined_credentials,
    read_answer,
    read_any,
    read_part,
)
from response_store.openai_api.responses_stream import RATE_LIMITS, read_terminal
from response_store.openai_api.sse import FRAME_END, Event, is_terminal, parse_frame, read_type

_token = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[{}\[\],]', re.DOTALL).finditer
# A string up to its last whole character: half an escape, or half a surrogate pair, is left out.
_whole_characters = re.compile(
    rb'"(?:[^"\\]++'
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"
    rb"|\\[^u])*+",
    re.DOTALL,
).match
_CLOSERS = {b"{": b"}", b"[": b"]"}
_BLANKS = (b" ", b"\t", b"\r", b"\n")


def read_beginning(api: Api, transport: Transport, body: bytes, *, may_cut: bool) -> ParsedResponse:
    """Read the beginning of an answer: names and a prefix of the text, no tokens, no response.

    Where it `may_cut` a secret in two the text goes to its last blank only: nothing would recognise
    the half of one. Raises TooManyValuesError.
    """
    part = _read_part(api, transport, _drop_half_character(body))
    text = part.output_text
    return replace(
        part,
        response=None,
        partial=part.response or part.partial,
        items=(),
        output_text=_drop_last_word(text) if text and may_cut else text,
        usage=Usage(),
        parse_error=None,
    )


def list_closings(text: bytes) -> Iterator[bytes]:
    """Yield the ways to close a JSON text that breaks off; the first that is JSON keeps most."""
    open_brackets: list[bytes] = []
    last: re.Match[bytes] | None = None
    kept = 0  # up to here every member and element is whole
    for last in _token(text):
        mark = last[0]
        if mark in _CLOSERS:
            open_brackets.append(_CLOSERS[mark])
            kept = last.end()
        elif mark == b",":
            kept = last.start()
        elif mark in (b"}", b"]"):
            del open_brackets[-1:]
            kept = last.end()
    end = b"".join(reversed(open_brackets))
    if last is not None and last[0][:1] == b'"' and last[1] is None:
        whole = _whole_characters(text, last.start())
        assert whole is not None  # it begins with a quote
        yield text[: whole.end()] + b'"' + end
    yield text + end
    yield text[:kept] + end


def _read_part(api: Api, transport: Transport, body: bytes) -> ParsedResponse:
    try:
        return read_answer(api, transport, body)
    except TooManyValuesError:
        raise
    except UnreadableError:
        pass
    for candidate in list_closings(body):
        try:
            return read_answer(api, transport, candidate)
        except UnreadableError:
            continue
    return ParsedResponse()


def _drop_half_character(body: bytes) -> bytes:
    end, is_cut_off = measure_utf8(body)
    return body[:end] if is_cut_off else body


def _drop_last_word(text: LongText) -> LongText | None:
    whole = as_utf8(text)
    return decode_column(whole[: max(map(whole.rfind, _BLANKS)) + 1]) or None


_escaped_characters = b"\\u00"
_START_BYTES = 1 << 16  # that are read of an answer with too many values
# What a stream's items are counted by, against those of its terminal object.
_DONE_ITEM = b'"response.output_item.done"'
_done_items = re.compile(rb'"type"\s*:\s*"response\.output_item\.done"').finditer
# What an item of a terminal object lacks that its stream may have had.
_bare_member = re.compile(rb'"(?:content|arguments|input)"\s*:\s*(?:\[\s*\]|"")').search
# One of both is in each frame whose event is terminal: its type may be spelled with escapes.
_has_mark = re.compile(rb"response\.(?:completed|incomplete|failed|cancelled|done)").search
_ESCAPE = b"\\u"
_LIMITS_MARK = RATE_LIMITS.encode()
_MAX_LIMITS = 4_096  # bytes of an event that tells of rate limits; those of Codex have 700
_LAST_FRAMES = 8  # among which the terminal event is looked for: pings and marks may follow it

NOT_KEPT = "response body: not kept"
"""Why an answer that came whole has no body here: it passed by us."""


def keeps_raw(capture: CaptureConfig, state: State, *, lost: bool = False) -> bool:
    """Return whether the bytes of an answer in this state are kept.

    `lost` says that something of it is in none of the columns.
    """
    kept, is_intact = capture.raw_bodies, state in INTACT_STATES and not lost
    return kept is RawBodies.ALWAYS or (kept is RawBodies.ON_ERROR and not is_intact)


class AnswerReader:
    """Reads answers. Not thread-safe: it remembers streams that broke off.

    Where it `redacts`, what nobody could redact is not kept: bytes that can't be decoded, and the
    word at which a text was cut.
    """

    def __init__(
        self, capture: CaptureConfig, *, redacts: bool = False, marks_key: bytes = b""
    ) -> None:
        self._capture = capture
        self._marks_key = marks_key
        self._redacts = redacts
        self.resumable = ResumableStreams()

    def read(self, facts: Request, ending: Ending, request: ReadRequest) -> ClassifiedResponse:
        """Read what an exchange ended with. Reading it again changes nothing."""
        answer = ending.answer
        if answer is None:
            return ClassifiedResponse(ParsedResponse(), determine_cut_state(ending, None))
        if answer.body is None:
            if answer.too_large:
                return ClassifiedResponse(ParsedResponse(), State.TOO_LARGE)
            return classify_unreadable(NOT_KEPT, b"", answer, ending)
        captured = _CapturedAnswer(facts, request, ending, answer, answer.body)
        try:
            classified = self._without_own_key(facts, self._read(captured))
        except jsontext.TooManyValuesError:
            classified = self._without_own_key(facts, self._read_start(captured))
        except UncleanableError:
            classified = ClassifiedResponse(ParsedResponse(), State.TOO_LARGE)
        self.resumable.note_end(facts, classified)
        return classified

    def _without_own_key(
        self, facts: Request, classified: ClassifiedResponse
    ) -> ClassifiedResponse:
        """Mask the client's own key where a stream spells it in pieces; its bytes are not kept."""
        if not facts.marks:
            return classified
        outcome = classified.outcome
        words = outcome.error.message if outcome.error else None
        texts = (*outcome.items, outcome.partial, outcome.output_text, words)
        present = [jsontext.as_utf8(text) for text in texts if text]
        echoes = find_echoes(present, facts.marks, self._marks_key)
        if not echoes:
            return classified
        if _escaped_characters in (outcome.partial or b""):  # it may be spelled with them
            outcome = replace(outcome, partial=None)
        return replace(classified, outcome=mask_joined_credentials(outcome, echoes), body=None)

    def _read(self, captured: _CapturedAnswer) -> ClassifiedResponse:
        answer = captured.answer
        terminal = _read_terminal(captured)
        if terminal is None:
            jsontext.check_size(captured.body, captured.input_bytes)
        else:
            state = determine_state(terminal, answer, captured.ending)
            if not keeps_raw(self._capture, state):
                return ClassifiedResponse(terminal, state)
        captured = captured._replace(body=captured.scrub(captured.body))
        if answer.too_large:
            outcome = terminal or self._read_beginning(captured)
            return ClassifiedResponse(outcome, State.TOO_LARGE)
        if answer.decode_error is not None:
            return self._read_undecodable(captured, terminal)
        return self._read_whole(captured, terminal)

    def _read_start(self, captured: _CapturedAnswer) -> ClassifiedResponse:
        """Read what an answer begins with, that has too many values to be read whole."""
        start = captured.body[:_START_BYTES]
        try:
            body = captured.scrub(captured.body)
            outcome = self._read_beginning(captured._replace(body=captured.scrub(start)))
        except (jsontext.TooManyValuesError, UncleanableError):
            return ClassifiedResponse(ParsedResponse(), State.TOO_LARGE)
        return ClassifiedResponse(outcome, State.TOO_LARGE, body)

    def _read_whole(
        self, captured: _CapturedAnswer, terminal: ParsedResponse | None
    ) -> ClassifiedResponse:
        facts, request, ending, answer, body = captured
        stream = self.resumable.prepend(facts, answer, body)
        try:
            read = terminal or read_any(facts.api, answer.transport, stream.body)
        except jsontext.TooManyValuesError:
            raise
        except jsontext.UnreadableError as error:
            return classify_unreadable(str(error), body, answer, ending)
        outcome = mask_joined_credentials(read, request.secrets)
        classified = classify(outcome, body, answer, ending)
        self.resumable.note(facts, classified, stream)
        return classified

    def _read_undecodable(
        self, captured: _CapturedAnswer, terminal: ParsedResponse | None
    ) -> ClassifiedResponse:
        answer, body = captured.answer, captured.body
        read = terminal or read_part(captured.facts.api, answer.transport, body)
        if answer.raw is not None and not self._redacts:
            body = captured.scrub(answer.raw)
        return with_decode_error(
            mask_joined_credentials(read, captured.request.secrets), body, answer
        )

    def _read_beginning(self, captured: _CapturedAnswer) -> ParsedResponse:
        secrets = captured.request.secrets
        may_cut = self._redacts or bool(secrets)
        transport = captured.answer.transport
        part = read_beginning(captured.facts.api, transport, captured.body, may_cut=may_cut)
        return mask_joined_credentials(part, secrets)


class _CapturedAnswer(NamedTuple):
    """An exchange with an answer, and as much of its body as is kept."""

    facts: Request
    request: ReadRequest
    ending: Ending
    answer: AnswerDraft
    body: bytes

    @property
    def input_bytes(self) -> int:
        """Return the bytes of the input, which is in a response's row as well."""
        return len(self.request.input)

    def scrub(self, body: bytes) -> bytes:
        """Return a body without credentials, whether they are its own or the request's."""
        return mask_repeated(mask(body).body, self.request.secrets)


def _read_terminal(captured: _CapturedAnswer) -> ParsedResponse | None:
    """Read the terminal event alone, where it says everything; None where it doesn't."""
    if captured.facts.api is not Api.RESPONSES or not captured.answer.is_terminated:
        return None
    event = find_terminal_event(captured.body)
    if event is None:
        return None
    try:
        jsontext.check_size(event.data, captured.input_bytes)
        data, parse_error = jsontext.repair_utf8(captured.scrub(event.data))
        limits = find_rate_limits(captured.body)
        if limits is not None:
            limits = Event(limits.name, jsontext.repair_utf8(captured.scrub(limits.data))[0])
    except jsontext.UnreadableError:
        return None
    alone = read_terminal(Event(event.name, data), limits) if parse_error is None else None
    return alone if alone is not None and _is_complete(alone, captured.body) else None


def _is_complete(terminal: ParsedResponse, stream: bytes) -> bool:
    """Return whether a terminal object has all items that its stream had finished, and the text."""
    max_items = len(terminal.items)
    has_more = stream.count(_DONE_ITEM) > max_items and (
        sum(1 for _ in islice(_done_items(stream), max_items + 1)) > max_items
    )
    if has_more or _bare_member(terminal.response or b""):
        return False
    return terminal.output_text is not None or b"output_text.d" not in stream


def find_rate_limits(stream: bytes) -> Event | None:
    """Return the last event of a stream that tells of rate limits; None where there is none.

    It is not looked for in what is large, nor behind many texts that merely name it.
    """
    if _LIMITS_MARK not in stream:
        return None
    ends = (b"\r\n\r\n", b"\r\r") if b"\r" in stream else (FRAME_END,)
    at = len(stream)
    for _ in range(_LAST_FRAMES):
        at = stream.rfind(_LIMITS_MARK, 0, at)
        if at < 0:
            return None
        begins = [place + len(mark) for mark in ends if (place := stream.rfind(mark, 0, at)) >= 0]
        stops = [place for mark in ends if (place := stream.find(mark, at)) >= 0]
        frame = stream[max(begins, default=0) : min(stops, default=len(stream))]
        if len(frame) <= _MAX_LIMITS:
            event = parse_frame(frame.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
            if event is not None and read_type(event) == RATE_LIMITS:
                return event
    return None


def find_terminal_event(stream: bytes) -> Event | None:
    """Return the terminal event of the Responses API among the last frames of a stream.

    Of several it is the first, as where a whole stream is read; None where there is none.
    """
    if b"\r" in stream:
        stream = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    terminal = None
    end = len(stream)
    for _ in range(_LAST_FRAMES):
        start = stream.rfind(FRAME_END, 0, end)
        if end - start > READ_BYTES:
            break
        first = start + len(FRAME_END) if start >= 0 else 0
        if _has_mark(stream, first, end) or stream.find(_ESCAPE, first, end) >= 0:
            event = parse_frame(stream[first:end])
            if event is not None and is_terminal(event):
                terminal = event
        if start < 0:
            break
        end = start
    return terminal
