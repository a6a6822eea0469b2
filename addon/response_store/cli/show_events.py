"""Write the events of a streamed answer, each with the time at which it came."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from response_store.cli import output
from response_store.cli.output import ACCENT, LABEL, MUTED
from response_store.cli.pager import print_paged
from response_store.errors import StoreError
from response_store.format.bodies import is_json
from response_store.format.events import (
    TimedEvent,
    format_offset,
    list_timed_events,
    shorten_data,
)
from response_store.format.exchange import get_raw_response
from response_store.format.text import put_on_one_line
from response_store.jsontext import TooManyValuesError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from response_store.queries.lookup import LookupResult

_MAX_CHARACTERS = 2_000
"""Characters of an event that a terminal is given: no line is as wide."""


def write_events(entry: LookupResult, *, as_json: bool, verbose: bool, paged: bool) -> None:
    """Write the events of an answer: a line each, a JSON list with `as_json`. Raises StoreError."""
    events = _list_events(entry)
    if as_json:
        _write_json(events)
    elif output.is_terminal():
        lines = draw_events(events, whole=verbose)
        print_paged(output.open_terminal(), lines, paged=paged)
    else:
        for one in events:
            ms = "" if one.ms is None else str(one.ms)
            texts = (put_on_one_line(one.name), put_on_one_line(one.data))
            output.write_text("\t".join((ms, *texts)) + "\n")


def _list_events(entry: LookupResult) -> Iterator[TimedEvent]:
    """Return the events of an answer. Raises StoreError, also while they are read."""
    raw = get_raw_response(entry)
    if entry.exchange is None or entry.exchange.transport == "http":
        raise StoreError("This answer did not stream: it has no events. See it with --raw.")
    try:
        yield from list_timed_events(raw, entry.exchange.event_times)
    except TooManyValuesError as error:
        raise StoreError(f"The events can't be read: {error}. See the stream with --raw.") from None


def _write_json(events: Iterator[TimedEvent]) -> None:
    """Print a list of objects, each on a new line."""
    first = next(events, None)
    before = b"["
    for one in chain([first] if first else [], events):
        data = msgspec.Raw(one.data.encode()) if is_json(one.data) else one.data
        shown = {"ms": one.ms, "event": one.name or None, "data": data}
        output.write_bytes(before + output.encode_shown(shown))
        before = b",\n"
    output.write_bytes(b"]\n" if before != b"[" else b"[]\n")


def draw_events(events: Iterator[TimedEvent], *, whole: bool) -> Iterator[RenderableType]:
    """Yield a line for each event, as wide as the terminal; with `whole` as long as the event."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    for one in events:
        name = put_on_one_line(one.name[:_MAX_CHARACTERS])
        data = one.data if whole else shorten_data(one.data)[:_MAX_CHARACTERS]
        is_comment = not name and data.startswith(":")
        yield Text.assemble(
            (f"{format_offset(one.ms):>11}  ", LABEL if one.is_late else MUTED),
            (f"{name}  " if name else "", ACCENT),
            (put_on_one_line(data), MUTED if is_comment else ""),
            no_wrap=not whole,
            overflow="fold" if whole else "ellipsis",
        )
