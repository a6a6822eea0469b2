"""The addon that ties a proxy to the process which runs a command with it.

It tells where the proxy listens, and ends the proxy once that process is gone, however it went:
the socket between them closes even after a SIGKILL, on every system.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import msgspec
from mitmproxy import ctx, http
from mitmproxy.proxy.mode_specs import ReverseMode, UpstreamMode

from response_store.running import channel, passing, web_page
from response_store.running.admission import Admission
from response_store.running.channel import ProxyReady, ProxySettings

_LOOK_EVERY = 0.005  # seconds
_END_WITHIN = 30.0  # seconds that a proxy has to end by itself


class Companion:
    """Runs before the capturing addon, so that this one sees the upstream addresses."""

    def load(self, _: Any) -> None:
        self._end = socket.socket(fileno=int(os.environ[channel.FILE_NUMBER]))
        self._settings = msgspec.json.decode(channel.receive_message(self._end), type=ProxySettings)
        self._admission = Admission(self._settings.password)
        self._ready: ProxyReady | None = None
        threading.Thread(
            target=self._watch, args=(ctx.master,), name="response-store-run", daemon=True
        ).start()

    def running(self) -> None:
        self._trust(ctx.options)
        asyncio.get_running_loop().call_soon(self._tell)

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
        passing.pass_request(flow)
        reverse, request = self._reverse(), flow.request
        if reverse is None or isinstance(flow.client_conn.proxy_mode, ReverseMode):
            return
        if (request.host, request.port) in _list_addresses(reverse) and self._admission.strip(
            request
        ):
            request.scheme, (request.host, request.port) = reverse.mode.scheme, reverse.mode.address

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        passing.pass_response(flow, shown="web_port" in ctx.options)

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

    def _tell(self) -> None:
        """Say that we are ready, once we are; where something failed, mitmproxy ends by itself."""
        if _get_addon("errorcheck").logger.has_errored:
            return
        session = _get_addon("responsestore").session
        if session is None:
            asyncio.get_running_loop().call_later(_LOOK_EVERY, self._tell)
            return
        page = web_page.find_page_url(ctx.master, ctx.options)
        if page is not None and self._settings.open_browser:
            web_page.open_in_browser(page)
        channel.send_message(self._end, _build_ready(session, page))

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
