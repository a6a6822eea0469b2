"""Put frames back together to drafts, and changes into frames of their own.

Of an exchange that is open only the places of its frames are held. Its bodies are read when it
ends, is interrupted, or gets the row that says that it is open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from response_store.capture.draft import AnswerHead, Arrivals, EndHead, PartHead, RequestHead
from response_store.ingest.draft import (
    AnswerDraft,
    Draft,
    Ending,
    ReadRequest,
    Request,
    build_exchange_id,
)
from response_store.ingest.event_times import join_arrivals
from response_store.ingest.request_reader import read_steering
from response_store.journal.errors import DamagedFrameError
from response_store.journal.frames import Frame, FrameRef
from response_store.model.records import Api, Change, Deletion, EndedBy, Record, Transport

_DAMAGED = "a part of the answer is damaged in the journal"
T = TypeVar("T", bound=msgspec.Struct)

# A member is looked up in a tenth of the time that its class takes to find it.
_APIS = {member.value: member for member in Api}
_TRANSPORTS = {member.value: member for member in Transport}
_ENDS = {member.value: member for member in EndedBy}

read_request_head = msgspec.msgpack.Decoder(RequestHead).decode
read_part_head = msgspec.msgpack.Decoder(PartHead).decode
read_end_head = msgspec.msgpack.Decoder(EndHead).decode


class ExchangeDraft(msgspec.Struct, frozen=True):
    """A draft, and the flow and turn that it came from."""

    flow_id: str
    turn: int
    draft: Draft


@dataclass(slots=True)
class OpenExchange:
    """The frames of an exchange that has not ended.

    `request` is its OPEN frame, or the RECORD of its open row. `is_interrupted`: the proxy stopped
    meanwhile, and the row says so, but its end may still come.
    """

    request: FrameRef | None = None
    parts: list[FrameRef] = field(default_factory=list)
    is_interrupted: bool = False


_NOTHING = OpenExchange()  # of an exchange whose end says all


class OpenExchanges:
    """The open exchanges of one journal, by key. `read` raises DamagedFrameError. Not thread-safe.

    All that returns drafts raises DamagedFrameError where the request can't be read.
    """

    def __init__(self, read: Callable[[FrameRef], Frame]) -> None:
        self._read = read
        self._open: dict[int, OpenExchange] = {}

    def __contains__(self, key: int) -> bool:
        return key in self._open

    def begin(self, ref: FrameRef) -> None:
        """Note the frame that has the request, or the open row, of an exchange."""
        self._exchange(ref.key).request = ref

    def add_part(self, ref: FrameRef) -> None:
        """Note more of an answer."""
        self._exchange(ref.key).parts.append(ref)

    def end(self, frame: Frame) -> ExchangeDraft:
        """Return the exchange that a frame ends; it is forgotten with that."""
        head = decode_head(read_end_head, frame.head)
        before = self._open.pop(frame.key, _NOTHING)
        return self._ended(head, frame.body, _NOTHING if head.is_whole else before)

    def forget(self, key: int) -> None:
        """Forget an exchange: its end came in another way."""
        self._open.pop(key, None)

    def opened(self, key: int) -> ExchangeDraft:
        """Return an open exchange as one that has no ending yet."""
        head, body = self._request(self._open[key])
        return ExchangeDraft(head.flow_id, head.turn, Draft(build_request(head, body)))

    @property
    def has_uninterrupted(self) -> bool:
        """Return whether something is open that was not interrupted."""
        return any(not one.is_interrupted for one in self._open.values())

    def interrupt(self) -> list[tuple[int, OpenExchange]]:
        """Return the keys of what is open and was not interrupted before, and note that it is."""
        uninterrupted = [(key, one) for key, one in self._open.items() if not one.is_interrupted]
        for _, exchange in uninterrupted:
            exchange.is_interrupted = True
        return uninterrupted

    def interrupted(self, exchange: OpenExchange) -> ExchangeDraft:
        """Return an exchange as far as it came, ended because the proxy stopped."""
        head, body = self._request(exchange)
        answered = self._parts(exchange.parts)
        ending = Ending(
            EndedBy.PROXY_STOPPED,
            answered.elapsed_ms,
            answered.first_event_ms,
            build_answer(answered.head, answered.body, None, answered.damage, answered.arrivals),
        )
        return ExchangeDraft(head.flow_id, head.turn, Draft(build_request(head, body), ending))

    def refs(self) -> Iterator[FrameRef]:
        """Yield every frame that is needed as long as exchanges are open."""
        for exchange in self._open.values():
            yield from list_refs(exchange)

    def relocate(self, moved: Mapping[FrameRef, FrameRef]) -> None:
        """Note that frames lie somewhere else now."""
        for exchange in self._open.values():
            if exchange.request is not None:
                exchange.request = moved.get(exchange.request, exchange.request)
            exchange.parts = [moved.get(part, part) for part in exchange.parts]

    def refs_of(self, key: int) -> list[FrameRef]:
        """Return the frames of an open exchange; none where it is not open."""
        exchange = self._open.get(key)
        return list(list_refs(exchange)) if exchange is not None else []

    def _exchange(self, key: int) -> OpenExchange:
        return self._open.setdefault(key, OpenExchange())

    def _ended(self, head: EndHead, body: bytes, before: OpenExchange) -> ExchangeDraft:
        size = head.request_size
        if head.request is not None:
            request, request_body = head.request, body[:size]
        else:
            request, request_body = self._request(before)
        came = self._parts(before.parts)
        rest, raw = split_answer(head, body)
        damage = came.damage
        arrivals = join_arrivals(came.arrivals, head.arrivals, rest)
        ending = Ending(
            _ENDS[head.ended_by],
            head.duration_ms,
            head.first_event_ms if head.first_event_ms is not None else came.first_event_ms,
            build_answer(head.answer or came.head, came.body + rest, raw, damage, arrivals),
            head.problem,
        )
        draft = Draft(build_request(request, request_body), ending)
        return ExchangeDraft(request.flow_id, request.turn, draft)

    def _request(self, exchange: OpenExchange) -> tuple[RequestHead, bytes]:
        if exchange.request is None:
            raise DamagedFrameError("the request of an exchange is not in the journal")
        frame = self._read(exchange.request)
        return decode_head(read_request_head, frame.head), frame.body

    def _parts(self, refs: Sequence[FrameRef]) -> _AnswerParts:
        """Read what came of an answer before its end, up to the first part that is damaged."""
        came = _AnswerParts()
        if not refs:
            return came
        bodies: list[bytes] = []
        try:
            for ref in refs:
                frame = self._read(ref)
                head = decode_head(read_part_head, frame.head)
                came.head = head.answer or came.head
                came.elapsed_ms = head.elapsed_ms
                if came.first_event_ms is None:
                    came.first_event_ms = head.first_event_ms
                bodies.append(frame.body)
                came.arrivals = join_arrivals(came.arrivals, head.arrivals, frame.body)
        except DamagedFrameError:
            came.damage, came.arrivals = _DAMAGED, None
        came.body = b"".join(bodies)
        return came


@dataclass(slots=True)
class _AnswerParts:
    """What came of an answer before its end."""

    head: AnswerHead | None = None
    body: bytes = b""
    elapsed_ms: float | None = None
    first_event_ms: float | None = None
    damage: str | None = None
    arrivals: Arrivals | None = field(default_factory=lambda: Arrivals(0.0, [], []))


def list_refs(exchange: OpenExchange) -> Iterator[FrameRef]:
    """Yield the frames of an exchange."""
    if exchange.request is not None:
        yield exchange.request
    yield from exchange.parts


def decode_head(decode: Callable[[bytes], T], head: bytes) -> T:
    """Return a frame's head. Raises DamagedFrameError where it is none of this version."""
    try:
        return decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedFrameError(f"a frame's head can't be read: {error}") from None


