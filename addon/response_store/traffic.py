"""mitmproxy's hooks: what passes goes to the recorder.

Nothing that goes wrong in here reaches the traffic: every hook is guarded, and a streamed body
goes on whatever happens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from typing import Any

from mitmproxy import ctx, http
from mitmproxy.connection import ConnectionState

from response_store.capture import facts, refusal
from response_store.capture.draft import Draft
from response_store.capture.exchange import Exchange
from response_store.capture.stream import StreamedBody
from response_store.capture.websocket_window import messages_kept
from response_store.config import Config
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.listening import is_from_here
from response_store.openai_api.endpoints import Skip, classify
from response_store.serving.request import Asked
from response_store.serving.service import Service
from response_store.session import Session
from response_store.store.records import EndedBy

StreamCallable = Callable[[bytes], bytes | Iterable[bytes]]


class Traffic:
    """The hooks of the addon, which inherits them.

    A request is read one turn of the event loop after it has passed: it is on its way to the
    upstream by then, and its client does not wait for us.
    """

    def __init__(self, counts: Counts, faults: Faults) -> None:
        self.counts = counts
        self.faults = faults
        self.session: Session | None = None
        self._unread: dict[str, http.HTTPFlow] = {}
        # mitmproxy copies an option whenever it is read; messages are many.
        self._messages_kept = cache(lambda: messages_kept(ctx.master, ctx.options))

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        session = self.session
        if session is None:
            return None
        if session.serving is not None:
            asked = self.faults.guard("serve", _asked, flow, session.serving, session.config)
            if asked is not None:
                return self._serve(flow, asked, session, session.serving)
        self.faults.guard("request", self._passes, flow, session)
        return None

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        self._read_request(flow.id)
        if self.session is not None:
            self.faults.guard("responseheaders", self._responseheaders, flow, self.session)

    def response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        self._read_request(flow.id)
        if self.session is None:
            return None
        return self.faults.guard("response", self._response, flow, self.session)

    def error(self, flow: http.HTTPFlow) -> None:
        self._read_request(flow.id)
        if self.session is not None:
            self.faults.guard("error", self._error, flow, self.session)

    def websocket_message(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        if self.session is None:
            return None
        return self.faults.guard("websocket_message", self._websocket_message, flow, self.session)

    def websocket_end(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        if self.session is None:
            return None
        return self.faults.guard("websocket_end", self.session.sockets.ended, flow)

    def options_changed(self) -> None:
        """Forget what was made of mitmproxy's options."""
        self._messages_kept.cache_clear()

    def read_requests(self) -> None:
        """Read what has passed and is not read yet."""
        for flow_id in list(self._unread):
            self._read_request(flow_id)

    async def _serve(
        self, flow: http.HTTPFlow, asked: Asked, session: Session, serving: Service
    ) -> None:
        """Answer a request, or let it pass. What is answered here is not captured again."""
        try:
            session.recorder.flush()  # whoever asks after an answer may have it already
            headers = facts.request_headers(flow, session.config.tenant)
            tenant = facts.tenant_of(headers, session.config.tenant)
            answer = await serving.answer(tenant, asked)
        except Exception as error:  # noqa: BLE001 - the client gets an answer whatever we do wrong
            self.faults.report("serve", error)
            answer = serving.failed()
        if answer is not None:
            flow.response = http.Response.make(answer.status, answer.body, dict(answer.headers))
        elif self.session is not None:
            self.faults.guard("request", self._passes, flow, self.session)

    def _passes(self, flow: http.HTTPFlow, session: Session) -> None:
        if flow.live and not session.recorder.may_reject:
            self._unread[flow.id] = flow
            session.loop.call_soon(self._read_request, flow.id)
        else:
            self._request(flow, session)

    def _read_request(self, flow_id: str) -> None:
        flow = self._unread.pop(flow_id, None)
        if flow is not None and self.session is not None:
            self.faults.guard("request", self._request, flow, self.session)

    def _request(self, flow: http.HTTPFlow, session: Session) -> None:
        headers = facts.request_headers(flow, session.config.tenant)
        api = classify(
            flow.request.method,
            flow.request.path,
            headers.get(b"content-type"),
            headers.get(b"upgrade"),
        )
        if api is Skip.WEBSOCKET:
            session.sockets.asked(flow)
            return
        capture = session.config.capture
        if not isinstance(api, Skip):
            if not capture.admits(facts.host(flow)):
                api = Skip.HOST
            elif api.value not in capture.apis:
                api = Skip.API
        if isinstance(api, Skip):
            self.counts.add(f"skipped.{api.value}")
            return
        request = facts.passed(flow, api, headers, session.config.tenant)
        exchange = session.recorder.begin(flow.id, request, live=bool(flow.live))
        creates = request.follows is None
        if creates and exchange.live and session.recorder.rejects and flow.response is None:
            self._reject(flow, exchange, session)

    def _reject(self, flow: http.HTTPFlow, exchange: Exchange, session: Session) -> None:
        retry_after = max(1, round(session.recorder.retry_after + 0.5))
        flow.response = http.Response.make(
            refusal.STATUS,
            refusal.BODY,
            {"content-type": "application/json", "retry-after": str(retry_after)},
        )
        self.counts.add("rejected")
        exchange.rejected = True

    def _responseheaders(self, flow: http.HTTPFlow, session: Session) -> None:
        exchange = session.recorder.find(flow.id)
        if exchange is None or flow.response is None:
            return
        head = facts.answer_head(flow)
        exchange.answered(head)
        if exchange.live and (head.is_event_stream or flow.response.stream):
            stream = exchange.start_stream(head)
            flow.response.stream = self._tee(exchange, stream, session, flow.response.stream)

    def _tee(
        self, exchange: Exchange, stream: StreamedBody, session: Session, inner: Any
    ) -> StreamCallable:
        """A stream callable that shows each chunk to the recorder and hands it on untouched."""
        feed, passes = session.recorder.feed, stream.passes

        def tee(chunk: bytes) -> bytes | Iterable[bytes]:
            try:
                if not passes(chunk):
                    feed(exchange, chunk)
            except Exception as error:  # noqa: BLE001 - the bytes go on whatever we do wrong
                self.faults.report("stream", error)
            return inner(chunk) if callable(inner) else chunk

        return tee

    def _response(self, flow: http.HTTPFlow, session: Session) -> Awaitable[None] | None:
        exchange = session.recorder.find(flow.id)
        if exchange is None or flow.response is None:
            session.sockets.answered(flow)
            return None
        by = exchange.regular_end
        if flow.error is not None and not exchange.live:
            by = _who_left(flow)  # a file tells the answer first, then how the flow broke off
        draft = self._finish(flow, exchange, session, by)
        if draft is None:
            return None
        return session.recorder.hand_over_and_wait(draft, exchange.live)

    def _error(self, flow: http.HTTPFlow, session: Session) -> None:
        exchange = session.recorder.find(flow.id)
        if exchange is None:
            session.sockets.answered(flow)
            return
        draft = self._finish(flow, exchange, session, _who_left(flow))
        if draft is not None:
            session.recorder.hand_over(draft)

    def _websocket_message(self, flow: http.HTTPFlow, session: Session) -> Awaitable[None] | None:
        return session.sockets.message(flow, self._messages_kept(), _tell_client)

    def _finish(
        self, flow: http.HTTPFlow, exchange: Exchange, session: Session, by: EndedBy
    ) -> Draft | None:
        body = None
        if flow.response is not None and exchange.stream is None:
            body = flow.response.raw_content
        at = None if exchange.live else facts.ended_at(flow)
        draft = session.recorder.finish(flow.id, by, body, at)
        _put_back(flow, exchange)
        return draft


