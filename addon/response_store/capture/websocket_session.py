"""Turn the messages of one socket into exchanges: one state machine.

Several responses pass on a socket, several at a time. Each is a turn, an exchange of its own: it
begins with a `response.create`, or with a response that nobody asked for (steering), and ends
with its terminal event, with an error, or with the socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Raw

from response_store import jsontext
from response_store.capture import acknowledgement
from response_store.capture.budget import Budget
from response_store.capture.draft import AnswerHead, RequestHead
from response_store.capture.exchange import Exchange
from response_store.capture.websocket_turns import (
    MessageStream,
    MessageStreams,
    WebSocketTurn,
    build_turn_request,
    build_unasked_request,
)
from response_store.diagnostics import Counters
from response_store.limits import OPEN_TURNS, OUTLINED
from response_store.model.records import EndedBy
from response_store.openai_api.websocket_messages import (
    CONNECTION_LIMIT,
    CREATE,
    NO_STREAM_ID,
    STEER,
    ServerMessage,
    ServerMessageKind,
    encode_frame,
    encode_frame_pieces,
    read_client,
    read_server,
    split_message,
)

_MAX_STEERS = 64  # that may wait for their responses
_MAX_MESSAGES = 10_000  # of one message


class ExchangeSink(Protocol):
    """Live exchanges by key: where turns begin and end."""

    @property
    def budget(self) -> Budget: ...

    def begin(
        self,
        flow_id: str,
        request: RequestHead,
        body: bytes | None,
        *,
        live: bool,
        credentials: tuple[bytes, ...] = (),
    ) -> Exchange: ...

    def feed(
        self,
        exchange: Exchange,
        chunk: bytes | Sequence[bytes],
        *,
        ends: bool = True,
        at: float | None = None,
        is_terminal: bool = False,
    ) -> bool: ...

    def find_moment(self, exchange: Exchange, at: float | None) -> float: ...

    def end_early(self, flow_id: str, by: EndedBy, at: float) -> Exchange | None: ...

    def finish(
        self, flow_id: str, by: EndedBy, body: bytes | None = None, at: float | None = None
    ) -> Exchange | None: ...

    def amend(self, exchange: Exchange, at: float) -> bool: ...


class Socket:
    """State of one socket. Used by the event loop's thread only.

    `head` is the answer to the upgrade, as that of a stream of events: turns inherit it. Times
    (`at`) are Unix seconds. What can't be read is counted and changes nothing.
    """

    def __init__(
        self,
        flow_id: str,
        upgrade: RequestHead,
        head: AnswerHead,
        *,
        exchanges: ExchangeSink,
        counters: Counters,
        limit: int,
        live: bool = True,
        credentials: tuple[bytes, ...] = (),
    ) -> None:
        self.live = live
        self._flow_id = flow_id
        self._upgrade = upgrade
        self._head = head
        self._exchanges = exchanges
        self._counters = counters
        self._limit = limit
        self._credentials = credentials
        self._streams = MessageStreams()
        self._turns = 0
        self._steers: list[tuple[str, bytes]] = []

    def client(self, content: bytes, at: float) -> None:
        """Take a message of the client."""
        try:
            message = read_client(content)
        except jsontext.UnreadableError:
            for part in self._split_message(content):
                self.client(part, at)
            return
        if message.type == CREATE:
            self._ask(message.stream_id, message.previous_response_id, content, at)
        elif message.type == STEER:
            self._steer(message.previous_response_id or "", content)

    def refuse(self, content: bytes, at: float) -> tuple[Exchange | None, bytes] | None:
        """Refuse a message of the client, if it asks for a response; return None where it asks for
        none.

        Else return its exchange, and the error that the client gets instead.
        """
        try:
            message = read_client(content)
        except jsontext.UnreadableError:
            return None
        if message.type != CREATE:
            return None
        turn = self._ask(message.stream_id, message.previous_response_id, content, at)
        if turn is None:
            return None
        stream_fields = (
            {"stream_id": Raw(message.stream_id)} if message.stream_id != NO_STREAM_ID else {}
        )
        error = {
            "type": "error",
            "status": acknowledgement.STATUS,
            **stream_fields,
            "error": acknowledgement.ERROR,
        }
        answer = jsontext.encode_object(error)
        turn.refused(acknowledgement.STATUS)
        self._feed(turn, answer, at)
        return self._end(turn, EndedBy.PROXY, at), answer

    def server(self, content: bytes, at: float) -> list[Exchange]:
        """Take a message of the server; return the exchanges of the turns that it ends."""
        try:
            message = read_server(content)
        except jsontext.UnreadableError:
            return [one for part in self._split_message(content) for one in self.server(part, at)]
        if message.kind is ServerMessageKind.ERROR:
            return self._error(message, content, at)
        turn = self._find_turn(message, at)
        if turn is None:
            self._counters.add("websocket.beside")
            return []
        is_terminal = message.kind is ServerMessageKind.TERMINAL
        self._feed(turn, content, at, is_terminal=is_terminal)
        if not is_terminal:
            return []
        return _as_list(self._end(turn, EndedBy.TERMINAL_EVENT, at))

    def end(self, by: EndedBy, at: float, problem: tuple[str, str] | None = None) -> list[Exchange]:
        """End every turn, as the socket has ended; return the exchanges that this ends.

        `problem` are the code and the words with which it was closed.
        """
        while self._steers:
            self._drop_steer(0)
        for turn in self._streams.all():
            turn.exchange.problem = problem
        ended = [self._end(turn, by, at) for turn in self._streams.all()]
        return [exchange for exchange in ended if exchange is not None]

    def _split_message(self, content: bytes) -> list[bytes]:
        """Return the messages of one that is no JSON object itself; count it where there are
        none.
        """
        messages = list(split_message(content)) if len(content) <= self._limit else []
        if not messages or messages == [content]:
            self._counters.add("websocket.unreadable")
            return []
        return messages[:_MAX_MESSAGES]

    # Beginning

    def _ask(
        self, stream_id: bytes, previous: str | None, content: bytes, at: float
    ) -> WebSocketTurn | None:
        if self._is_full():
            return None
        held = self._hold(content)
        request = build_turn_request(self._upgrade, self._next_number(), at, too_large=not held)
        turn = self._begin(request, content if held else None, stream_id, held)
        turn.previous_response_id = previous
        self._release(self._streams.ask(turn))
        return turn

    def _begin(
        self, request: RequestHead, body: bytes | None, stream_id: bytes, held: int = 0
    ) -> WebSocketTurn:
        key = f"{self._flow_id}#{request.turn}"
        exchange = self._exchanges.begin(
            key, request, body, live=self.live, credentials=self._credentials
        )
        exchange.take_head(self._head)
        exchange.start_stream()
        return WebSocketTurn(key, request.turn, exchange, stream_id, held)

    def _is_full(self) -> bool:
        """Return whether no more turns are followed at once, and count the one that is not."""
        if self._streams.count < OPEN_TURNS:
            return False
        self._counters.add("websocket.too_many_turns")
        return True

    def _next_number(self) -> int:
        self._turns += 1
        return self._turns

    def _hold(self, content: bytes) -> int:
        """Count a message against the budget; 0 where it may not be held."""
        size = len(content)
        return size if size <= self._limit and self._exchanges.budget.take(size) else 0

    # Binding

    def _find_turn(self, message: ServerMessage, at: float) -> WebSocketTurn | None:
        """Return the turn of a message; it begins here where nobody asked for its response."""
        stream = self._streams.find(message)
        if message.response_id is None:
            return stream.latest if stream else None
        turn = self._streams.find_by_response(message.response_id)
        if turn is not None or self._streams.has_ended(message.response_id):
            return turn
        turn = self._find_renamed(stream, message)
        if turn is not None:
            self._streams.rename(turn, message.response_id)
            return turn
        turn = self._find_waiting(stream, message)
        if turn is None:
            if self._is_full():
                return None
            turn = self._begin_unasked(message, at)
        self._streams.bind(turn, message.response_id)
        return turn

    def _find_renamed(
        self, stream: MessageStream | None, message: ServerMessage
    ) -> WebSocketTurn | None:
        """Return the turn that runs, where its response goes on under another id.

        A response of its own begins with `response.created`, or is asked for.
        """
        if stream is None or message.begins or len(stream.running) != 1:
            return None
        return (
            stream.running[0]
            if message.kind is ServerMessageKind.TERMINAL or not stream.waiting
            else None
        )

    def _find_waiting(
        self, stream: MessageStream | None, message: ServerMessage
    ) -> WebSocketTurn | None:
        """Return the turn that waits for this response."""
        if stream is None:
            return None
        if not stream.waiting:
            failed = stream.failed
            late = (
                message.kind is ServerMessageKind.TERMINAL and failed and failed.response_id is None
            )
            return failed if late else None
        turn = stream.waiting[0]
        previous = message.previous_response_id
        steered = any(steered == previous for steered, _ in self._steers)
        return None if steered and turn.previous_response_id != previous else turn

    def _begin_unasked(self, message: ServerMessage, at: float) -> WebSocketTurn:
        previous = message.previous_response_id
        steered = [at for at, (steered, _) in enumerate(self._steers) if steered == previous]
        taken = [self._drop_steer(place) for place in reversed(steered)]
        steered_by = tuple(reversed(taken))
        request = build_unasked_request(
            self._upgrade,
            self._next_number(),
            at,
            previous_response_id=previous,
            stored=message.stored,
            steered=steered_by,
        )
        return self._begin(request, b"".join(steered_by) or None, message.stream_id)

    def _steer(self, response_id: str, content: bytes) -> None:
        if len(self._steers) == _MAX_STEERS:
            self._drop_steer(0)
        if self._hold(content):
            self._steers.append((response_id, content))
        else:
            self._counters.add("websocket.steer_too_large")

    def _drop_steer(self, place: int) -> bytes:
        _, content = self._steers.pop(place)
        self._exchanges.budget.release(len(content))
        return content

    # Ending

    def _error(self, message: ServerMessage, content: bytes, at: float) -> list[Exchange]:
        if message.code == CONNECTION_LIMIT:
            return self._limit_reached(message, content, at)
        stream = self._streams.find(message)
        if stream is None:
            return self._note_unmatched(content, at)
        turn = stream.error_target
        if turn is None:
            self._counters.add("websocket.beside")
            return []
        return self._fail(turn, message, content, at)

    def _fail(
        self, turn: WebSocketTurn, message: ServerMessage, content: bytes, at: float
    ) -> list[Exchange]:
        """End a turn with an error. It stays in its stream: `response.failed` may follow."""
        if turn.response_id is None:
            turn.refused(message.status)
        self._feed(turn, content, at)
        self._release_held(turn)
        exchange = self._exchanges.finish(turn.key, EndedBy.BODY, None, at)
        self._release(self._streams.fail(turn))
        return _as_list(exchange)

    def _limit_reached(self, message: ServerMessage, content: bytes, at: float) -> list[Exchange]:
        """End the turns that wait; those that run may still end well, or end with the socket."""
        open_turns = [turn for turn in self._streams.all() if not turn.exchange.ended]
        waiting = [turn for turn in open_turns if turn.response_id is None]
        self._note_unmatched(
            content, at, [turn for turn in open_turns if turn.response_id is not None]
        )
        return [one for turn in waiting for one in self._fail(turn, message, content, at)]

    def _note_unmatched(
        self, content: bytes, at: float, turns: list[WebSocketTurn] | None = None
    ) -> list[Exchange]:
        """Note an error that names no turn in all that run: they end with it if nothing follows."""
        if turns is None:
            turns = [turn for turn in self._streams.all() if not turn.exchange.ended]
        if not turns:
            self._counters.add("websocket.beside")
        for turn in turns:
            self._feed(turn, content, at)
        return []

    def _feed(
        self, turn: WebSocketTurn, content: bytes, at: float, *, is_terminal: bool = False
    ) -> None:
        """Take a message into a turn's answer; how it ends the turn is decided elsewhere."""
        if len(content) > OUTLINED:
            pieces = encode_frame_pieces(content)
            self._exchanges.feed(turn.exchange, pieces, ends=False, at=at, is_terminal=is_terminal)
            return
        frame, exchange = encode_frame(content), turn.exchange
        stream = exchange.stream
        now = self._exchanges.find_moment(exchange, at)
        if stream is None or not stream.feed_fast(frame, now):
            self._exchanges.feed(exchange, frame, ends=False, at=at)

    def _end(self, turn: WebSocketTurn, by: EndedBy, at: float) -> Exchange | None:
        """End a turn for good; one that had ended with an error may have got more."""
        ended = self._exchanges.finish(turn.key, by, None, at)
        if ended is None and self._exchanges.amend(turn.exchange, at):
            ended = turn.exchange
        self._streams.end(turn)
        self._release(turn)
        return ended

    def _release(self, turn: WebSocketTurn | None) -> None:
        if turn is not None:
            self._release_held(turn)
            turn.release()

    def _release_held(self, turn: WebSocketTurn) -> None:
        self._exchanges.budget.release(turn.held)
        turn.held = 0


def _as_list(exchange: Exchange | None) -> list[Exchange]:
    return [] if exchange is None else [exchange]
