"""The events of an answer as they came: a stream's, a WebSocket's messages, or one whole body."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from response_store.openai_api.sse import begins_stream, parse_stream

MAX_EVENTS = 200
"""Events on one page."""
MAX_DATA = 1_000
"""Characters of an event that are shown."""


class ShownEvent(NamedTuple):
    """An event: its number, its name, how much it has, the beginning of that."""

    number: int
    name: str
    size: int
    data: str


def list_events(raw: bytes, start: int) -> tuple[list[ShownEvent], int]:
    """Return some events of an answer, and the number of the next; 0 at the end."""
    if not begins_stream(raw):
        return _list_lines(raw, start)
    events = islice(parse_stream(raw), start, start + MAX_EVENTS + 1)
    shown = [
        _show_event(number, event.name.decode("utf-8", "replace"), event.data)
        for number, event in enumerate(events, start)
    ]
    return _take_page(shown, start)


def _list_lines(raw: bytes, start: int) -> tuple[list[ShownEvent], int]:
    lines = islice(filter(None, raw.split(b"\n")), start, start + MAX_EVENTS + 1)
    shown = [_show_event(number, "", line) for number, line in enumerate(lines, start)]
    return _take_page(shown, start)


def _take_page(shown: list[ShownEvent], start: int) -> tuple[list[ShownEvent], int]:
    following = start + MAX_EVENTS if len(shown) > MAX_EVENTS else 0
    return shown[:MAX_EVENTS], following


def _show_event(number: int, name: str, data: bytes) -> ShownEvent:
    return ShownEvent(
        number, name, len(data), data[: 4 * MAX_DATA].decode("utf-8", "replace")[:MAX_DATA]
    )
