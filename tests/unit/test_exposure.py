"""Stored responses are served to this machine alone, unless the configuration says otherwise."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow, tutils

from response_store.config import load_config
from response_store.diagnostics import Counters
from response_store.exposure import HostHeaders, find_serving_refusal, list_listening_names
from response_store.hooks import Traffic
from response_store.runtime import Runtime
from response_store.serving.service import Service

HERE = "127.0.0.1"


def refusal(
    tmp_path: Path, config: str = "serve: only", bound: tuple[str, ...] = (), **options: Any
) -> str | None:
    """What is said of a configuration and of how mitmproxy was started."""
    path = tmp_path / "store.yaml"
    path.write_text(config)
    usual = {"server": True, "listen_host": HERE, "mode": ["regular"]}
    how = SimpleNamespace(**usual | options)
    return find_serving_refusal(load_config(path, {}), how, iter(bound))


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({}, None),
        ({"listen_host": "localhost"}, None),
        ({"listen_host": "127.8.9.10"}, None),
        ({"listen_host": "::1"}, None),
        ({"listen_host": "::ffff:127.0.0.1"}, None),
        ({"listen_host": ""}, "all interfaces"),
        ({"listen_host": None}, "all interfaces"),
        ({"listen_host": "0.0.0.0"}, "0.0.0.0"),
        ({"listen_host": "::"}, "::"),
        ({"listen_host": "::ffff:0.0.0.0"}, "::ffff:0.0.0.0"),
        ({"listen_host": "10.0.0.5"}, "10.0.0.5"),
        ({"listen_host": "fe80::1%eth0"}, "fe80::1%eth0"),
        ({"listen_host": "my-machine"}, "my-machine"),
        ({"listen_host": "127.0.0.1.example"}, "127.0.0.1.example"),
        ({"mode": ["regular@0.0.0.0:8080"]}, "0.0.0.0"),
        ({"mode": ["reverse:https://a.example@:8080"]}, "all interfaces"),
        ({"mode": ["regular", "socks5@10.0.0.5:1080"]}, "10.0.0.5"),
        ({"mode": ["reverse:https://10.0.0.5"]}, None),
        ({"listen_host": "", "mode": ["regular@127.0.0.1:8080"]}, None),
        ({"listen_host": "", "mode": ["regular@8080"]}, "all interfaces"),
        ({"listen_host": "", "mode": ["wireguard"]}, "all interfaces"),
        ({"mode": ["tun"]}, "a TUN interface"),
        ({"listen_host": "", "mode": ["local"]}, None),
        ({"listen_host": "", "mode": ["dns"]}, None),
        ({"listen_host": "", "mode": ["nonsense"]}, None),
        ({"listen_host": "", "server": False}, None),
        ({"bound": (HERE, "::1")}, None),
        ({"bound": (HERE, "0.0.0.0")}, "0.0.0.0"),
        ({"bound": ("192.168.1.7",), "server": False}, "192.168.1.7"),
    ],
)
def test_who_may_ask(tmp_path: Path, options: dict[str, Any], refused: str | None) -> None:
    """Whatever lets another machine in is refused, and said."""
    for serve in ("prefer", "only"):
        said = refusal(tmp_path, f"serve: {serve}", **options)
        if refused is None:
            assert said is None
        else:
            assert said is not None
            assert f"serve: {serve} gives" in said
            assert f"listens to other machines ({refused})" in said
            assert "--listen-host 127.0.0.1" in said
            assert "serve_remote: true" in said
            assert "store.yaml" in said


@pytest.mark.parametrize("config", ["", "serve: only\nserve_remote: true", "serve: off"])
def test_whom_it_does_not_concern(tmp_path: Path, config: str) -> None:
    """Without serving everything may listen, and with leave as well."""
    assert refusal(tmp_path, config, listen_host="", bound=("0.0.0.0",)) is None


ONLY = "serve: only\ncapture: {hosts: [api.openai.com]}"


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({}, True),
        ({"peername": ("::1", 5, 0, 0)}, True),
        ({"peername": ("::ffff:127.0.0.1", 5, 0, 0)}, True),
        ({"peername": ("10.0.0.7", 5)}, False),
        ({"peername": ("10.0.0.7", 5), "serve_remote": True}, True),
        ({"peername": ("10.0.0.7", 5), "proxy_mode": "local"}, True),
        ({"peername": ("10.0.0.1", 5), "proxy_mode": "wireguard"}, False),
        ({"peername": None}, False),
        ({"host": "forum.example"}, False),
        ({"path": "/v1/responses/compact"}, False),
        ({"live": None}, False),
        ({"response": tutils.tresp()}, False),
    ],
)
def test_whose_requests_are_answered(tmp_path: Path, change: dict[str, Any], asked: bool) -> None:
    """Those of live clients of this machine, for hosts that are captured; all others go on."""
    flow = tflow.tflow(live=change.get("live", True))
    flow.request.method, flow.request.path = "GET", change.get("path", "/v1/responses/resp_1")
    flow.request.host = change.get("host", "api.openai.com")
    flow.response = change.get("response")
    flow.client_conn.sni = None
    flow.client_conn.peername = change.get("peername", (HERE, 5))
    flow.client_conn.proxy_mode = ProxyMode.parse(change.get("proxy_mode", "regular"))
    (tmp_path / "store.yaml").write_text(ONLY)
    config = load_config(tmp_path / "store.yaml", {})
    config = dataclasses.replace(config, serve_remote=change.get("serve_remote", False))
    journal: Any = None  # nothing is asked of it here
    service = Service(config.serve, journal, Counters())
    traffic = Traffic(Runtime())
    assert (traffic._parse_store_request(flow, service, config) is not None) is asked


class Options(SimpleNamespace):
    """mitmproxy's options, as far as they matter here."""

    def update(self, **values: Any) -> None:
        self.__dict__.update(values)


