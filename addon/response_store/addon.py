"""The mitmproxy addon: hooks that hand over to the recorder, and the life of a session.

Nothing that goes wrong in here reaches the traffic: every hook is guarded, and a streamed body
goes on whatever happens.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from mitmproxy import ctx, exceptions, http
from mitmproxy.addonmanager import Loader
from mitmproxy.connection import ConnectionState

from response_store.capture import facts
from response_store.capture.classify import classify
from response_store.capture.draft import Draft
from response_store.capture.exchange import Exchange
from response_store.capture.request import Skip
from response_store.config import Config, ConfigError, load_config
from response_store.counts import Counts
from response_store.faults import Faults
from response_store.mitmweb import Commands, listening_warnings
from response_store.session import Closing, Session
from response_store.store.records import EndedBy

logger = logging.getLogger(__name__)
OPTION = "response_store_config"
VARIABLE = "RESPONSE_STORE_CONFIG"
_REJECTION = (
    b'{"error":{"message":"The response store is out of reach, and this proxy is configured to '
    b'refuse requests whose answers it can\'t keep. Try again later.","type":"server_error",'
    b'"param":null,"code":"response_store_unavailable"}}'
)
_options_error: Callable[[str], Exception] = exceptions.OptionsError  # it has no types of its own
StreamCallable = Callable[[bytes], bytes | Iterable[bytes]]


class ResponseStore(Commands):
    """Keeps every OpenAI response that passes."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.faults = Faults(self.counts)
        self.config: Config | None = None
        self.session: Session | None = None
        self._running = False

    # Life

    def load(self, loader: Loader) -> None:
        loader.add_option(
            OPTION, str, "", "Path of Response Store's YAML configuration. Empty: the defaults."
        )

    def configure(self, updated: set[str]) -> None:
        if OPTION not in updated:
            return
        try:
            self.config = load_config(getattr(ctx.options, OPTION) or os.environ.get(VARIABLE))
        except ConfigError as error:
            if self._running:
                raise _options_error(str(error)) from None
            # An error that is logged while mitmproxy starts ends it with this text alone.
            logger.error("%s", error)
            return
        if self._running:
            self._restart()

    def running(self) -> None:
        self._running = True
        if self.config is not None and self.session is None:
            self._start(self.config)

    def done(self) -> None:
        self._running = False
        self._stop()

    # Traffic

    def request(self, flow: http.HTTPFlow) -> None:
        if self.session is not None:
            self._guard("request", self._request, flow, self.session)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        if self.session is not None:
            self._guard("responseheaders", self._responseheaders, flow, self.session)

    def response(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        if self.session is None:
            return None
        waits: Awaitable[None] | None = self._guard("response", self._response, flow, self.session)
        return waits

    def error(self, flow: http.HTTPFlow) -> None:
        if self.session is not None:
            self._guard("error", self._error, flow, self.session)

    def _request(self, flow: http.HTTPFlow, session: Session) -> None:
        headers = facts.request_headers(flow, session.config.tenant)
        api = classify(
            flow.request.method,
            flow.request.path,
            headers.get(b"content-type"),
            headers.get(b"upgrade"),
        )
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
        if exchange.live and session.recorder.rejects and flow.response is None:
            self._reject(flow, exchange, session)

    def _reject(self, flow: http.HTTPFlow, exchange: Exchange, session: Session) -> None:
        retry_after = max(1, round(session.writer.health.retry_in() + 0.5))
        flow.response = http.Response.make(
            503,
            _REJECTION,
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
            exchange.start_stream(head)
            flow.response.stream = self._tee(exchange, session, flow.response.stream)

    def _tee(self, exchange: Exchange, session: Session, inner: Any) -> StreamCallable:
        """A stream callable that shows each chunk to the recorder and hands it on untouched."""
        feed = session.recorder.feed

        def tee(chunk: bytes) -> bytes | Iterable[bytes]:
            try:
                feed(exchange, chunk)
            except Exception as error:  # noqa: BLE001 - the bytes go on whatever we do wrong
                self.faults.report("stream", error)
            return inner(chunk) if callable(inner) else chunk

        return tee

    def _response(self, flow: http.HTTPFlow, session: Session) -> Awaitable[None] | None:
        exchange = session.recorder.find(flow.id)
        if exchange is None or flow.response is None:
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
            return
        draft = self._finish(flow, exchange, session, _who_left(flow))
        if draft is not None:
            session.recorder.hand_over(draft)

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

    # Sessions

    def _start(self, config: Config) -> None:
        session = Session(
            config, self.counts, self.faults, asyncio.get_running_loop(), announces=_shows_info
        )
        error = session.open()
        if error is not None:
            logger.error("%s", error)
            session.close()
            return
        self.session = session
        logger.info("%s", session.describe())
        for warning in listening_warnings(ctx.master, ctx.options):
            logger.warning("%s", warning)

    def _stop(self) -> None:
        session, self.session = self.session, None
        if session is not None:
            sys.stderr.write(closing_text(session.close()) + "\n")
            sys.stderr.flush()

    def _restart(self) -> None:
        self._stop()
        if self.config is not None:
            self._start(self.config)

    def _guard(self, where: str, hook: Callable[..., Any], *args: Any) -> Any:
        try:
            return hook(*args)
        except Exception as error:  # noqa: BLE001 - traffic goes on whatever we do wrong
            self.faults.report(where, error)
            return None


def closing_text(closing: Closing) -> str:
    """What is said at the end: how much was written and lost, and every other count."""
    summary = closing.summary
    text = f"response_store: {summary.written} written, {summary.lost} lost"
    if closing.closed_open:
        text += f", {closing.closed_open} open exchanges closed as interrupted"
    others = {k: v for k, v in closing.counts.items() if k not in ("written", "seen")}
    if others:
        text += " (" + ", ".join(f"{name} {number}" for name, number in others.items()) + ")"
    return text


def _shows_info() -> bool:
    """Whether a line of level info is to be seen: not where the user asked for quiet."""
    return ctx.options.termlog_verbosity in ("info", "debug")


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
