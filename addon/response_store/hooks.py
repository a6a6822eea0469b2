"""mitmproxy's hooks: what passes goes to the recorder.

Nothing that goes wrong in here reaches the traffic: every hook is guarded, and a streamed body
goes on whatever happens. No hook is relied on: another script may raise before ours is called, set
a response itself, or take our stream away.
"""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
from mitmproxy import ctx, http
from mitmproxy.connection import Client

from response_store.capture import acknowledgement, flow_facts
from response_store.capture.flow_facts import (
    LEFT_ALONE,
    await_all,
    find_local_address,
    find_who_left,
    put_back,
)
from response_store.capture.websockets import count_kept_messages
from response_store.config import Config, Serve
from response_store.exposure import HostHeaders, is_from_here, is_reverse, list_listening_names
from response_store.model.records import EndedBy, Transport
from response_store.openai_api.endpoints import Skip, classify, name_uncaptured_endpoint
from response_store.serving import http_response
from response_store.sites import TOKEN_NAME, RefusalReason, Sites

if TYPE_CHECKING:
    from response_store.capture.exchange import Exchange
    from response_store.capture.stream_tee import StreamTee
    from response_store.runtime import Runtime
    from response_store.serving.request import StoreRequest
    from response_store.serving.service import Service
    from response_store.session import Session

StreamCallable = Callable[[bytes], bytes | Iterable[bytes]]
_FROM_PAGES = ("POST", "GET")  # what a page may send without asking first

_RESPONSES, _CHAT = "/responses", "/chat/completions"  # one is in each path of ours


