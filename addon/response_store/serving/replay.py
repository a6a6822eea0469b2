"""Replay a stored response as a stream: the recorded one where it was kept, else one that is made.

A recording is replayed only where it is the whole stream of the response: from its creation to its
terminal event. Anything else (a resumed stream's tail, a broken frame) is passed over.

Both are the same at each request, so a client that breaks off can go on after any event. One that
comes with a number of another stream, that of the model's server, gets the terminal event at least:
without it, it would wait for ever or ask again and again.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT, check_values
from response_store.limits import VALUES
from response_store.model.zstd import DamagedZstdError, unpack
from response_store.openai_api.event_synthesis import (
    encode_event,
    encode_synthetic_event,
    number_events,
    read_members,
    remove_line_ends,
    synthesize_events,
)
from response_store.openai_api.responses_stream import accumulate
from response_store.openai_api.sse import Event, parse_stream
from response_store.serving.request import GetResponse

_CREATED = "response.created"
_PADDING = "obfuscation"


class _EventMembers(msgspec.Struct):
    type: Raw = ABSENT
    sequence_number: Raw = ABSENT


class Recording:
    """The whole stream of one response."""

    def __init__(self, body: bytes, events: list[Event]) -> None:
        self._body = body
        self._events = events

    def replay(self, starting_after: int | None, *, obfuscation: bool) -> bytes | None:
        """Return the stream as it came, without what is to be left
        out; None if that is not known.
        """
        if starting_after is None and (obfuscation or f'"{_PADDING}"'.encode() not in self._body):
            return self._body
        events = self._events
        if starting_after is not None:
            later = _select_later(events, starting_after)
            if later is None:
                return None
            events = later
        return b"".join(encode_event(e if obfuscation else _remove_padding(e)) for e in events)


def read_recording(packed: bytes | None, response_id: str) -> Recording | None:
    """Return the stream in a zstd frame, if it is the complete one of this response."""
    body = _unpack(packed) if packed else None
    if body is None or body.count(b"\n\n") > VALUES:
        return None
    try:
        return _read_events(body, response_id)
    except jsontext.TooManyValuesError:
        return None


def _read_events(body: bytes, response_id: str) -> Recording | None:
    events = list(parse_stream(body))
    first = next(filter(_is_object, events), None)
    if first is None or _read_type(first) != _CREATED:
        return None
    outcome = accumulate(events)
    whole = outcome.terminal and outcome.parse_error is None and outcome.response_id == response_id
    return Recording(body, events) if whole else None


def _select_later(events: list[Event], starting_after: int) -> list[Event] | None:
    """Return the events after a number; None if there are none, or if some have no number.

    What is not an event of the API, such as a ping or the mark at the end, follows the one before.
    """
    numbers = list(_list_numbers(events))
    known = [n for n, event in zip(numbers, events, strict=True) if _is_object(event)]
    if None in known or starting_after > max(number for number in known if number is not None):
        return None
    later, is_later = [], False
    for event, number in zip(events, numbers, strict=True):
        is_later = is_later if number is None else number > starting_after
        if is_later:
            later.append(event)
    return later


def _is_object(event: Event) -> bool:
    return event.data.lstrip(b" \t\n")[:1] == b"{"


def _list_numbers(events: list[Event]) -> Iterator[int | None]:
    for event in events:
        try:
            yield jsontext.read_int(
                jsontext.slice_members(event.data, _EventMembers).sequence_number
            )
        except jsontext.UnreadableError:
            yield None


def _read_type(event: Event) -> str:
    try:
        kind = jsontext.read_text(jsontext.slice_members(event.data, _EventMembers).type)
    except jsontext.UnreadableError:
        kind = None
    return kind or event.name.decode(errors="replace")


def _remove_padding(event: Event) -> Event:
    if f'"{_PADDING}"'.encode() not in event.data:
        return event
    kept = {name: value for name, value in read_members(event.data).items() if name != _PADDING}
    return event._replace(data=remove_line_ends(jsontext.encode_object(kept))) if kept else event


def _unpack(packed: bytes) -> bytes | None:
    try:
        return unpack(packed)
    except DamagedZstdError:
        return None


def replay_body(request: GetResponse, text: bytes, recorded: bytes | None) -> bytes:
    """Return the body of a response's stream, made from its JSON text. Raises UnreadableError."""
    recording = read_recording(recorded, request.id)
    if recording is not None:
        body = recording.replay(request.starting_after, obfuscation=request.obfuscation)
        if body is not None:
            return body
    return _synthesize_body(text, request.starting_after)


def _synthesize_body(text: bytes, starting_after: int | None) -> bytes:
    check_values(text)
    events = number_events(synthesize_events(text))
    if starting_after is None:
        return b"".join(encode_synthetic_event(number, event) for number, event in events)
    last_number, last = events[-1]
    if starting_after > last_number:
        return encode_synthetic_event(starting_after + 1, last)
    return b"".join(
        encode_synthetic_event(number, event) for number, event in events if number > starting_after
    )
