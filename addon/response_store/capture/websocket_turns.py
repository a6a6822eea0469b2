"""Tell which turn a message of a socket belongs to, and what request began it.

A socket carries several streams side by side, named by `stream_id`, a stream one response after the
other. Only some messages carry their response, and with it its id: the first of them binds the turn
that waits longest in the stream. All others go to the stream's latest turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from response_store.capture.draft import RequestHead
from response_store.capture.exchange import Exchange
from response_store.model.records import Transport
from response_store.openai_api.websocket_messages import NO_STREAM_ID, ServerMessage


@dataclass(slots=True, eq=False)
class WebSocketTurn:
    """An exchange that gets its answer in messages; they are kept as a stream of events.

    `key` is its name among the live exchanges, `held` the bytes of its request that count
    against the budget. `response_id` is known once the server has named it.
    """

    key: str
    number: int
    exchange: Exchange
    stream_id: bytes
    held: int
    previous_response_id: str | None = None
    response_id: str | None = field(default=None)

    def refused(self, status: int | None) -> None:
        """Note that the server answered with an error that stands for this HTTP status."""
        answer = self.exchange.answer
        if answer is not None and status is not None:
            self.exchange.answer = msgspec.structs.replace(answer, status_code=status)

    def release(self) -> None:
        """Give back the memory of the answer."""
        if self.exchange.stream is not None:
            self.exchange.stream.release()


_MAX_ID_CHARS = 1000  # the head of a frame is bounded
TOO_LARGE = "request body: above max_body_bytes, or more than may be held at once"


def build_turn_request(
    upgrade: RequestHead, turn: int, started_at: float, *, too_large: bool
) -> RequestHead:
    """Return the head of a `response.create`; `started_at` is Unix seconds."""
    return msgspec.structs.replace(
        upgrade,
        turn=turn,
        started_at=started_at,
        content_encoding="",
        transport=Transport.WEBSOCKET.value,
        missing=TOO_LARGE if too_large else None,
    )


def build_unasked_request(
    upgrade: RequestHead,
    turn: int,
    started_at: float,
    *,
    previous_response_id: str | None,
    stored: bool,
    steered: Sequence[bytes],
) -> RequestHead:
    """Return the head of what led to a response that no `response.create` asked for.

    Steering does: `steered` are the messages that the server took into it. `stored` is what the
    response says of being stored upstream: the settings of the one before it go on.
    """
    request = build_turn_request(upgrade, turn, started_at, too_large=False)
    return msgspec.structs.replace(
        request,
        steered=tuple(map(len, steered)),
        previous_response_id=(previous_response_id or "")[:_MAX_ID_CHARS] or None,
        stored=stored,
    )


_MAX_ENDED = 64  # responses that have ended, whose late messages are nobody's


@dataclass(slots=True)
class MessageStream:
    """The turns of one stream, oldest first. `failed` has ended with an error, but may go on."""

    waiting: deque[WebSocketTurn] = field(default_factory=deque)
    running: list[WebSocketTurn] = field(default_factory=list)
    failed: WebSocketTurn | None = None

    @property
    def empty(self) -> bool:
        return not (self.waiting or self.running or self.failed)

    @property
    def latest(self) -> WebSocketTurn | None:
        """Return the turn that a message without an id belongs to."""
        if self.running:
            return self.running[-1]
        return self.waiting[0] if self.waiting else self.failed

    @property
    def error_target(self) -> WebSocketTurn | None:
        """Return the turn that an error is about: the last one that is not answered yet."""
        if self.waiting:
            return self.waiting[0]
        return self.running[-1] if self.running else None


class MessageStreams:
    """The streams of one socket. A stream exists as long as it has turns."""

    def __init__(self) -> None:
        self._streams: dict[bytes, MessageStream] = {}
        self._bound: dict[str, WebSocketTurn] = {}
        self._ended: deque[str] = deque(maxlen=_MAX_ENDED)

    @property
    def count(self) -> int:
        """Return how many turns there are."""
        return sum(1 for _ in self.all())

    def ask(self, turn: WebSocketTurn) -> WebSocketTurn | None:
        """Add a turn that waits for its response; return the failed one that it displaces."""
        stream = self._streams.setdefault(turn.stream_id, MessageStream())
        stream.waiting.append(turn)
        failed, stream.failed = stream.failed, None
        if failed is not None:
            self._forget(failed)
        return failed

    def find(self, message: ServerMessage) -> MessageStream | None:
        """Return the stream of a message; one that names none may mean the only one there is."""
        stream = self._streams.get(message.stream_id)
        if stream is None and message.stream_id == NO_STREAM_ID and len(self._streams) == 1:
            (stream,) = self._streams.values()
        return stream

    def find_by_response(self, response_id: str) -> WebSocketTurn | None:
        """Return the turn of a response."""
        return self._bound.get(response_id)

    def has_ended(self, response_id: str) -> bool:
        """Return whether a response is known to have ended."""
        return response_id in self._ended

    def bind(self, turn: WebSocketTurn, response_id: str) -> None:
        """Note that the server has named the response of a turn."""
        stream = self._streams.setdefault(turn.stream_id, MessageStream())
        if turn in stream.waiting:
            stream.waiting.remove(turn)
        if turn is not stream.failed:
            stream.running.append(turn)
        turn.response_id = response_id
        self._bound[response_id] = turn

    def rename(self, turn: WebSocketTurn, response_id: str) -> None:
        """Note that the server names the response of a turn differently from here on."""
        if turn.response_id is not None:
            self._ended.append(turn.response_id)
        turn.response_id = response_id
        self._bound[response_id] = turn

    def fail(self, turn: WebSocketTurn) -> WebSocketTurn | None:
        """Note that a turn ended with an error; return the failed one that it displaces."""
        stream = self._streams[turn.stream_id]
        self._take_out(turn, stream)
        failed, stream.failed = stream.failed, turn
        if failed is not None:
            self._forget(failed)
        return failed

    def end(self, turn: WebSocketTurn) -> None:
        """Note that a turn has ended for good."""
        stream = self._streams.get(turn.stream_id)
        if stream is not None:
            self._take_out(turn, stream)
            if stream.failed is turn:
                stream.failed = None
            if stream.empty:
                del self._streams[turn.stream_id]
        self._forget(turn)

    def all(self) -> Iterator[WebSocketTurn]:
        """Yield every turn that has not ended."""
        for stream in list(self._streams.values()):
            yield from (*stream.running, *stream.waiting)
            if stream.failed is not None:
                yield stream.failed

    @staticmethod
    def _take_out(turn: WebSocketTurn, stream: MessageStream) -> None:
        if turn in stream.running:
            stream.running.remove(turn)
        elif turn in stream.waiting:
            stream.waiting.remove(turn)

    def _forget(self, turn: WebSocketTurn) -> None:
        if turn.response_id is not None:
            self._bound = {name: one for name, one in self._bound.items() if one is not turn}
            self._ended.append(turn.response_id)