class Traffic:
    """The hooks of the addon, which inherits them.

    A request is read one turn of the event loop after it has passed: it is on its way to the
    upstream by then, and its client does not wait for us.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.counters = runtime.counters
        self.errors = runtime.errors
        self._unread: dict[str, http.HTTPFlow] = {}
        self._flows: weakref.WeakValueDictionary[str, http.HTTPFlow] = weakref.WeakValueDictionary()
        # Those that are none of ours, or have ended: a hook may still come, and begins nothing.
        self._done: weakref.WeakSet[http.HTTPFlow] = weakref.WeakSet()
        self._over: weakref.WeakSet[http.HTTPFlow] = weakref.WeakSet()  # sockets that have ended
        # mitmproxy copies an option whenever it is read; messages are many.
        self._messages_kept = cache(lambda: count_kept_messages(ctx.master, ctx.options))
        self._sites = cache(
            lambda hosts, token: Sites((*hosts, *list_listening_names(ctx.options)), token)
        )
        self.host_headers = HostHeaders()

    @property
    def session(self) -> Session | None:
        """Return the session that takes what begins now."""
        return self.runtime.session

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        session = self.runtime.session
        if session is None:
            return None
        if flow.response is not None and LEFT_ALONE in flow.metadata:
            self._done.add(flow)
            return None
        refused = self.errors.guard("sites", self._is_refused, flow, session)
        if refused:
            return None
        if session.serving is not None and refused is not None:
            store_request = self.errors.guard(
                "serve", self._parse_store_request, flow, session.serving, session.config
            )
            if store_request is not None:
                return self._serve(flow, store_request, session, session.serving)
        self.errors.guard("request", self._take_request, flow, session)
        return None

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        self.errors.guard("requestheaders", self.host_headers.note, flow)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        self._read_request(flow.id)
        self.errors.guard("responseheaders", self._responseheaders, flow)

    def response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        self._read_request(flow.id)
        return self.errors.guard("response", self._response, flow)

    def error(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        self._read_request(flow.id)
        return self.errors.guard("error", self._error, flow)

    def websocket_message(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        return self.errors.guard("websocket_message", self._websocket_message, flow)

    def websocket_end(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        return self.errors.guard("websocket_end", self._websocket_end, flow)

    def client_disconnected(self, client: Client) -> Awaitable[None] | None:
        return self.errors.guard("client_disconnected", self._client_disconnected, client)

    def options_changed(self) -> None:
        """Forget what was made of mitmproxy's options."""
        self._messages_kept.cache_clear()
        self._sites.cache_clear()

    def read_requests(self) -> None:
        """Read what has passed and is not read yet."""
        for flow_id in list(self._unread):
            self._read_request(flow_id)

    async def _serve(
        self, flow: http.HTTPFlow, store_request: StoreRequest, session: Session, serving: Service
    ) -> None:
        """Answer a request, or let it pass. What is answered here is not captured again."""
        try:
            headers = flow_facts.read_request_headers(flow, session.config)
            tenant = flow_facts.find_tenant(headers, session.config.tenant)
            reply = await serving.answer(
                tenant, store_request, flow.request.method, flow.request.path
            )
        except Exception as error:  # noqa: BLE001 - the client gets an answer whatever we do wrong
            self.errors.report("serve", error)
            reply = serving.answer_after_error()
        if reply is not None:
            self._done.add(flow)
            flow.response = http.Response.make(reply.status, reply.body, dict(reply.headers))
        else:
            self.errors.guard("request", self._take_request, flow, session)

    # Pages of other sites

    def _is_refused(self, flow: http.HTTPFlow, session: Session) -> bool:
        """Answer a request that a page of another site may have sent, or one without a token.

        What is stored is for no such page, and none needs what can be sent without asking first.
        """
        if not flow.live or flow.response is not None or flow.error is not None:
            return False
        refusal = self._refusal(flow, session)
        if refusal is None:
            return False
        self._done.add(flow)
        self.counters.add(f"refused.{refusal.value}")
        reply = http_response.build_forbidden(refusal)
        flow.response = http.Response.make(reply.status, reply.body, dict(reply.headers))
        return True

    def _refusal(self, flow: http.HTTPFlow, session: Session) -> RefusalReason | None:
        request, reverse = flow.request, is_reverse(flow.client_conn)
        method = request.method
        if session.serving is not None and session.serving.concerns(method, request.path):
            strict = reverse or session.config.serve is Serve.ONLY
            return self._read_refusal(flow, session.config) if strict else None
        if not reverse or method not in _FROM_PAGES or not _may_be_ours(flow):
            return None
        sites, reached_at = self._sites_of(session.config), find_local_address(flow)
        fields = request.headers.fields
        if method == "POST":
            host = self.host_headers.host(flow, ctx.options) if session.serving else None
            return sites.refuse_create(fields, host, reached_at)
        return sites.refuse_socket(fields, reached_at) if "upgrade" in request.headers else None

    def _read_refusal(self, flow: http.HTTPFlow, config: Config) -> RefusalReason | None:
        host = self.host_headers.host(flow, ctx.options)
        fields = flow.request.headers.fields
        refusal = self._sites_of(config).refuse_read(fields, host, find_local_address(flow))
        if config.serve_token is not None:
            flow.request.headers.pop(TOKEN_NAME, None)  # ours, and nobody else's
        return refusal

    def _sites_of(self, config: Config) -> Sites:
        token = config.serve_token.reveal() if config.serve_token else None
        return self._sites(config.serve_hosts, token)

    def _parse_store_request(
        self, flow: http.HTTPFlow, serving: Service, config: Config
    ) -> StoreRequest | None:
        """Return what a request of a client asks of the store, if the client may."""
        if not flow.live or flow.response is not None or flow.error is not None:
            return None
        store_request = serving.parse(flow.request.method, flow.request.path)
        if store_request is None or not config.capture.admits(flow_facts.find_host(flow)):
            return None
        # When the address is changed at run time, mitmproxy listens there before it can be refused.
        if not config.serve_remote and not is_from_here(flow.client_conn):
            return None
        # Where the client has named the server itself, that one may answer a page of its own.
        prefers_upstream = not is_reverse(flow.client_conn) and config.serve is Serve.PREFER
        return None if prefers_upstream and self._read_refusal(flow, config) else store_request

    # Requests

    def _take_request(self, flow: http.HTTPFlow, session: Session) -> None:
        if flow.live and not session.recorder.may_reject:
            self._unread[flow.id] = flow
            session.loop.call_soon(self._read_request, flow.id)
        else:
            self._request(flow, session)

    def _read_request(self, flow_id: str) -> None:
        flow = self._unread.pop(flow_id, None)
        session = self.runtime.session
        if flow is not None and session is not None:
            self.errors.guard("request", self._request, flow, session)

    def _request(self, flow: http.HTTPFlow, session: Session) -> Exchange | None:
        headers = flow_facts.read_request_headers(flow, session.config)
        api = classify(
            flow.request.method,
            flow.request.path,
            headers.get(b"content-type"),
            headers.get(b"upgrade"),
        )
        if api is Skip.WEBSOCKET:
            self._done.add(flow)
            self._flows[flow.id] = flow
            session.sockets.note_request(flow)
            return None
        capture = session.config.capture
        if not isinstance(api, Skip):
            if not capture.admits(flow_facts.find_host(flow)):
                api = Skip.HOST
            elif api.value not in capture.apis:
                api = Skip.API
        if isinstance(api, Skip):
            self.counters.add(f"skipped.{api.value}")
            endpoint = name_uncaptured_endpoint(flow.request.path) if api is Skip.PATH else None
            if endpoint is not None:
                self.counters.add(f"uncaptured.{endpoint}")
            if _may_be_ours(flow):
                self._done.add(flow)
            return None
        request = flow_facts.build_request_head(flow, api, headers, session.config)
        body = flow.request.data.content
        exchange = session.recorder.begin(
            flow.id,
            request,
            body,
            live=bool(flow.live),
            credentials=flow_facts.read_credentials(flow, self.counters),
        )
        self._flows[flow.id] = flow
        self._done.discard(flow)
        may_reject = exchange.creates and exchange.live and flow.response is None
        if may_reject and session.recorder.rejects:
            self._reject(flow, exchange, session)
        return exchange

    def _reject(self, flow: http.HTTPFlow, exchange: Exchange, session: Session) -> None:
        retry_after = max(1, round(session.recorder.retry_after + 0.5))
        flow.response = http.Response.make(
            acknowledgement.STATUS,
            acknowledgement.BODY,
            {"content-type": "application/json", "retry-after": str(retry_after)},
        )
        self.counters.add("rejected")
        exchange.rejected = True

    def _find_or_begin(self, flow: http.HTTPFlow) -> tuple[Session, Exchange] | None:
        """Return the exchange of a flow; begun here where the hook of its request never came."""
        ongoing = self.runtime.find(flow.id)
        session = self.runtime.session
        if ongoing is not None or session is None or not _may_be_ours(flow):
            return ongoing
        came_whole = flow.request.timestamp_end is not None
        if not came_whole or flow in self._done or flow.websocket is not None:
            return None
        exchange = self._request(flow, session)
        return (session, exchange) if exchange is not None else None

    # Answers

    def _responseheaders(self, flow: http.HTTPFlow) -> None:
        ongoing = self._find_or_begin(flow)
        if ongoing is None or flow.response is None:
            return
        session, exchange = ongoing
        answer = flow_facts.build_answer_head(flow)
        if not answer.content_type and exchange.asks_for_stream:
            answer = msgspec.structs.replace(answer, transport=Transport.SSE.value)
        exchange.take_head(answer)
        exchange.answer_fields = flow.response.headers.fields
        streams = answer.transport == Transport.SSE.value
        if exchange.live and (streams or flow.response.stream):
            stream = exchange.start_stream()
            flow.response.stream = self._tee(exchange, stream, session, flow.response.stream)

    def _tee(
        self, exchange: Exchange, stream: StreamTee, session: Session, inner: Any
    ) -> StreamCallable:
        """Return a callable that shows each chunk to the recorder and hands it on untouched."""
        feed, feed_fast = session.recorder.feed, stream.feed_fast

        def tee(chunk: bytes) -> bytes | Iterable[bytes]:
            try:
                if not feed_fast(chunk, monotonic()):
                    feed(exchange, chunk)
            except Exception as error:  # noqa: BLE001 - the bytes go on whatever we do wrong
                self.errors.report("stream", error)
            return inner(chunk) if callable(inner) else chunk

        return tee

    def _response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        ongoing = self._find_or_begin(flow)
        if ongoing is None or flow.response is None:
            self._socket_answered(flow)
            return None
        session, exchange = ongoing
        by = exchange.regular_end
        if flow.error is not None and not exchange.live:
            by = find_who_left(flow)  # a file tells the answer first, then how the flow broke off
        ended = self._finish(flow, exchange, session, by)
        acknowledged = session.recorder.acknowledged(ended) if ended is not None else None
        return await_all(acknowledged, put_back(flow, exchange))

    def _error(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        ongoing = self._find_or_begin(flow)
        if ongoing is None:
            self._socket_answered(flow)
            return None
        session, exchange = ongoing
        if session.recorder.has_stopped and exchange.live:
            return None  # cut by our own end, which has been written
        by = find_who_left(flow)
        if by is EndedBy.UPSTREAM and flow.response is None and flow.error is not None:
            exchange.problem = flow_facts.describe_connection_problem(flow.error.msg)
        self._finish(flow, exchange, session, by)
        return put_back(flow, exchange)

    def _client_disconnected(self, client: Client) -> Awaitable[None] | None:
        """End what belongs to a connection that has gone and whose own hooks never came."""
        waits = []
        for flow_id, flow in list(self._flows.items()):
            if flow.client_conn is client:
                del self._flows[flow_id]
                waits.append(self._end_left_behind(flow))
        self.runtime.sweep()
        return await_all(*waits)

    def _end_left_behind(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        ongoing = self.runtime.find(flow.id)
        if flow.websocket is not None:
            return self._websocket_end(flow)
        if ongoing is None:
            self._socket_answered(flow)
        elif not ongoing[0].recorder.has_stopped:
            session, exchange = ongoing
            by = EndedBy.BODY if _is_complete(flow) else find_who_left(flow)
            self._finish(flow, exchange, session, by)
            return put_back(flow, exchange)
        return None

    def _finish(
        self, flow: http.HTTPFlow, exchange: Exchange, session: Session, by: EndedBy
    ) -> Exchange | None:
        body = None
        if flow.response is not None:
            if _may_have_changed(flow.response, exchange):
                exchange.take_head(flow_facts.build_answer_head(flow))
            body = flow.response.raw_content
        at = None if exchange.live else flow_facts.find_end_time(flow)
        ended = session.recorder.finish(flow.id, by, body, at)
        self._flows.pop(flow.id, None)
        self._done.add(flow)
        self.runtime.sweep()
        return ended

    # Sockets

    def _websocket_message(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        session = self.runtime.session_of_socket(flow.id)
        if session is None:
            return None
        if flow.id not in self._flows:
            self._flows[flow.id] = flow
        return session.sockets.message(flow, self._messages_kept(), _tell_client)

    def _websocket_end(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        session = self.runtime.session_of_socket(flow.id)
        if session is None or flow in self._over:
            return None
        self._over.add(flow)
        ended = session.sockets.ended(flow)
        self._flows.pop(flow.id, None)
        self.runtime.sweep()
        return ended

    def _socket_answered(self, flow: http.HTTPFlow) -> None:
        session = self.runtime.session
        if session is not None:
            session.sockets.answered(flow)


def _may_be_ours(flow: http.HTTPFlow) -> bool:
    """Return whether a flow's path has what those of ours have; cheap."""
    path = flow.request.path
    return _RESPONSES in path or _CHAT in path


def _is_complete(flow: http.HTTPFlow) -> bool:
    return flow.response is not None and flow.response.timestamp_end is not None


def _tell_client(flow: http.HTTPFlow, message: bytes) -> None:
    """Send the client of a WebSocket a message that is ours."""
    ctx.master.commands.call("inject.websocket", flow, True, message, True)


def _may_have_changed(response: http.Response, exchange: Exchange) -> bool:
    """Return whether another script may have changed an answer since its head was read."""
    stream, answer = exchange.stream, exchange.answer
    if stream is not None:
        return not stream.has_chunks
    is_same = response.headers.fields is exchange.answer_fields
    return answer is None or not is_same or response.status_code != answer.status_code