def split_answer(head: EndHead, body: bytes) -> tuple[bytes, bytes | None]:
    """Return the rest of the answer, and the answer as it came, of the body of an END frame."""
    end = len(body) - head.raw_size
    return body[head.request_size : end], body[end:] if head.raw_size else None


def build_request(head: RequestHead, body: bytes) -> Request:
    """Return the request of a head and its body. Raises DamagedFrameError."""
    try:
        api, transport = _APIS[head.api], _TRANSPORTS[head.transport]
    except KeyError as error:
        raise DamagedFrameError(f"a frame's head can't be read: {error}") from None
    return Request(
        exchange_id=build_exchange_id(head.flow_id, head.started_at, head.turn),
        tenant_id=head.tenant_id,
        api=api,
        method=head.method,
        scheme=head.scheme,
        host=head.host,
        port=head.port,
        path=head.path,
        body=None if head.missing is not None or head.steered is not None else body,
        started_at=head.started_at,
        target_response_id=head.target_response_id,
        transport=transport,
        missing=head.missing,
        marks=head.marks,
        preset=_read_steering(head, body),
        headers={"user_agent": head.user_agent} if head.user_agent else head.headers,
    )


def build_answer(
    head: AnswerHead | None,
    body: bytes,
    raw: bytes | None,
    damage: str | None,
    arrivals: Arrivals | None,
) -> AnswerDraft | None:
    """Return the answer of a head and its body; `damage` says what the journal lacks of it."""
    if head is None:
        return None
    return AnswerDraft(
        transport=_TRANSPORTS[head.transport],
        status_code=head.status_code,
        upstream_request_id=head.upstream_request_id,
        body=body if head.has_body else None,
        is_terminated=head.is_terminated and damage is None,
        too_large=head.too_large,
        decode_error=damage or head.decode_error,
        raw=raw,
        limits=head.limits,
        arrivals=arrivals,
    )


