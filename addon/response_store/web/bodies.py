"""Read the bodies of an exchange for a page, of what is long one part after the other."""

from __future__ import annotations

import threading
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from response_store.errors import StoreError
from response_store.format.bodies import parse_document, unpack_body
from response_store.format.events import TimedEvent, format_offset, list_timed_events, shorten_data
from response_store.web.page import PageError

if TYPE_CHECKING:
    from response_store.queries.lookup import LookupResult

PART = 50_000
"""Characters of a long text that are sent at once."""
_MAX_CACHED = 64 << 20  # bytes of the text of a document that is kept


class Body(StrEnum):
    """Which body of an exchange."""

    REQUEST = "request"
    ANSWER = "answer"


class TextPart(NamedTuple):
    """A part of a text, and where the next one begins; 0 at the end."""

    text: str
    start: int
    next: int
    length: int


def cut_part(text: str, start: int) -> TextPart:
    """Return the part of a text that begins at a place."""
    end = start + PART
    return TextPart(text[start:end], start, end if end < len(text) else 0, len(text))


def read_body(entry: LookupResult, body: Body) -> bytes:
    """Return a body as it was sent, or as JSON what was read of it; empty where it is not kept."""
    row = entry.exchange
    if body is Body.REQUEST:
        return unpack_body(row.request_body) if row and row.request_body else b""
    if entry.response is not None:
        return entry.response.response_object.encode("utf-8", "surrogatepass")
    result = row.result if row else None
    return result if isinstance(result, bytes) else (result or "").encode("utf-8", "surrogatepass")


class DocumentCache:
    """The document that was read last, since a tree asks for it level by level. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: tuple[object, ...] = ()
        self._document: object = None

    def read(self, entry: LookupResult, body: Body) -> object:
        """Return a body's document. Raises PageError where it is no JSON that can be read."""
        row = entry.exchange
        key = (row.exchange_id, row.state) if row else (entry.response and entry.response.id,)
        with self._lock:
            if self._key == (*key, body):
                return self._document
        text = read_body(entry, body)
        document = parse_document(text.decode("utf-8", "replace")) if text else None
        if document is None:
            raise PageError("This body is not kept, or is no JSON that can be read.", 404)
        if len(text) <= _MAX_CACHED:
            with self._lock:
                self._key, self._document = (*key, body), document
        return document


def decode_body(entry: LookupResult, body: Body) -> str:
    """Return a body as text, whatever it is; empty where it is not kept."""
    try:
        return read_body(entry, body).decode("utf-8", "replace")
    except StoreError as error:
        return str(error)


MAX_EVENTS = 200
"""Events on one page."""
MAX_DATA = 1_000
"""Characters of an event that are shown."""


class ShownEvent(NamedTuple):
    """An event: its number, when it came, its name, how much it has, the beginning of that.

    Its data is without what its name and the other events say as well.
    """

    number: int
    time: str
    is_late: bool
    name: str
    size: int
    data: str


def list_events(raw: bytes, event_times: str | None, start: int) -> tuple[list[ShownEvent], int]:
    """Return some events of an answer, and the number of the next; 0 at the end.

    Raises TooManyValuesError where reading takes too long.
    """
    events = islice(list_timed_events(raw, event_times), start, start + MAX_EVENTS + 1)
    shown = [_show_event(number, event) for number, event in enumerate(events, start)]
    following = start + MAX_EVENTS if len(shown) > MAX_EVENTS else 0
    return shown[:MAX_EVENTS], following


def _show_event(number: int, timed: TimedEvent) -> ShownEvent:
    return ShownEvent(
        number,
        format_offset(timed.ms),
        timed.is_late,
        timed.name,
        len(timed.event.data),
        shorten_data(timed.data)[:MAX_DATA],
    )
