"""Relate requests to responses that are there already: polls, resumed streams, deletions.

A response that runs in the background is polled, streamed again and cancelled, by its id. Each of
these updates the stored response. The snapshots that polls and cancels bring share one row among
the exchanges, made of the tenant and the response's id, so that a client that asks every second
leaves two rows behind and not a thousand. A stream has a row of its own: text comes in it.

The API has deleted what it answers with a 2xx, whatever the body says of it: servers differ there.

Events are numbered by `sequence_number`. What came before the first event of a tail is put in
front of it, where nothing is missing between the two. Only responses that run in the background
can be resumed, so only theirs are kept. Bounded in number and bytes; the oldest go first.

Nothing here outlives the process: it is built again from the frames of the exchanges that brought
it, which the journal keeps as long as `exchange_ids` names them.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from itertools import chain
from typing import NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from response_store import jsontext
from response_store.ingest.draft import AnswerDraft, Draft, Ending, Request
from response_store.ingest.result_state import ClassifiedResponse
from response_store.model.records import Api, Deletion, EndedBy, State, Transport
from response_store.openai_api.endpoints import Skip
from response_store.openai_api.outcome import ParsedResponse, Usage
from response_store.openai_api.sse import BOM, Event, parse_stream

_NAMESPACE = uuid.UUID("c1b0b6a5-1a5c-5d0e-8f43-6f0a5f1e7d2b")


class _Background(msgspec.Struct):
    background: Raw = jsontext.ABSENT


def normalize_poll(
    request: Request, classified: ClassifiedResponse, transport: Transport
) -> tuple[Request, ClassifiedResponse] | Skip:
    """Return request and answer as they fill a row, or a reason where no response came.

    What was answered is believed by its shape alone, as any host may have paths like the API's.
    """
    outcome = classified.outcome
    object_came = outcome.response_id is not None and bool(outcome.response or outcome.partial)
    if classified.state is State.REFUSED or not (object_came or outcome.items):
        return Skip.NO_RESPONSE
    response_id = outcome.response_id or request.target_response_id
    outcome = replace(outcome, response_id=response_id)
    if transport is not Transport.SSE:
        request = replace(
            request, exchange_id=_build_shared_id(request.tenant_id, response_id or "")
        )
        outcome = replace(outcome, usage=_count_new_usage(outcome))
    return request, replace(classified, outcome=outcome)


def is_background(text: bytes | None) -> bool:
    """Return whether a response object (JSON text) says that it runs in the background."""
    try:
        seen = jsontext.slice_members(text or b"", _Background)
    except jsontext.UnreadableError:
        return False
    return bytes(seen.background) == b"true"


def _build_shared_id(tenant_id: str, response_id: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{tenant_id}\0{response_id}"))


def _count_new_usage(outcome: ParsedResponse) -> Usage:
    """Return tokens that no other row counts: those of a response that was answered before it
    ran.
    """
    return outcome.usage if is_background(outcome.response or outcome.partial) else Usage()


_MAX_TOMBSTONES = 1024  # responses: those whose other requests may still be under way
_UNKNOWN = frozenset({404, 405, 410, 501})  # the API has no such response, or deletes none at all

Key = tuple[str, str]
"""Tenant and response id."""


class Tombstones:
    """The last deletions, in the order in which their answers came. Used by one thread.

    What was asked before a response was deleted and ends behind it, a slow poll or a stream that
    is cut off, does not bring the response back. `of_unknown`: whether to delete here as well what
    the API says that it has not got.
    """

    def __init__(self, *, of_unknown: bool = False) -> None:
        self._of_unknown = of_unknown
        self._deleted_at: OrderedDict[Key, float] = OrderedDict()  # Unix seconds

    @property
    def keys(self) -> frozenset[Key]:
        """Return tenant and response id of each, at most 1024."""
        return frozenset(self._deleted_at)

    def read(self, request: Request, ending: Ending) -> Deletion | Skip:
        """Return the deletion that a request came to, or why it came to none.

        Reading it again changes nothing.
        """
        answer = ending.answer
        if (
            not request.target_response_id
            or answer is None
            or not self._is_gone(answer.status_code)
        ):
            return Skip.DELETION
        key = request.tenant_id, request.target_response_id
        deleted_at = request.started_at + (ending.duration_ms or 0) / 1000
        before = self._deleted_at.pop(key, deleted_at)
        self._deleted_at[key] = max(before, deleted_at)
        if len(self._deleted_at) > _MAX_TOMBSTONES:
            self._deleted_at.popitem(last=False)
        return Deletion(*key)

    def covers(self, key: Key, started_at: float) -> bool:
        """Return whether a response was deleted after a request that asked for it began."""
        deleted_at = self._deleted_at.get(key)
        return deleted_at is not None and started_at < deleted_at

    def _is_gone(self, status: int) -> bool:
        return 200 <= status < 300 or (self._of_unknown and status in _UNKNOWN)


def build_deletion(tenant_id: str, response_id: str, now: float) -> Draft:
    """Return a deletion that this proxy was asked for itself; `now` is Unix seconds."""
    request = Request(
        exchange_id="", tenant_id=tenant_id, api=Api.RESPONSES, method="DELETE", scheme="", host="",
        path="", body=None, started_at=now, target_response_id=response_id,
    )  # fmt: skip
    answer = AnswerDraft(Transport.HTTP, 204, None, None)
    return Draft(request, Ending(EndedBy.PROXY, 0.0, answer=answer))


MAX_STREAMS = 64
MAX_BYTES = 8 << 20
_MAX_EXCHANGES = 64  # that one stream is put together of


class _Numbered(msgspec.Struct):
    sequence_number: Raw = jsontext.ABSENT


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
        """Keep what was received of a stream, instead of what was kept of it before."""
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
        return jsontext.read_int(jsontext.slice_members(event.data, _Numbered).sequence_number)
    except jsontext.UnreadableError:
        return None


def _format_frame(event: Event) -> bytes:
    lines = [b"event: " + event.name] if event.name else []
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return b"\n".join((*lines, b"", b""))
