"""What is taken of flows: plain values by allow-list, and a key that stays the same."""

from __future__ import annotations

import dataclasses

import pytest
from mitmproxy.http import Headers
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow, tutils

from response_store.capture import facts
from response_store.config import TenantConfig
from response_store.store.records import Api

SECRETS = [
    (b"Authorization", b"Bearer c4n4ry"),
    (b"api-key", b"c4n4ry"),
    (b"Cookie", b"c4n4ry"),
    (b"chatgpt-account-id", b"c4n4ry"),
    (b"x-codex-turn-metadata", b"c4n4ry"),
]
TENANT = TenantConfig("default", "x-tenant")


def facts_of(flow, tenant: TenantConfig = TENANT):
    headers = facts.request_headers(flow, tenant)
    passed = facts.passed(flow, Api.RESPONSES, headers, tenant)
    assert "c4n4ry" not in repr(dataclasses.replace(passed, path="", body=None))
    assert passed.facts() is passed.facts()
    return passed.facts()


def flow_of(*headers: tuple[bytes, bytes], path: bytes = b"/v1/responses"):
    request = tutils.treq(method=b"POST", path=path, headers=Headers((*SECRETS, *headers)))
    return tflow.tflow(req=request, resp=True)


def test_no_secret() -> None:
    """Nothing of a header or a parameter that is not allowed is taken."""
    flow = flow_of(path=b"/v1/responses?api-version=1&key=c4n4ry")
    flow.response.headers["set-cookie"] = "c4n4ry"
    request = facts_of(flow)
    assert "c4n4ry" not in repr(dataclasses.replace(request, body=None))
    assert "c4n4ry" not in repr(facts.answer_head(flow))
    assert request.path == "/v1/responses?api-version=1"


@pytest.mark.parametrize(
    ("sent", "tenant"),
    [(b"team", "team"), (b"", "default"), (b"\xff\x00", "\ufffd\ufffd"), (b"x" * 2000, "x" * 1000)],
)
def test_tenant(sent: bytes, tenant: str) -> None:
    """The tenant is named by its header, else by the configuration."""
    flow = flow_of((b"X-Tenant", sent))
    assert facts_of(flow).tenant_id == tenant
    assert facts_of(flow, TenantConfig("t", None)).tenant_id == "t"


def test_exchange_id() -> None:
    """The key follows from the flow, its start and the turn, whenever it is read."""
    key = facts.exchange_id("flow", 1741476542.123456)
    assert key == "726e6751-71a5-590e-a60e-759618728c78"
    others = [("other", 1741476542.123456, 0), ("flow", 1741476543.0, 0)]
    others += [("flow", 1741476542.123456, 1)]
    assert len({key, *(facts.exchange_id(*other) for other in others)}) == 4


@pytest.mark.parametrize(
    ("mode", "host"), [("regular", "asked.example"), ("reverse:http://x", "address")]
)
def test_host(mode: str, host: str) -> None:
    """The host is the one that the client asked for; in reverse mode its TLS names the proxy."""
    flow = flow_of()
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    flow.client_conn.sni = "asked.example"
    assert facts.host(flow) == host
    flow.client_conn.sni = None
    assert facts.host(flow) == "address"


@pytest.mark.parametrize(
    ("content_type", "streams"),
    [("text/event-stream", True), ("Text/Event-Stream; charset=utf-8", True), ("text/html", False)],
)
def test_answer_head(content_type: str, streams: bool) -> None:
    """The head of an answer says whether it streams, and which request it was upstream."""
    flow = flow_of()
    flow.response.headers["content-type"] = content_type
    flow.response.headers["X-Request-Id"] = "req_1"
    head = facts.answer_head(flow)
    assert (head.is_event_stream, head.upstream_request_id) == (streams, "req_1")
    assert head.status_code == 200


def test_headers() -> None:
    """Of several headers of one name the first counts, whatever its letters."""
    headers = facts.HeaderMap(
        Headers(((b"X-A", b"1"), (b"x-a", b"2"), (b"B", b"\xff"), (b"d", b"4"))),
        frozenset({b"x-a", b"b", b"c"}),
    )
    assert [headers.get(name) for name in (b"x-a", b"b", b"c", b"d")] == ["1", "\ufffd", "", ""]
