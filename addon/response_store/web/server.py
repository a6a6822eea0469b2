"""The server: from a request to a page, and from the command's start to its end."""

from __future__ import annotations

import asyncio
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import tornado.httpserver
import tornado.iostream
import tornado.netutil
import tornado.web

from response_store.errors import ResponseStoreError, StoppedError, StoreError, TransientStoreError
from response_store.web.access import HEADERS, Access, AccessVerdict
from response_store.web.changes import ChangeFeed
from response_store.web.page import (
    HTML,
    Answer,
    Page,
    PageError,
    PageRequest,
    load_templates,
    render,
)
from response_store.web.reader_pool import ReaderPool
from response_store.web.routes import PAGES, read_static_files

if TYPE_CHECKING:
    from response_store.cli.source import Source

_NO_KEY = (
    "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Response Store</title>"
    "<h1>Open the address that was printed</h1><p>This page takes the whole address that"
    " <code>response-store web</code> prints, with its token. A server that was started anew has a"
    " new one."
)
_FOREIGN = "This request comes from another page or name, and is refused.\n"
_PING_SECONDS = 20.0
_MAX_BODY = 1024
_PIECE = 1 << 20  # bytes of a file that are sent at once


class WebServer:
    """One server and what it needs. For its event loop."""

    def __init__(self, source: Source, access: Access) -> None:
        self.source = source
        self.access = access
        self.pool = ReaderPool(source.open)
        self.feed = ChangeFeed(source.open, on_replaced=self.pool.reopen)
        self.files = read_static_files()

    def build_application(self) -> tornado.web.Application:
        """Return the application that answers at the path that only its users know."""
        base, shared = self.access.path, {"server": self}
        routes: list[Any] = [
            (f"{base}static/([a-z.]+)", StaticHandler, shared),
            (f"{base}changes", ChangesHandler, shared),
            *((f"{base}{path}", PageHandler, {**shared, "page": page}) for path, page in PAGES),
        ]
        return tornado.web.Application(
            routes,
            default_handler_class=MissingHandler,
            default_handler_args=shared,
            log_function=lambda _: None,  # addresses hold ids, and a token
            serve_traceback=False,
        )

    async def close(self) -> None:
        """End what runs beside the pages."""
        await self.feed.close()
        await asyncio.get_running_loop().run_in_executor(None, self.pool.close)


class GuardedHandler(tornado.web.RequestHandler):
    """Answers nobody who has no key; what else it answers has the headers that protect it."""

    def initialize(self, server: WebServer) -> None:
        """Take what the handlers share."""
        self.server = server

    def set_default_headers(self) -> None:
        """Set what every answer has."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse a request, or give a new visitor the cookie."""
        access, headers = self.server.access, self.request.headers
        cookie = self.get_cookie(access.cookie_name) or ""
        token = self.get_query_argument("token", "")
        verdict = access.check_request(self.request.path, headers, cookie, token)
        if verdict is AccessVerdict.FOREIGN:
            self._refuse(_FOREIGN, "text/plain")
        elif verdict is AccessVerdict.NO_KEY:
            self._refuse(_NO_KEY, HTML)
        elif self.request.method != "GET":
            self.set_status(405)
            self.set_header("Allow", "GET")
            self.finish()
        elif verdict is AccessVerdict.WELCOME:
            self._welcome(access)

    def _refuse(self, text: str, media_type: str) -> None:
        self.set_status(403)
        self.set_header("Content-Type", media_type)
        self.finish(text)

    def _welcome(self, access: Access) -> None:
        self.set_cookie(
            access.cookie_name, access.cookie, path=access.path, httponly=True, samesite="Strict"
        )
        if self.request.headers.get("Sec-Fetch-Site", "none") == "none":
            self.redirect(access.path, status=303)
            return
        # A redirect that another page's link led to would come without the cookie.
        self.set_header("Refresh", f"0; url={access.path}")
        self.finish()

    def compute_etag(self) -> None:
        """Have no answer kept."""

    def log_exception(self, *_: object) -> None:
        """Say where a page failed, without what was captured or looked for."""
        kind, trace = sys.exc_info()[0], sys.exc_info()[2]
        lines = "".join(traceback.format_tb(trace))
        name = kind.__name__ if kind else ""
        sys.stderr.write(f"response-store web: {type(self).__name__}: {name}\n{lines}")

    def send(self, answer: Answer) -> None:
        """Send an answer."""
        self.set_status(answer.status)
        self.set_type(answer)
        self.finish(answer.body)

    def set_type(self, answer: Answer) -> None:
        """Set the headers that say what an answer is."""
        self.set_header("Content-Type", answer.media_type)
        if answer.filename:
            self.set_header("Content-Disposition", f'attachment; filename="{answer.filename}"')


