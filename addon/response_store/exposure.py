"""Find out who can reach the proxy, and whether it must reach an upstream to hear a request."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from mitmproxy.connection import Client
from mitmproxy.http import HTTPFlow
from mitmproxy.net.http import url
from mitmproxy.proxy.mode_specs import ProxyMode

from response_store.config import Config, Serve

_NO_HTTP_FROM_OUTSIDE = ("local", "dns")  # programs of this machine; no HTTP at all


def find_serving_refusal(config: Config, options: Any, bound: Iterator[str]) -> str | None:
    """Return why stored responses may not be served; None where they may.

    `options` are mitmproxy's; `bound` the addresses at which it listens already.
    """
    if config.serve is Serve.OFF or config.serve_remote:
        return None
    remote = next(
        (host for host in (*_list_listening_hosts(options), *bound) if not _is_here(host)), None
    )
    if remote is None:
        return None
    return (
        f"Response Store: {config.source}: serve: {config.serve.value} gives stored responses to "
        f"whoever asks, and mitmproxy listens to other machines ({remote}).\n"
        "    Add --listen-host 127.0.0.1 to mitmproxy, and name no other address in --mode; or "
        "write serve_remote: true, if all who reach this proxy may read and delete what is stored."
    )


def connects_late(config: Config, modes: Sequence[str]) -> bool:
    """Return whether mitmproxy is to connect to the upstream only when a request is to go there.

    So it is in reverse mode, where a client that is not told why is closed if the upstream is down,
    and with `serve: only`, which asks nobody for what is stored.
    """
    reverse = bool(modes) and all(mode.startswith("reverse:") for mode in modes)
    return reverse or config.serve is Serve.ONLY


def list_listening_names(options: Any) -> Iterator[str]:
    """Yield the hosts that the options name for listening, but for those that stand for all."""
    for host in _list_listening_hosts(options):
        if host not in ("all interfaces", "a TUN interface", "0.0.0.0", "::"):  # noqa: S104
            yield host


def is_reverse(client: Client) -> bool:
    """Return whether a client takes the proxy for the server that it asks."""
    return client.proxy_mode.type_name == "reverse"


class HostHeaders:
    """Reads what clients of a reverse proxy write into Host, which mitmproxy replaces before hooks.

    So it is told to keep it (`keep_host_header`), and we replace it in its stead once it is read:
    what goes upstream is the same.
    """

    def __init__(self) -> None:
        self._replaces = False
        self._changing = False
        self._hosts: weakref.WeakKeyDictionary[HTTPFlow, str] = weakref.WeakKeyDictionary()

    def watch(self, options: Any, *, replace_host: bool) -> None:
        """Begin or end to read them; a user's own `keep_host_header` stays."""
        if replace_host == self._replaces or (replace_host and options.keep_host_header):
            return
        self._changing, self._replaces = True, replace_host
        try:
            options.update(keep_host_header=replace_host)
        finally:
            self._changing = False

    def options_changed(self, updated: set[str]) -> None:
        """Leave the option to a user who has set it meanwhile."""
        if "keep_host_header" in updated and not self._changing:
            self._replaces = False

    def note(self, flow: HTTPFlow) -> None:
        """Note the Host of a request, and replace it as mitmproxy would have."""
        address = flow.server_conn.address
        if not self._replaces or not is_reverse(flow.client_conn) or address is None:
            return
        self._hosts[flow] = flow.request.host_header or ""
        scheme = "https" if flow.server_conn.tls else "http"
        flow.request.host_header = url.hostport(scheme, address[0], address[1])

    def host(self, flow: HTTPFlow, options: Any) -> str | None:
        """Return what a client wrote into Host; None where it is not known, or names the server."""
        if not is_reverse(flow.client_conn):
            return None
        if not self._replaces:
            host: str | None = flow.request.host_header if options.keep_host_header else None
            return host
        return self._hosts.get(flow)


def is_from_here(client: Client) -> bool:
    """Return whether a client is a program of this machine."""
    if client.proxy_mode.type_name in _NO_HTTP_FROM_OUTSIDE:
        return True
    return bool(client.peername) and _is_here(client.peername[0])


def _list_listening_hosts(options: Any) -> Iterator[str]:
    """Yield the hosts of the servers that the options name; empty for all interfaces."""
    if not options.server:
        return
    for spec in options.mode:
        try:
            mode = ProxyMode.parse(spec)
        except ValueError:
            continue  # mitmproxy refuses it
        if mode.type_name == "tun":
            yield "a TUN interface"
        elif mode.type_name not in _NO_HTTP_FROM_OUTSIDE:
            yield mode.listen_host(options.listen_host) or "all interfaces"


def _is_here(host: str) -> bool:
    """Return whether a host is reached from this machine alone; of names `localhost` alone is."""
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    inside = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (inside or address).is_loopback
