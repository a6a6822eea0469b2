"""Streams that broke off, kept for a while: who resumes one gets only the rest of it.

Events are numbered by `sequence_number`. What came before the first event of a tail is put in
front of it, where nothing is missing between the two. Only responses that run in the background
can be resumed, so only theirs are kept. Bounded in number and bytes; the oldest go first.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.capture.draft import Answer, Request
from response_store.ingest.background import is_background
from response_store.ingest.result_state import Reading
from response_store.json_text import ABSENT
from response_store.openai_api.sse import BOM, Event, all_events
from response_store.store.records import State, Transport

MOST_STREAMS = 64
MOST_BYTES = 8 << 20

Key = tuple[str, str]
"""Tenant and response id."""


class _Numbered(msgspec.Struct):
    sequence_number: Raw = ABSENT


class Heads:
    """The beginnings of streams, by tenant and response. Used by one thread."""

    def __init__(self, most_streams: int = MOST_STREAMS, most_bytes: int = MOST_BYTES) -> None:
        self._most_streams = most_streams
        self._most_bytes = most_bytes
        self._held: OrderedDict[Key, bytes] = OrderedDict()
        self.bytes = 0

    def before(self, request: Request, answer: Answer, tail: bytes) -> bytes:
        """A body with what came before it, where it is the tail of a stream that is resumed."""
        if request.follows is None or answer.transport is not Transport.SSE:
            return tail
        head = self._held.get((request.tenant_id, request.follows))
        return tail if head is None else joined(head, tail)

    def note(self, request: Request, reading: Reading, stream: bytes) -> None:
        """Keep what came of a stream, if it broke off and can be resumed."""
        outcome = reading.outcome
        if reading.state is not State.INTERRUPTED or outcome.response_id is None:
            return
        if is_background(outcome.partial):
            self.keep((request.tenant_id, outcome.response_id), stream)

    def keep(self, key: Key, stream: bytes) -> None:
        """Keep what came of a stream, in the place of what was kept of it before."""
        self.drop(key)
        self._held[key] = stream
        self.bytes += len(stream)
        while self.bytes > self._most_bytes or len(self._held) > self._most_streams:
            self.drop(next(iter(self._held)))

    def drop(self, key: Key) -> None:
        """Forget a stream."""
        self.bytes -= len(self._held.pop(key, b""))


def joined(head: bytes, tail: bytes) -> bytes:
    """A stream whose `tail` comes behind its `head`, which it may repeat in part.

    Where an event is missing between the two, or one has no number, it is the tail alone.
    """
    first = next((n for n in map(_number, all_events(tail)) if n is not None), None)
    if first is None:
        return tail
    before: list[bytes] = []
    last = None
    for event in all_events(head):
        number = _number(event)
        if number is not None and number < first:
            before.append(_frame(event))
            last = number
    return b"".join((*before, tail.removeprefix(BOM))) if last == first - 1 else tail


def _number(event: Event) -> int | None:
    try:
        return json_text.as_int(json_text.members(event.data, _Numbered).sequence_number)
    except json_text.UnreadableError:
        return None


def _frame(event: Event) -> bytes:
    lines = [b"event: " + event.name] if event.name else []
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return b"\n".join((*lines, b"", b""))
