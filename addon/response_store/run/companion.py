"""Tie a proxy to the process which runs a command with it, and admit that command alone.

It tells where the proxy listens, and ends the proxy once that process is gone, however it went:
the socket between them closes even after a SIGKILL, on every system.

Every user of the machine reaches loopback, and would go out with the company proxy's credentials.
The command finds a password in its proxy variables, and a segment of a path in its base URL.

mitmproxy holds every body until its end, which a command notices: streams of other services stand
still, and a large download fills the proxy's memory. What may be captured is not touched here, but
for streams: the capturing addon watches those that are passed on already.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import os
import shutil
import socket
import threading
import time
import weakref
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
from mitmproxy import ctx, http
from mitmproxy.proxy.mode_specs import ReverseMode, UpstreamMode

from response_store.capture.flow_facts import LEFT_ALONE
from response_store.openai_api.endpoints import Skip, classify
from response_store.run import proxy_process
from response_store.run.proxy_process import USER, ProxyReady, ProxySettings, derive_segment

_SMALL = 1 << 20  # bytes that are held, so that mitmweb can show them


def pass_request(flow: http.HTTPFlow) -> None:
    """Let a large body go up while it comes."""
    if _read_size(flow.request) > _SMALL and _is_none_of_ours(flow.request):
        flow.request.stream = True


def pass_response(flow: http.HTTPFlow, *, shown: bool) -> None:
    """Let a stream, or a body that is or may be large, come down while it comes.

    With `shown` somebody looks at the traffic, and what tells no size is held to be seen.
    """
    response = flow.response
    if response is None or response.stream or response.status_code < HTTPStatus.OK:
        return
    if _is_stream(response):
        response.stream = True
    elif _is_none_of_ours(flow.request):
        size = _read_size(response)
        response.stream = size > _SMALL or (size < 0 and not shown)


def _is_stream(response: http.Response) -> bool:
    content_type: str = response.headers.get("content-type", "")
    return content_type.lower().startswith("text/event-stream")


def _is_none_of_ours(request: http.Request) -> bool:
    headers = request.headers
    api = classify(
        request.method,
        request.path,
        headers.get("content-type", ""),
        headers.get("upgrade", ""),
    )
    return isinstance(api, Skip)


def _read_size(message: http.Message) -> int:
    """Return the size that a body's header states; -1 where it states none."""
    warning = message.headers.get("content-length", "")
    return int(warning) if warning.isdecimal() else -1


def find_page_url(master: Any, options: Any) -> str | None:
    """Return the page's address with its token; None where the program isn't mitmweb.

    mitmweb says port 0 where it was told so: the option becomes the port that it was given.
    """
    if "web_port" not in options:
        return None
    if options.web_port == 0:
        options.update(web_port=_find_port())
    with_token = getattr(master, "web_url", None)  # since mitmweb 11.1.2
    return with_token or f"http://{options.web_host}:{options.web_port}/"