def _asked(flow: http.HTTPFlow, serving: Service, config: Config) -> Asked | None:
    """What a request of a client asks of the store, if the client may."""
    if not flow.live or flow.response is not None or flow.error is not None:
        return None
    asked = serving.asked(flow.request.method, flow.request.path)
    if asked is None or not config.capture.admits(facts.host(flow)):
        return None
    # When the address is changed at run time, mitmproxy listens there before it can be refused.
    return asked if config.serve_remote or is_from_here(flow.client_conn) else None


def _tell_client(flow: http.HTTPFlow, message: bytes) -> None:
    """Send the client of a WebSocket a message that is ours."""
    ctx.master.commands.call("inject.websocket", flow, True, message, True)


def _who_left(flow: http.HTTPFlow) -> EndedBy:
    """Who ended a flow: the connection's state tells, the error's text may lie."""
    if flow.error is not None and flow.error.msg == flow.error.KILLED_MESSAGE:
        return EndedBy.PROXY
    gone = not flow.client_conn.state & ConnectionState.CAN_WRITE
    closed = flow.client_conn.state is ConnectionState.CLOSED
    return EndedBy.CLIENT if gone or closed else EndedBy.UPSTREAM


def _put_back(flow: http.HTTPFlow, exchange: Exchange) -> None:
    """Give a streamed body to the flow, so that mitmweb, flow files and HAR have it."""
    stream = exchange.stream
    if stream is None:
        return
    if flow.response is not None and flow.response.data.content is None and not stream.too_large:
        flow.response.data.content = b"".join(stream.chunks)
    stream.release()
