"""Recorded streams, as they came when the response was created.

A recording is replayed only where it is the whole stream of the response: from its creation to its
terminal event. Anything else (a resumed stream's tail, a broken frame) is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.limits import VALUES
from response_store.openai_api.response_events import accumulate
from response_store.openai_api.sse import Event, parse_stream
from response_store.serving.events import encode_event, remove_line_ends
from response_store.serving.slices import read_members
from response_store.store.packed import DamagedZstdError, unpack

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
    except json_text.TooManyValuesError:
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
    later, behind = [], False
    for event, number in zip(events, numbers, strict=True):
        behind = behind if number is None else number > starting_after
        if behind:
            later.append(event)
    return later


def _is_object(event: Event) -> bool:
    return event.data.lstrip(b" \t\n")[:1] == b"{"


def _list_numbers(events: list[Event]) -> Iterator[int | None]:
    for event in events:
        try:
            yield json_text.read_int(
                json_text.slice_members(event.data, _EventMembers).sequence_number
            )
        except json_text.UnreadableError:
            yield None


def _read_type(event: Event) -> str:
    try:
        kind = json_text.read_text(json_text.slice_members(event.data, _EventMembers).type)
    except json_text.UnreadableError:
        kind = None
    return kind or event.name.decode(errors="replace")


def _remove_padding(event: Event) -> Event:
    if f'"{_PADDING}"'.encode() not in event.data:
        return event
    kept = {name: value for name, value in read_members(event.data).items() if name != _PADDING}
    return event._replace(data=remove_line_ends(json_text.encode_object(kept))) if kept else event


def _unpack(packed: bytes) -> bytes | None:
    try:
        return unpack(packed)
    except DamagedZstdError:
        return None
