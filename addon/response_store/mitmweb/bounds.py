"""Limits on what the contentview parses, so that it blocks the event loop for 50 ms at most.

What a body costs depends less on its size than on how much is in it: a picture of 4 MiB is read in
two milliseconds, as many bytes of empty lists in a second.
"""

from __future__ import annotations

import json
from typing import Any

from response_store.openai_api.sse import FRAME_END
from response_store.telling.bodies import parse_document

MAX_BYTES = 4 << 20
"""Bytes of an object."""
MAX_EVENTS = 640 << 10
"""Bytes of events that are put together, of a stream or a socket."""
MAX_SHOWN = 256 << 10
"""Characters of all that is shown."""
MAX_INDENTED = 20_000
"""Marks of an object that is shown as JSON."""
MAX_OF_ANSWER = 60_000
"""Marks of an answer, which is looked at more closely than what asks for it."""
_MAX_MARKS = 200_000
_MAX_FRAMES = 5_000
_MAX_ITEMS = 2_000
_LISTS = ("input", "prompt", "messages", "output", "choices")


def is_readable(data: bytes, *, marks: int = _MAX_MARKS) -> bool:
    """Return whether an object is small enough to parse: by its
    size, and by its brackets and commas.
    """
    return len(data) <= MAX_BYTES and sum(map(data.count, (b",", b"[", b"{"))) <= marks


def take_beginning(stream: bytes) -> bytes:
    """Return the part of a stream's beginning that is read."""
    begins = stream[:MAX_EVENTS]
    frames = begins.split(FRAME_END, _MAX_FRAMES)
    return begins[: -len(frames[-1])] if len(frames) > _MAX_FRAMES and frames[-1] else begins


def parse_shortened(data: bytes) -> object:
    """Return the value of JSON, long lists without their middle; None where it is not read."""
    if not is_readable(data):
        return None
    text = data.decode("utf-8", "replace")
    try:
        body: Any = json.loads(text, strict=False)  # a third of what `parse_document` takes
    except (ValueError, RecursionError):
        body = parse_document(text)
    if isinstance(body, dict):
        body.update({name: _shorten(body[name]) for name in _LISTS if name in body})
    return body


def _shorten(items: object) -> object:
    if not isinstance(items, list) or len(items) <= _MAX_ITEMS:
        return items
    half = _MAX_ITEMS // 2
    left_out = {"type": "left out", "items": len(items) - _MAX_ITEMS}
    return [*items[:half], left_out, *items[-half:]]
