"""Parsing of answers for the contentview: a body, a stream of events, a WebSocket message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from response_store import json_text
from response_store.mitmweb.bounds import (
    MAX_BYTES,
    MAX_EVENTS,
    MAX_OF_ANSWER,
    is_readable,
    parse_shortened,
    take_beginning,
)
from response_store.mitmweb.recognising import is_stream
from response_store.openai_api.chat_completion import is_completion
from response_store.openai_api.other_answers import read_any
from response_store.openai_api.outcome import ParsedResponse
from response_store.openai_api.response_events import accumulate, read_terminal
from response_store.openai_api.sse import FRAME_END, Event, parse_stream
from response_store.openai_api.terminal_events import DONE, is_terminal
from response_store.store.records import Api, Transport
from response_store.telling.figures import format_size

_LAST = 8  # events at the end of a stream among which the terminal one is looked for


class _StreamMembers(msgspec.Struct):
    stream_id: msgspec.Raw = json_text.ABSENT


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """What an answer says. `rest` is the text of a piece that makes no sense alone."""

    outcome: ParsedResponse
    event: str = ""
    rest: str = ""
    note: str = ""


def read_answer(data: bytes, api: Api | None) -> ShownAnswer | None:
    """Read the body of an answer; None where it is neither an object nor a stream."""
    if is_stream(data):
        return _read_stream(data, api or _guess_api(data))
    try:
        return ShownAnswer(read_any(api or _guess_api(data), Transport.HTTP, data))
    except json_text.UnreadableError:
        return None


def read_message(data: bytes, messages: Sequence[Any], message: Any) -> ShownAnswer:
    """Read a message of a socket; the end of a response may need those before it."""
    body = parse_shortened(data)
    if body is None:
        return ShownAnswer(accumulate([]))
    event = Event(b"", data)
    outcome = accumulate([event])
    if not outcome.items and is_terminal(event) and isinstance(body, dict):
        outcome = accumulate(
            [*_list_events_before(messages, message, body.get("stream_id")), event]
        )
    told = body if isinstance(body, dict) else {}
    kind, delta = told.get("type"), told.get("delta")
    return ShownAnswer(
        outcome,
        event=kind if isinstance(kind, str) else "",
        rest=delta if isinstance(delta, str) else "",
    )


def _read_stream(data: bytes, api: Api) -> ShownAnswer | None:
    """Read a stream: its terminal event, where that says all, else what comes first."""
    if api is Api.RESPONSES and (outcome := _read_ending(data)) is not None:
        return ShownAnswer(outcome)
    begins = take_beginning(data)
    try:
        outcome = read_any(api, Transport.SSE, begins)
    except json_text.UnreadableError:
        return None
    cut = len(begins) < len(data)
    note = (
        f"of {format_size(len(data))} the first {format_size(len(begins))} are read" if cut else ""
    )
    return ShownAnswer(outcome, note=note)


def _read_ending(data: bytes) -> ParsedResponse | None:
    end = data[-MAX_BYTES:]
    end = end.replace(b"\r\n", b"\n") if end.endswith(b"\r\n") else end
    last = end.rsplit(FRAME_END, _LAST)[-_LAST:]
    for frame in reversed(last):
        for event in parse_stream(frame):
            if is_terminal(event) and is_readable(event.data, marks=MAX_OF_ANSWER):
                return read_terminal(event)
    return None


def _list_events_before(messages: Sequence[Any], message: Any, lane: object) -> list[Event]:
    """Return the events of a response before its terminal
    message, as far as they are still held.
    """
    events: list[Event] = []
    for content in _list_messages_of_stream(messages, message, lane):
        events.append(Event(b"", content))
        if b'"response.created"' in content[:200]:
            break
    return events[::-1]


def _list_messages_of_stream(
    messages: Sequence[Any], message: Any, lane: object
) -> Iterator[bytes]:
    """Yield the server's messages of one stream before this one, the newest first."""
    at = next((i for i, one in enumerate(messages) if one is message), 0)
    so_far = 0
    for one in reversed(messages[:at]):
        so_far += len(one.content)
        if so_far > MAX_EVENTS:
            return
        if not one.from_client and _read_stream_id(one.content) == lane:
            yield one.content


def _read_stream_id(content: bytes) -> str | None:
    try:
        return json_text.read_text(json_text.slice_members(content, _StreamMembers).stream_id)
    except json_text.UnreadableError:
        return None


def _guess_api(data: bytes) -> Api:
    """Return the API of a body of which nothing else is known."""
    if is_stream(data):
        chunks = DONE in data[-_LAST * 10 :] or b'"chat.completion.chunk"' in data[:1000]
        return Api.CHAT_COMPLETIONS if chunks else Api.RESPONSES
    try:
        return Api.CHAT_COMPLETIONS if is_completion(data) else Api.RESPONSES
    except json_text.UnreadableError:
        return Api.RESPONSES