def _read_steering(head: RequestHead, body: bytes) -> ReadRequest | None:
    """Return what stands for the request of a response that steering messages led to."""
    if head.steered is None:
        return None
    ends = [sum(head.steered[: at + 1]) for at in range(len(head.steered))]
    messages = [body[end - size : end] for size, end in zip(head.steered, ends, strict=True)]
    return read_steering(messages, head.previous_response_id, stored=head.stored)


RECORD, DELETION, NOTHING = "record", "deletion", ""

_encode = msgspec.msgpack.Encoder().encode
_read_record = msgspec.msgpack.Decoder(Record).decode
_read_deletion = msgspec.msgpack.Decoder(Deletion).decode


class RecordHead(msgspec.Struct, array_like=True):
    """What a change came from. Times are Unix seconds.

    `ends` is False for the row of an exchange that is open. `kind` says what the frame's body is;
    where the exchange makes no row it is NOTHING, and `skipped` the reason. `deleted_at` is there
    for a deletion.
    """

    flow_id: str
    turn: int
    ends: bool
    kind: str = NOTHING
    skipped: str | None = None
    started_at: float = 0.0
    deleted_at: float | None = None


encode_head = _encode
read_record_head = msgspec.msgpack.Decoder(RecordHead).decode


def find_change_kind(change: Change) -> str:
    """Return what `decode_change` has to know of an encoded change."""
    return DELETION if isinstance(change, Deletion) else RECORD


def encode_change(change: Change) -> bytes:
    """Return a change as bytes."""
    return _encode(change)


def decode_change(kind: str, payload: bytes) -> Change:
    """Return an encoded change. Raises DamagedFrameError where it is none of this version."""
    try:
        return _read_deletion(payload) if kind == DELETION else _read_record(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedFrameError(f"a built change can't be read: {error}") from None