def request_through(mode: str, host: str) -> Any:
    flow = tflow.tflow(req=tutils.treq(host="model.example", port=8443))
    flow.request.host_header = host
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    flow.server_conn.address, flow.server_conn.tls = ("model.example", 8443), True
    return flow


def test_host_is_read_and_then_replaced() -> None:
    """A client's Host is known afterwards, and what goes upstream is what mitmproxy would send."""
    options, headers = Options(keep_host_header=False), HostHeaders()
    headers.watch(options, replace_host=True)
    assert options.keep_host_header
    flow = request_through("reverse:https://model.example:8443", "evil.example")
    headers.note(flow)
    assert flow.request.host_header == "model.example:8443"
    assert headers.host(flow, options) == "evil.example"
    other = request_through("regular", "api.example")
    headers.note(other)
    assert (other.request.host_header, headers.host(other, options)) == ("api.example", None)
    headers.watch(options, replace_host=False)
    assert not options.keep_host_header


def test_a_user_s_own_option_stays() -> None:
    """Who keeps the Host himself, before or after, has it go upstream, and it is looked at."""
    flow = request_through("reverse:https://model.example:8443", "mine.example")
    options, headers = Options(keep_host_header=True), HostHeaders()
    headers.watch(options, replace_host=True)
    headers.note(flow)
    assert flow.request.host_header == "mine.example"
    assert headers.host(flow, options) == "mine.example"
    headers.watch(options, replace_host=False)
    assert options.keep_host_header
    options = Options(keep_host_header=False)
    headers.watch(options, replace_host=True)
    headers.options_changed({"keep_host_header"})
    headers.note(flow)
    assert flow.request.host_header == "mine.example"


def test_names_of_listening() -> None:
    """Hosts that the options name are names of the proxy; those that stand for all are none."""
    options = SimpleNamespace(
        server=True,
        listen_host="box.lan",
        mode=["reverse:http://x@8080", "regular@10.0.0.1:8081", "reverse:http://y@0.0.0.0:8082"],
    )
    assert list(list_listening_names(options)) == ["box.lan", "10.0.0.1"]