class PageHandler(GuardedHandler):
    """Shows one page."""

    def initialize(self, server: WebServer, page: Page) -> None:  # type: ignore[override]
        """Take which page."""
        super().initialize(server)
        self.page = page
        self._waiting: asyncio.Task[Answer] | None = None

    async def get(self, *parts: str) -> None:
        """Show the page, or what is wrong."""
        request = PageRequest(
            self.server.source,
            self.server.access.path,
            self.request.path,
            parts,
            {name: self.get_query_argument(name) for name in self.request.query_arguments},
        )
        self._waiting = asyncio.ensure_future(self._answer(request))
        try:
            answer = await self._waiting
        except asyncio.CancelledError:
            return  # whoever asked has gone
        if answer.file is None:
            self.send(answer)
        else:
            with answer.file:
                await self._send_file(answer, answer.file)

    def on_connection_close(self) -> None:
        """Break off what is read for a browser that has gone, or asks for something else."""
        super().on_connection_close()
        if self._waiting is not None:
            self._waiting.cancel()

    async def _send_file(self, answer: Answer, file: IO[bytes]) -> None:
        self.set_type(answer)
        with suppress(tornado.iostream.StreamClosedError):
            while piece := file.read(_PIECE):
                self.write(piece)
                await self.flush()

    async def _answer(self, request: PageRequest) -> Answer:
        page = self.page
        try:
            return await self.server.pool.run(lambda query: page(request, query))
        except (TransientStoreError, StoppedError) as error:
            return _render_error(request, error, 503)
        except StoreError as error:
            return _render_error(request, error, 404)
        except PageError as error:
            return _render_error(request, error, error.status)


def _render_error(request: PageRequest, error: ResponseStoreError, status: int) -> Answer:
    return render("error.html", request, status=status, text=str(error))


class MissingHandler(GuardedHandler):
    """Says that there is no such page."""

    def get(self) -> None:
        """Say so."""
        request = PageRequest(self.server.source, self.server.access.path)
        self.send(_render_error(request, PageError("There is no such page."), 404))


class StaticHandler(GuardedHandler):
    """Sends a file of the page itself."""

    def get(self, name: str) -> None:
        """Send it."""
        answer = self.server.files.get(name)
        self.send(answer or Answer(b"no such file\n", "text/plain", 404))


class ChangesHandler(GuardedHandler):
    """Tells a page, as server-sent events, that something was written, as long as it is open."""

    async def get(self) -> None:
        """Send an event a change, and a comment now and then, which finds out who has gone."""
        self.set_header("Content-Type", "text/event-stream")
        with (
            suppress(tornado.iostream.StreamClosedError),
            self.server.feed.subscribe() as subscription,
        ):
            await self._send_event("retry: 2000\n\n")
            while not subscription.is_closed:
                changed = await subscription.wait(_PING_SECONDS)
                await self._send_event("event: change\ndata: 1\n\n" if changed else ":\n\n")

    async def _send_event(self, text: str) -> None:
        self.write(text)
        await self.flush()


async def serve(
    source: Source,
    host: str,
    port: int,
    when_ready: Callable[[Access], Awaitable[None] | None],
    until: asyncio.Event | None = None,
) -> None:
    """Serve pages until a signal ends it, or an event. Raises OSError where the port is taken."""
    sockets = tornado.netutil.bind_sockets(port, host)
    access = Access(host, sockets[0].getsockname()[1])
    server = WebServer(source, access)
    http = tornado.httpserver.HTTPServer(
        server.build_application(), max_body_size=_MAX_BODY, idle_connection_timeout=300
    )
    http.add_sockets(sockets)
    server.pool.prepare(load_templates)
    try:
        answer = when_ready(access)
        if answer is not None:
            await answer
        await _wait_for_end(until or asyncio.Event())
    finally:
        http.stop()
        await server.close()
        await http.close_all_connections()


async def _wait_for_end(end: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not on Windows, nor in another thread than the main one: Ctrl-C is an exception there.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, end.set)
    await end.wait()
