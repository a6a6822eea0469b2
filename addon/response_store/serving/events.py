"""Events as they go out: numbered, in frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from response_store import json_text
from response_store.openai_api.sse import Event

Fields = dict[str, Any]


class Made(NamedTuple):
    """An event without its number. Values of `fields` that are `Raw` are JSON text."""

    kind: str
    fields: Fields


def numbered(made: Iterable[Made]) -> list[tuple[int, Made]]:
    """Return the events with their sequence numbers, which begin with 0."""
    return list(enumerate(made))


def frame(number: int, made: Made) -> bytes:
    """Return the SSE frame of a synthetic event. No `Raw` in it may contain a line end."""
    data = json_text.object_of({"type": made.kind, "sequence_number": number, **made.fields})
    return b"event: " + made.kind.encode() + b"\ndata: " + data + b"\n\n"


def frame_of(event: Event) -> bytes:
    """Return the SSE frame of an event that was read."""
    lines = [b"event: " + event.name] if event.name else []
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return b"\n".join((*lines, b"", b""))


def on_one_line(text: bytes) -> bytes:
    """Return JSON text without line ends, which it has only between tokens."""
    return text.translate(None, b"\r\n")
