"""Keep the sockets that are open, by flow: mitmproxy's hooks end here.

A socket is followed from its first message on, also where it was opened before this session.

It keeps every one, so a socket that is open all day would grow all day. Those that were handled are
removed; the last one stays, because others read it, and where flows are written to a file all of
them stay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from response_store.capture import flow_facts
from response_store.capture.exchange import Exchange
from response_store.capture.recorder import Recorder
from response_store.capture.websocket_session import Socket
from response_store.config import Config
from response_store.diagnostics import Counters
from response_store.jsontext import replace_unstorable
from response_store.model.records import Api, EndedBy, Transport
from response_store.openai_api.endpoints import Skip, normalize_path
from response_store.openai_api.websocket_messages import decode_binary

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow
    from mitmproxy.websocket import WebSocketData, WebSocketMessage

SEEN = 200
"""Messages that stay where a user looks at flows."""
SEEN_BYTES = 4 * 1024 * 1024
"""Bytes of these, unless a single message has more."""


class MessageTrimmer:
    """Keeps the newest messages of one list: at most twice what is asked for, at least the last
    one.
    """

    def __init__(self) -> None:
        self._bytes = 0  # since the list was last cut

    def trim(self, messages: list[Any], keep: int) -> None:
        """Cut the list to its last `keep` messages where the newest one has made it too long."""
        self._bytes += len(messages[-1].content)
        if len(messages) < 2 * keep and self._bytes <= 2 * SEEN_BYTES:
            return
        kept, size = 1, len(messages[-1].content)
        for message in reversed(messages[-keep:-1]):
            size += len(message.content)
            if size > SEEN_BYTES:
                break
            kept += 1
        del messages[:-kept]
        self._bytes = sum(len(message.content) for message in messages)


def count_kept_messages(master: Any, options: Any) -> int | None:
    """Return how many messages of a socket stay; None where all of them do.

    `save_stream_file` (`-w`) and `hardump` write whole flows when they end.
    """
    if options.save_stream_file or options.hardump:
        return None
    return 1 if type(master).__module__.endswith(".dump") else SEEN


Answer = Callable[["HTTPFlow", bytes], None]
_MAX_REASON = 500  # characters


@dataclass(slots=True)
class _FollowedSocket:
    socket: Socket
    trimmer: MessageTrimmer
    last: WebSocketMessage | None = None  # that was read


class Sockets:
    """Follows the WebSockets over which responses pass. Used by the event loop's thread only."""

    def __init__(self, config: Config, recorder: Recorder, counters: Counters) -> None:
        self._config = config
        self._recorder = recorder
        self._counters = counters
        self._sockets: dict[str, _FollowedSocket | None] = {}  # None: not one of ours
        self._requested: set[str] = set()

    @property
    def open_sockets(self) -> int:
        """Return how many sockets of ours are open."""
        return sum(tracked is not None for tracked in self._sockets.values())

    def follows(self, flow_id: str) -> bool:
        """Return whether a socket is followed here."""
        return flow_id in self._sockets

    def note_request(self, flow: HTTPFlow) -> None:
        """Note that a client asks for a socket. One that is none of ours is counted here."""
        reason = self._reason_against(flow)
        if reason is None:
            self._requested.add(flow.id)
        else:
            self._counters.add(f"skipped.{reason.value}")

    def answered(self, flow: HTTPFlow) -> None:
        """Note that a request has got its answer, or never will; it may have asked for a socket."""
        if flow.id not in self._requested:
            return
        self._requested.discard(flow.id)
        if flow.websocket is None:
            self._counters.add(f"skipped.{Skip.WEBSOCKET.value}")

    def message(self, flow: HTTPFlow, keep: int | None, answer: Answer) -> Awaitable[None] | None:
        """Take a message that passes; return what to await before it goes on.

        `keep` messages stay with the flow (None: all), `answer` sends one to the client.
        """
        tracked = self._find_socket(flow)
        if tracked is None or flow.websocket is None:
            return None
        messages = flow.websocket.messages
        if not messages:
            return None  # another script has taken it out
        ended: list[Exchange] = []
        if len(messages) > 1 and messages[-2] is not tracked.last:
            ended = self._read_missed(flow, tracked, messages, len(messages) - 1)
        ended += self._read(flow, tracked.socket, messages[-1], answer)
        tracked.last = messages[-1]
        if keep is not None and tracked.socket.live:
            tracked.trimmer.trim(messages, keep)
        return self._acknowledged(ended) if ended else None

    def ended(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """Take the end of a socket; called once. Return what a reader of a file awaits."""
        self._requested.discard(flow.id)
        tracked = self._find_socket(flow)  # also where none of its messages came here
        del self._sockets[flow.id]
        data = flow.websocket
        if tracked is None or data is None:
            return None
        if tracked.socket.live and self._recorder.has_stopped:
            return None  # cut by our own end, which has been written
        ended = self._read_missed(flow, tracked, data.messages, len(data.messages))
        by = _find_who_left(data.closed_by_client)
        at = data.timestamp_end or (data.messages[-1].timestamp if data.messages else 0.0)
        ended += tracked.socket.end(by, at, _describe_close(data))
        return None if tracked.socket.live else self._acknowledged(ended)

    def _read_missed(
        self, flow: HTTPFlow, tracked: _FollowedSocket, messages: list[WebSocketMessage], end: int
    ) -> list[Exchange]:
        """Read the messages before `end` whose hook never came; return the exchanges they end.

        A script that is loaded before ours and raises keeps it from us.
        """
        last = tracked.last
        if not end or messages[end - 1] is last:
            return []
        start = next((at for at in range(end, 0, -1) if messages[at - 1] is last), 0)
        if last is not None and not start:
            return []  # another script has taken it out, and perhaps others
        missed = messages[start:end]
        return [
            one for message in missed for one in self._read(flow, tracked.socket, message, None)
        ]

    def _read(
        self, flow: HTTPFlow, socket: Socket, message: WebSocketMessage, answer: Answer | None
    ) -> list[Exchange]:
        if message.dropped or (message.injected and not message.from_client):
            return []  # it does not reach the other side, or does not come from there
        content = message.content if message.is_text else decode_binary(message.content)
        if content is None:
            self._counters.add("websocket.binary")
            return []
        if not message.from_client:
            return socket.server(content, message.timestamp)
        if answer is not None and socket.live and self._recorder.rejects:
            return self._refuse(flow, socket, message, answer)
        socket.client(content, message.timestamp)
        return []

    def _refuse(
        self, flow: HTTPFlow, socket: Socket, message: WebSocketMessage, answer: Answer
    ) -> list[Exchange]:
        refused = socket.refuse(message.content, message.timestamp)
        if refused is None:
            return []
        _, error = refused  # nobody waits for a store that is out of reach
        message.dropped = True
        answer(flow, error)
        self._counters.add("rejected")
        return []

    def _acknowledged(self, ended: list[Exchange]) -> Awaitable[None] | None:
        waits = [wait for one in ended if (wait := self._recorder.acknowledged(one)) is not None]
        return _await_all(waits) if waits else None

    def _find_socket(self, flow: HTTPFlow) -> _FollowedSocket | None:
        try:
            return self._sockets[flow.id]
        except KeyError:
            ours = self._reason_against(flow) is None and flow.response is not None
            tracked = _FollowedSocket(self._socket(flow), MessageTrimmer()) if ours else None
            return self._sockets.setdefault(flow.id, tracked)

    def _socket(self, flow: HTTPFlow) -> Socket:
        headers = flow_facts.read_request_headers(flow, self._config)
        head = msgspec.structs.replace(
            flow_facts.build_answer_head(flow),
            transport=Transport.SSE.value,  # the form in which messages of a turn are kept
            content_encoding="",
        )
        return Socket(
            flow.id,
            flow_facts.build_request_head(flow, Api.RESPONSES, headers, self._config),
            head,
            exchanges=self._recorder,
            counters=self._counters,
            limit=self._config.capture.max_body_bytes,
            live=bool(flow.live),
            credentials=flow_facts.read_credentials(flow, self._counters),
        )

    def _reason_against(self, flow: HTTPFlow) -> Skip | None:
        """Return why a socket is none of ours; None where it is."""
        if not normalize_path(flow.request.path).endswith("/responses"):
            return Skip.WEBSOCKET
        capture = self._config.capture
        if not capture.admits(flow_facts.find_host(flow)):
            return Skip.HOST
        return None if Api.RESPONSES.value in capture.apis else Skip.API


async def _await_all(waits: list[Awaitable[None]]) -> None:
    for wait in waits:
        await wait


def _describe_close(data: WebSocketData) -> tuple[str, str] | None:
    """Return code and reason of a close that says why; None where it is none or a regular one."""
    if not data.close_reason:
        return None
    return f"websocket_close_{data.close_code}", replace_unstorable(data.close_reason[:_MAX_REASON])


def _find_who_left(by_client: bool | None) -> EndedBy:
    if by_client is None:  # a flow that was saved while its socket was open
        return EndedBy.PROXY_STOPPED
    return EndedBy.CLIENT if by_client else EndedBy.UPSTREAM
