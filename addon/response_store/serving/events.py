"""Synthetic events and their SSE frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from response_store import json_text
from response_store.openai_api.sse import Event

EventFields = dict[str, Any]


class SyntheticEvent(NamedTuple):
    """An event without its number. Values of `fields` that are `Raw` are JSON text."""

    kind: str
    fields: EventFields


def number_events(events: Iterable[SyntheticEvent]) -> list[tuple[int, SyntheticEvent]]:
    """Return the events with their sequence numbers, which begin with 0."""
    return list(enumerate(events))


def encode_synthetic_event(number: int, event: SyntheticEvent) -> bytes:
    """Return the SSE frame of a synthetic event. No `Raw` in it may contain a line end."""
    data = json_text.encode_object({"type": event.kind, "sequence_number": number, **event.fields})
    return b"event: " + event.kind.encode() + b"\ndata: " + data + b"\n\n"


def encode_event(event: Event) -> bytes:
    """Return the SSE frame of an event that was read."""
    lines = [b"event: " + event.name] if event.name else []
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return b"\n".join((*lines, b"", b""))


def remove_line_ends(text: bytes) -> bytes:
    """Return JSON text without line ends, which it has only between tokens."""
    return text.translate(None, b"\r\n")
