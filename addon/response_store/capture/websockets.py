"""The sockets that are open, by flow: mitmproxy's hooks end here.

A socket is followed from its first message on, also where it was opened before this session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from response_store.capture import facts
from response_store.capture.draft import Draft
from response_store.capture.recorder import Recorder
from response_store.capture.websocket_socket import Socket
from response_store.capture.websocket_window import Window
from response_store.config import Config
from response_store.counts import Counts
from response_store.openai_api.endpoints import Skip
from response_store.store.records import Api, EndedBy

if TYPE_CHECKING:
    from mitmproxy.http import HTTPFlow
    from mitmproxy.websocket import WebSocketMessage

_AS_EVENTS = "text/event-stream"  # the form in which the messages of a turn are kept
Answer = Callable[["HTTPFlow", bytes], None]


@dataclass(slots=True)
class _Followed:
    socket: Socket
    window: Window


class Sockets:
    """Follows the WebSockets over which responses pass. Used by the event loop's thread only."""

    def __init__(self, config: Config, recorder: Recorder, counts: Counts) -> None:
        self._config = config
        self._recorder = recorder
        self._counts = counts
        self._sockets: dict[str, _Followed | None] = {}  # None: not one of ours
        self._asked: set[str] = set()

    def asked(self, flow: HTTPFlow) -> None:
        """A client asks for a socket. One that is none of ours is counted here."""
        reason = self._reason_against(flow)
        if reason is None:
            self._asked.add(flow.id)
        else:
            self._counts.add(f"skipped.{reason.value}")

    def answered(self, flow: HTTPFlow) -> None:
        """A request has got its answer, or never will; it may have asked for a socket."""
        if flow.id not in self._asked:
            return
        self._asked.discard(flow.id)
        if flow.websocket is None:
            self._counts.add(f"skipped.{Skip.WEBSOCKET.value}")

    def message(self, flow: HTTPFlow, keep: int | None, answer: Answer) -> Awaitable[None] | None:
        """A message passes; returns what to await before it goes on.

        `keep` messages stay with the flow (None: all), `answer` sends one to the client.
        """
        followed = self._followed(flow)
        if followed is None or flow.websocket is None:
            return None
        messages = flow.websocket.messages
        drafts = self._read(flow, followed.socket, messages[-1], answer)
        if keep is not None and followed.socket.live:
            followed.window.appended(messages, keep)
        return self._hand_over(drafts, followed.socket.live)

    def ended(self, flow: HTTPFlow) -> Awaitable[None] | None:
        """A socket has ended. Returns what a reader of a file awaits before it goes on."""
        self._asked.discard(flow.id)
        followed = self._sockets.pop(flow.id, None)
        data = flow.websocket
        if followed is None or data is None:
            return None
        by = _who_left(data.closed_by_client)
        at = data.timestamp_end or (data.messages[-1].timestamp if data.messages else 0.0)
        drafts = followed.socket.end(by, at)
        if not followed.socket.live:
            return self._hand_over(drafts, live=False)
        for draft in drafts:
            self._recorder.hand_over(draft)
        return None

    def _read(
        self, flow: HTTPFlow, socket: Socket, message: WebSocketMessage, answer: Answer
    ) -> list[Draft]:
        if message.dropped or (message.injected and not message.from_client):
            return []  # it does not reach the other side, or does not come from there
        if not message.is_text:
            self._counts.add("websocket.binary")
            return []
        if not message.from_client:
            return socket.server(message.content, message.timestamp)
        if socket.live and self._recorder.rejects:
            return self._refuse(flow, socket, message, answer)
        socket.client(message.content, message.timestamp)
        return []

    def _refuse(
        self, flow: HTTPFlow, socket: Socket, message: WebSocketMessage, answer: Answer
    ) -> list[Draft]:
        refused = socket.refuse(message.content, message.timestamp)
        if refused is None:
            return []
        draft, error = refused
        message.dropped = True
        answer(flow, error)
        self._counts.add("rejected")
        if draft is not None:
            self._recorder.hand_over(draft)  # nobody waits for a store that is out of reach
        return []

    def _hand_over(self, drafts: list[Draft], live: bool) -> Awaitable[None] | None:
        if not drafts:
            return None
        waits = [self._recorder.hand_over_and_wait(draft, live) for draft in drafts]
        waiting = [wait for wait in waits if wait is not None]
        return _all(waiting) if waiting else None

    def _followed(self, flow: HTTPFlow) -> _Followed | None:
        try:
            return self._sockets[flow.id]
        except KeyError:
            ours = self._reason_against(flow) is None and flow.response is not None
            followed = _Followed(self._socket(flow), Window()) if ours else None
            return self._sockets.setdefault(flow.id, followed)

    def _socket(self, flow: HTTPFlow) -> Socket:
        tenant = self._config.tenant
        headers = facts.request_headers(flow, tenant)
        head = replace(facts.answer_head(flow), content_type=_AS_EVENTS, content_encoding="")
        return Socket(
            flow.id,
            facts.passed(flow, Api.RESPONSES, headers, tenant),
            head,
            exchanges=self._recorder,
            counts=self._counts,
            limit=self._config.capture.max_body_bytes,
            live=bool(flow.live),
        )

    def _reason_against(self, flow: HTTPFlow) -> Skip | None:
        """Why a socket is none of ours, if so."""
        route = flow.request.path.partition("?")[0]
        if not route.endswith("/responses") or "//" in route:
            return Skip.WEBSOCKET
        capture = self._config.capture
        if not capture.admits(facts.host(flow)):
            return Skip.HOST
        return None if Api.RESPONSES.value in capture.apis else Skip.API


async def _all(waits: list[Awaitable[None]]) -> None:
    for wait in waits:
        await wait


def _who_left(by_client: bool | None) -> EndedBy:
    if by_client is None:  # a flow that was saved while its socket was open
        return EndedBy.PROXY_STOPPED
    return EndedBy.CLIENT if by_client else EndedBy.UPSTREAM
