"""Streams that broke off, kept for a while: who resumes one gets only the rest of it.

Events are numbered by `sequence_number`. What came before the first event of a tail is put in
front of it, where nothing is missing between the two. Only responses that run in the background
can be resumed, so only theirs are kept. Bounded in number and bytes; the oldest go first.

Nothing here outlives the process: it is built again from the frames of the exchanges that brought
it, which the journal keeps as long as `exchange_ids` names them.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from typing import NamedTuple

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.ingest.background import is_background
from response_store.ingest.deletions import Key
from response_store.ingest.draft import AnswerDraft, Request
from response_store.ingest.result_state import ClassifiedResponse
from response_store.json_text import ABSENT
from response_store.openai_api.sse import BOM, Event, parse_stream
from response_store.store.records import State, Transport

MAX_STREAMS = 64
MAX_BYTES = 8 << 20
_MAX_EXCHANGES = 64  # that one stream is put together of


class _Numbered(msgspec.Struct):
    sequence_number: Raw = ABSENT


class ResumableStream(NamedTuple):
    """A stream as far as it came, and the exchanges that brought it, in order.

    `size` is the bytes of their bodies. Of one that has come to its end no exchange is named.
    """

    body: bytes
    exchange_ids: tuple[str, ...]
    size: int


class ResumableStreams:
    """The beginnings of streams that broke off, by tenant and response. Used by one thread."""

    def __init__(self, max_streams: int = MAX_STREAMS, max_bytes: int = MAX_BYTES) -> None:
        self._max_streams = max_streams
        self._max_bytes = max_bytes
        self._held: OrderedDict[Key, ResumableStream] = OrderedDict()
        self.bytes = 0

    @property
    def exchange_ids(self) -> frozenset[str]:
        """Return the exchanges that it takes to build what is held again."""
        return frozenset(chain.from_iterable(held.exchange_ids for held in self._held.values()))

    def prepend(self, request: Request, answer: AnswerDraft, tail: bytes) -> ResumableStream:
        """Return what an exchange brought, behind what came before it where it is a tail."""
        own = request.exchange_id
        size = len(request.body or b"") + len(tail)
        held = None
        if request.target_response_id is not None and answer.transport is Transport.SSE:
            held = self._held.get((request.tenant_id, request.target_response_id))
        body = tail if held is None else join_streams(held.body, tail)
        if held is None or body is tail:
            return ResumableStream(tail, (own,), size)
        if own in held.exchange_ids:  # it is read again
            return ResumableStream(body, held.exchange_ids, held.size)
        return ResumableStream(body, (*held.exchange_ids, own), held.size + size)

    def note(
        self, request: Request, classified: ClassifiedResponse, stream: ResumableStream
    ) -> None:
        """Keep what came of a stream, if it broke off and can be resumed.

        One that is held stays as it is where it has ended since, or another exchange went on.
        """
        outcome = classified.outcome
        if classified.state is not State.INTERRUPTED or outcome.response_id is None:
            return
        key = request.tenant_id, outcome.response_id
        held = self._held.get(key)
        if held and (not held.exchange_ids or request.exchange_id in held.exchange_ids[:-1]):
            return
        if is_background(outcome.partial):
            self.keep(key, stream)

    def note_end(self, request: Request, classified: ClassifiedResponse) -> None:
        """Name no exchanges of a stream any more whose response has come whole, however it did.

        It is held on, as it may be resumed once more, but is not worth building again.
        """
        outcome = classified.outcome
        if outcome.response is None or not classified.state.is_final:
            return
        key = request.tenant_id, outcome.response_id or ""
        if key in self._held:
            self._held[key] = self._held[key]._replace(exchange_ids=())

    def keep(self, key: Key, stream: ResumableStream) -> None:
        """Keep what came of a stream, in the place of what was kept of it before."""
        self.drop(key)
        if len(stream.exchange_ids) > _MAX_EXCHANGES:
            return
        self._held[key] = stream
        self.bytes += stream.size
        while self.bytes > self._max_bytes or len(self._held) > self._max_streams:
            self.drop(next(iter(self._held)))

    def drop(self, key: Key) -> None:
        """Forget a stream."""
        held = self._held.pop(key, None)
        self.bytes -= held.size if held else 0


def join_streams(head: bytes, tail: bytes) -> bytes:
    """Return a stream whose `tail` comes behind its `head`, which it may repeat in part.

    Where an event is missing between the two, or one has no number, it is the tail alone.
    """
    first = next((n for n in map(_read_number, parse_stream(tail)) if n is not None), None)
    if first is None:
        return tail
    before: list[bytes] = []
    last = None
    for event in parse_stream(head):
        number = _read_number(event)
        if number is not None and number < first:
            before.append(_format_frame(event))
            last = number
    return b"".join((*before, tail.removeprefix(BOM))) if last == first - 1 else tail


def _read_number(event: Event) -> int | None:
    try:
        return json_text.read_int(json_text.slice_members(event.data, _Numbered).sequence_number)
    except json_text.UnreadableError:
        return None


def _format_frame(event: Event) -> bytes:
    lines = [b"event: " + event.name] if event.name else []
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return b"\n".join((*lines, b"", b""))