def set_up_page(options: Any) -> None:
    """Have mitmweb's list show comments, where the user has not chosen its columns.

    Its server keeps to itself what its page asks for and what is not there.
    """
    if "web_port" not in options:
        return
    for name in ("tornado.access", "tornado.general"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if "web_columns" in options and not options.has_changed("web_columns"):
        options.update(web_columns=list(_WEB_COLUMNS))


_WEB_COLUMNS = ("icon", "path", "comment", "status", "time")


def open_in_browser(page: str) -> None:
    """Open the page, if there is a browser."""
    from mitmproxy.tools.web.webaddons import open_browser  # noqa: PLC0415 (loads all of mitmweb)

    open_browser(page)


def _find_port() -> int:
    """Return the port on which tornado, mitmweb's server, listens in this process."""
    from tornado.ioloop import IOLoop  # noqa: PLC0415 (there with mitmweb)

    loop: Any = IOLoop.current()
    for watched, _ in loop.handlers.values():
        if isinstance(watched, socket.socket) and watched.type == socket.SOCK_STREAM:
            return int(watched.getsockname()[1])
    raise LookupError("mitmweb does not listen")


_HEADER = "Proxy-Authorization"
_CHALLENGE = {"proxy-authenticate": 'Basic realm="response-store run"', "connection": "close"}
_NOT_YOURS = b"This proxy belongs to a command that response-store run has started.\n"


class Admission:
    """Admits the command's requests; answers those of others itself."""

    def __init__(self, password: str) -> None:
        self._expected = base64.b64encode(f"{USER}:{password}".encode())
        self._prefix = f"/{derive_segment(password)}"
        self._admitted: weakref.WeakSet[Any] = weakref.WeakSet()  # connections

    def admit(self, flow: http.HTTPFlow) -> bool:
        """Return whether a request, or a CONNECT, is the command's; take the password out of it."""
        reverse = isinstance(flow.client_conn.proxy_mode, ReverseMode)
        if not (self._has_prefix(flow) if reverse else self._has_password(flow)):
            status, headers = (404, {}) if reverse else (407, _CHALLENGE)
            flow.response = http.Response.make(status, _NOT_YOURS, headers)
            flow.metadata[LEFT_ALONE] = True
            return False
        return True

    def strip(self, request: http.Request) -> bool:
        """Take the segment off a path; return whether it was there."""
        path, prefix = request.path, self._prefix
        if not hmac.compare_digest(path[: len(prefix)].encode(), prefix.encode()):
            return False
        rest = path[len(prefix) :]
        if rest[:1] not in ("", "/", "?"):
            return False
        request.path = rest if rest.startswith("/") else f"/{rest}"
        return True

    def _has_prefix(self, flow: http.HTTPFlow) -> bool:
        return self.strip(flow.request)

    def _has_password(self, flow: http.HTTPFlow) -> bool:
        credentials = flow.request.headers.pop(_HEADER, "")
        scheme, _, coded = credentials.partition(" ")
        if scheme.lower() == "basic" and hmac.compare_digest(
            coded.strip().encode(), self._expected
        ):
            self._admitted.add(flow.client_conn)
        return flow.client_conn in self._admitted


_LOOK_EVERY = 0.005  # seconds
_END_WITHIN = 30.0  # seconds that a proxy has to end by itself


class Companion:
    """Runs before the capturing addon, so that this one sees the upstream addresses."""

    def load(self, _: Any) -> None:
        self._end = socket.socket(fileno=int(os.environ[proxy_process.FILE_NUMBER]))
        self._settings = msgspec.json.decode(
            proxy_process.receive_message(self._end), type=ProxySettings
        )
        self._admission = Admission(self._settings.password)
        self._ready: ProxyReady | None = None
        threading.Thread(
            target=self._watch, args=(ctx.master,), name="response-store-run", daemon=True
        ).start()

    def running(self) -> None:
        self._trust(ctx.options)
        set_up_page(ctx.options)
        asyncio.get_running_loop().call_soon(self._report_ready)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Admit the command alone."""
        self._admission.admit(flow)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Send on at once what a client asks of our reverse proxy through our proxy.

        mitmproxy refuses to connect to itself, and what passed twice would be captured twice.
        """
        if not self._admission.admit(flow):
            return
        self._authorize(flow)
        pass_request(flow)
        reverse, request = self._reverse(), flow.request
        if reverse is None or isinstance(flow.client_conn.proxy_mode, ReverseMode):
            return
        if (request.host, request.port) in _list_addresses(reverse) and self._admission.strip(
            request
        ):
            request.scheme, (request.host, request.port) = reverse.mode.scheme, reverse.mode.address

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        pass_response(flow, shown="web_port" in ctx.options)

    def http_connect_upstream(self, flow: http.HTTPFlow) -> None:
        self._authorize(flow, connects=True)

    def _authorize(self, flow: http.HTTPFlow, *, connects: bool = False) -> None:
        """Name the user to the proxy that we go on through.

        mitmproxy's own `upstream_auth` would replace the API key of requests in reverse mode.
        """
        credentials = self._settings.credentials
        upstream = isinstance(flow.client_conn.proxy_mode, UpstreamMode)
        if credentials and upstream and (connects or flow.request.scheme == "http"):
            coded = base64.b64encode(credentials.encode()).decode()
            flow.request.headers["Proxy-Authorization"] = f"Basic {coded}"

    def _trust(self, options: Any) -> None:
        """Trust upstream what is trusted without us, unless mitmproxy's configuration says."""
        if not (
            options.ssl_verify_upstream_trusted_ca or options.ssl_verify_upstream_trusted_confdir
        ):
            options.update(ssl_verify_upstream_trusted_ca=self._settings.trusted)

    def _report_ready(self) -> None:
        """Say that we are ready, once we are; where something failed, mitmproxy ends by itself."""
        if _get_addon("errorcheck").logger.has_errored:
            return
        session = _get_addon("responsestore").session
        if session is None:
            asyncio.get_running_loop().call_later(_LOOK_EVERY, self._report_ready)
            return
        page = find_page_url(ctx.master, ctx.options)
        if page is not None and self._settings.open_browser:
            open_in_browser(page)
        proxy_process.send_message(self._end, _build_ready(session, page))

    def _reverse(self) -> Any:
        """Return the reverse proxy's server, if there is one."""
        return next((one for one in _list_servers() if isinstance(one.mode, ReverseMode)), None)

    def _watch(self, master: Any) -> None:
        """End the proxy, and what it leaves, when the other end of the socket is gone."""
        with suppress(OSError):  # reset, where it went without having read all
            while self._end.recv(4096):
                pass
        shutil.rmtree(self._settings.folder, ignore_errors=True)
        master.shutdown()
        time.sleep(_END_WITHIN)
        os._exit(1)


def _build_ready(session: Any, page: str | None) -> ProxyReady:
    regular, *others = _list_servers()
    authority = _get_addon("tlsconfig").certstore.default_ca
    return ProxyReady(
        proxy=_choose_address(regular),
        reverse=_choose_address(others[0]) if others else None,
        authority=authority.to_pem().decode(),
        page=page,
        recorder_id=session.recorder_id,
    )


def _get_addon(name: str) -> Any:
    addons: Any = ctx.master.addons  # it has no types of its own
    return addons.get(name)


def _list_servers() -> list[Any]:
    """Return the listening servers, in the order of the modes."""
    servers = _get_addon("proxyserver").servers
    return [servers[mode] for mode in ctx.options.mode]


def _list_addresses(server: Any) -> list[tuple[str, int]]:
    """Return every name that a client may have for a server of ours."""
    bound = [(str(host), int(port)) for host, port, *_ in server.listen_addrs]
    return [*bound, *(("localhost", port) for _, port in bound)]


def _choose_address(server: Any) -> str:
    """Return `host:port`; the IPv4 address where there are two,
    because more clients can read it.
    """
    host, port = min(_list_addresses(server), key=lambda address: ":" in address[0])
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
