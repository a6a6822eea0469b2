"""Pages of other sites and a proxy on loopback: they read, delete and put in nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.acceptance.served import created
from tests.conftest import BY_TENANT
from tests.harness.clients import CREATE, TAG, asking
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer

TOKEN = "t0ken-of-thirty-two-characters-x"
EVIL = {"host": "evil.example", "origin": "http://evil.example", "referer": "http://evil.example/"}
ATTACKS = {
    "rebound": EVIL,
    "rebound, without an origin": {"host": "evil.example:8080"},
    "another site": {"origin": "https://evil.example"},
    "a sandboxed frame": {"origin": "null"},
    "another site, without an origin": {"sec-fetch-site": "cross-site"},
}


class Answer(NamedTuple):
    status: int
    body: Any


def request(proxy: Proxy, method: str, path: str, tenant: str, body: str = "", **of: str) -> Answer:
    """Send a request with exactly these headers."""
    line = HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    try:
        headers = {name.replace("_", "-"): value for name, value in of.items()} | {TAG: tenant}
        line.putrequest(method, path, skip_host="host" in headers)
        for name, value in headers.items():
            line.putheader(name, value)
        line.putheader("content-length", str(len(body)))
        line.endheaders(body.encode())
        answer = line.getresponse()
        return Answer(answer.status, json.loads(answer.read() or b"null"))
    finally:
        line.close()


@pytest.fixture(scope="module")
def proxies(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Proxy]]:
    """Reverse proxies, one for each kind of `serve` that is asked for."""
    with ExitStack() as stack:

        @cache
        def proxy(serve: str) -> Proxy:
            config = BY_TENANT | {"serve": serve, "serve_hosts": ["box.lan"]}
            made = Proxy(
                tmp_path_factory.mktemp(serve),
                authority=authority,
                mode=f"reverse:{model_server.url}",
                config=config,
            )
            return stack.enter_context(made)

        yield proxy


@pytest.fixture
def proxy(request: pytest.FixtureRequest, proxies: Callable[[str], Proxy]) -> Proxy:
    return proxies(request.param)


serving = pytest.mark.parametrize("proxy", ["only", "prefer"], indirect=True)
any_proxy = pytest.mark.parametrize("proxy", ["only", "prefer", "off"], indirect=True)


def path_of(response_id: str, rest: str = "") -> str:
    return f"{CREATE}/{response_id}{rest}"


@serving
@pytest.mark.parametrize("page", ATTACKS.values(), ids=ATTACKS)
def test_a_page_reads_and_deletes_nothing(
    proxy: Proxy, page: dict[str, str], tenant: str, model_server: ModelServer
) -> None:
    """Whatever a page of another site asks of a store is 403, goes nowhere and changes nothing."""
    response_id = created(proxy, tenant)
    for method, rest in (("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"),
                         ("DELETE", "")):  # fmt: skip
        answer = request(proxy, method, path_of(response_id, rest), tenant, **page)
        assert answer.status == 403
        assert answer.body["error"]["code"].startswith("response_store_")
    assert len(model_server.recordings.of(tenant)) == 1
    assert request(proxy, "GET", path_of(response_id), tenant).body["id"] == response_id


@serving
@pytest.mark.parametrize(
    "client",
    [
        {},
        {"host": "localhost:1"},
        {"host": "[::1]"},
        {"host": "box.lan"},
        {"origin": "http://localhost:5173", "sec-fetch-site": "same-site"},
        {"origin": "https://box.lan"},
    ],
)
def test_who_is_from_here_reads(
    proxy: Proxy, client: dict[str, str], tenant: str, model_server: ModelServer
) -> None:
    """Programs, pages of this machine and names that were given are answered as ever."""
    response_id = created(proxy, tenant)
    assert request(proxy, "GET", path_of(response_id), tenant, **client).status == 200
    assert len(model_server.recordings.of(tenant)) == 1


@any_proxy
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_page_puts_nothing_in(
    proxy: Proxy, kind: str | None, tenant: str, model_server: ModelServer
) -> None:
    """A POST that needs no preflight is 403, makes no row and costs nothing upstream."""
    body, typed = json.dumps(asking()), {"content-type": kind} if kind else {}
    for headers in (EVIL, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert request(proxy, "POST", CREATE, tenant, body, **headers, **typed).status == 403
    assert model_server.recordings.of(tenant) == []
    created(proxy, tenant)  # whatever came before is applied by then
    proxy.flush()
    assert len(proxy.database.exchanges(tenant)) == 1


@any_proxy
def test_a_page_opens_no_socket(proxy: Proxy, tenant: str) -> None:
    """Browsers ask no server before they open a WebSocket, so the proxy looks at its Origin."""
    upgrade = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "origin": "http://evil.example",
    }
    assert request(proxy, "GET", CREATE, tenant, **upgrade).status == 403


@any_proxy
def test_the_server_gets_its_own_name(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """What goes upstream names the server in Host, with `serve` as without."""
    body = json.dumps(asking())
    assert request(
        proxy, "POST", CREATE, tenant, body, **{"content-type": "application/json"}
    ).status == 200  # fmt: skip
    (one,) = model_server.recordings.of(tenant)
    assert one.request.header("host") == model_server.url.removeprefix("http://")


def test_a_token_is_wanted(make_proxy: MakeProxy, tenant: str, model_server: ModelServer) -> None:
    """Without it 401, with it the answer; it goes nowhere and stands in no file."""
    with make_proxy(config=BY_TENANT | {"serve": "prefer", "serve_token": TOKEN}) as proxy:
        response_id = created(proxy, tenant)
        path = path_of(response_id)
        assert request(proxy, "GET", path, tenant).status == 401
        assert request(proxy, "DELETE", path, tenant, authorization="Bearer sk-1").status == 401
        for sent in ({"authorization": f"Bearer {TOKEN}"}, {"x-response-store-token": TOKEN}):
            assert request(proxy, "GET", path, tenant, **sent).status == 200
        request(proxy, "GET", path_of("resp_unknown"), tenant, **{"x-response-store-token": TOKEN})
    asked = model_server.recordings.of(tenant)
    assert [one.request.method for one in asked] == ["POST", "GET"]
    assert TOKEN not in str(asked[-1].request.headers)
    held = [file for file in proxy.folder.rglob("*") if file.is_file()]
    with_token = [file.name for file in held if TOKEN.encode() in file.read_bytes()]
    assert all(name.endswith((".yaml", ".yml")) for name in with_token)
