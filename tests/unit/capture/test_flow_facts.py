"""What is taken of flows: plain values by allow-list."""

from __future__ import annotations

import gzip
from dataclasses import replace
from typing import Any

import pytest
from mitmproxy.flow import Error
from mitmproxy.http import Headers, HTTPFlow
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow, tutils

from response_store.capture import flow_facts
from response_store.capture.draft import RequestHead, encode_head
from response_store.config import TenantConfig, load_config
from response_store.diagnostics import Counters
from response_store.model.records import HEADER_COLUMNS, Api

SECRETS = [
    (b"Authorization", b"Bearer c4n4ry"),
    (b"api-key", b"c4n4ry"),
    (b"Cookie", b"c4n4ry"),
    (b"chatgpt-account-id", b"c4n4ry"),
    (b"x-codex-turn-metadata", b"c4n4ry"),
]
TENANT = TenantConfig("default", "x-tenant")
CONFIG = load_config(environ={})


def head_of(
    flow: HTTPFlow, tenant: TenantConfig = TENANT, session_header: str | None = None
) -> RequestHead:
    """What is kept of a request; it has no secret, and can be encoded."""
    capture = replace(CONFIG.capture, session_header=session_header)
    config = replace(CONFIG, tenant=tenant, capture=capture)
    headers = flow_facts.read_request_headers(flow, config)
    head = flow_facts.build_request_head(flow, Api.RESPONSES, headers, config)
    assert b"c4n4ry" not in encode_head(head)
    return head


def flow_of(*headers: tuple[bytes, bytes], path: bytes = b"/v1/responses") -> Any:
    """A flow that is full of secrets."""
    request = tutils.treq(method=b"POST", path=path, headers=Headers((*SECRETS, *headers)))
    return tflow.tflow(req=request, resp=True)


def test_no_secret() -> None:
    """Nothing of a header or a parameter that is not allowed is taken."""
    flow = flow_of(path=b"/v1/responses?api-version=1&key=c4n4ry")
    flow.response.headers["set-cookie"] = "c4n4ry"
    assert head_of(flow).path == "/v1/responses?api-version=1"
    assert b"c4n4ry" not in encode_head(flow_facts.build_answer_head(flow))


def test_request() -> None:
    """All else that a row says of a request."""
    flow = flow_of((b"User-Agent", b"me"), (b"Content-Encoding", b"gzip"))
    flow.request.data.content = gzip.compress(b"{}")
    head = head_of(flow)
    assert (head.flow_id, head.turn, head.tenant_id, head.api) == (
        flow.id,
        0,
        "default",
        "responses",
    )
    assert (head.method, head.scheme, head.host) == ("POST", "http", "address")
    assert (head.headers["user_agent"], head.content_encoding, head.transport) == (
        "me",
        "gzip",
        "http",
    )
    assert head.started_at == flow.request.timestamp_start
    assert (head.target_response_id, head.missing) == (None, None)


@pytest.mark.parametrize(
    ("path", "target"),
    [
        (b"/v1/responses/resp_1", "resp_1"),
        (b"/v1/responses/resp_1/cancel", "resp_1"),
        (b"/v1/responses/r%00%ff", "r\ufffd\ufffd"),
    ],
)
def test_requests_for_what_is_there(path: bytes, target: str) -> None:
    """The id of the response that a request asks after is that of its path."""
    assert head_of(flow_of(path=path)).target_response_id == target


def test_a_body_that_was_streamed_past() -> None:
    """A request without its body says so; one that needs none does not."""
    flow = flow_of()
    flow.request.data.content = None
    assert head_of(flow).missing == flow_facts.STREAMED_PAST
    flow = flow_of(path=b"/v1/responses/resp_1")
    flow.request.data.content = None
    assert head_of(flow).missing is None


@pytest.mark.parametrize(
    ("sent", "tenant"),
    [(b"team", "team"), (b"", "default"), (b"\xff\x00", "\ufffd\ufffd"), (b"x" * 1000, "x" * 1000)],
)
def test_tenant(sent: bytes, tenant: str) -> None:
    """The tenant is named by its header, else by the configuration."""
    flow = flow_of((b"X-Tenant", sent))
    assert head_of(flow).tenant_id == tenant
    assert head_of(flow, TenantConfig("t", None)).tenant_id == "t"


def test_everything_is_bounded() -> None:
    """Names of any length make no head that is too large."""
    long = b"x" * 100_000
    flow = flow_of((b"User-Agent", long), (b"Content-Encoding", long), path=b"/" + long)
    flow.request.host = "h" * 100_000
    flow.response.headers["content-type"] = flow.response.headers["x-request-id"] = "y" * 100_000
    assert len(encode_head(head_of(flow))) < 20_000
    assert len(encode_head(flow_facts.build_answer_head(flow))) < 20_000


@pytest.mark.parametrize(
    ("mode", "host"), [("regular", "asked.example"), ("reverse:http://x", "address")]
)
def test_host(mode: str, host: str) -> None:
    """The host is the one that the client asked for; in reverse mode its TLS names the proxy."""
    flow = flow_of()
    flow.client_conn.proxy_mode = ProxyMode.parse(mode)
    flow.client_conn.sni = "asked.example"
    assert flow_facts.find_host(flow) == host
    flow.client_conn.sni = None
    assert flow_facts.find_host(flow) == "address"


def test_port() -> None:
    """The port belongs to the host: where the address was rewritten it is what was asked for."""
    flow = flow_of()
    flow.server_conn.address = ("asked.example", 8443)
    assert head_of(flow).port == flow.request.port == 22
    flow.client_conn.sni = "asked.example"
    assert head_of(flow).port == 8443
    flow.server_conn.address = None
    assert head_of(flow).port == 22


@pytest.mark.parametrize(
    ("content_type", "transport"),
    [
        ("text/event-stream", "sse"),
        ("Text/Event-Stream; charset=utf-8", "sse"),
        ("text/html", "http"),
    ],
)
def test_answer_head(content_type: str, transport: str) -> None:
    """The head of an answer says whether it streams, and which request it was upstream."""
    flow = flow_of()
    flow.response.headers["content-type"] = content_type
    flow.response.headers["X-Request-Id"] = "req_1"
    flow.response.headers["Content-Encoding"] = "br"
    head = flow_facts.build_answer_head(flow)
    assert (head.transport, head.upstream_request_id) == (transport, "req_1")
    assert (head.status_code, head.content_type, head.content_encoding) == (200, content_type, "br")
    assert head.has_body


def test_headers() -> None:
    """Of several headers of one name the first counts, whatever its letters."""
    headers = flow_facts.HeaderMap(
        Headers(((b"X-A", b"1"), (b"x-a", b"2"), (b"B", b"\xff"), (b"d", b"4"))),
        frozenset({b"x-a", b"b", b"c"}),
    )
    assert [headers.get(name) for name in (b"x-a", b"b", b"c", b"d")] == ["1", "\ufffd", "", ""]


def test_when_a_recorded_flow_ended() -> None:
    """With its answer, else with its error, else with its request."""
    flow = flow_of()
    flow.request.timestamp_start, flow.request.timestamp_end = 1.0, None
    flow.response.timestamp_end = 4.0
    flow.error = Error("gone", 3.0)
    assert flow_facts.find_end_time(flow) == 4.0
    flow.response.timestamp_end = None
    assert flow_facts.find_end_time(flow) == 3.0
    flow.response = flow.error = None
    assert flow_facts.find_end_time(flow) == 1.0
    flow.request.timestamp_end = 2.0
    assert flow_facts.find_end_time(flow) == 2.0


@pytest.mark.parametrize(
    ("client", "server", "message", "by_client"),
    [
        (b"h2", b"http/1.1", "stream reset by client (CANCEL)", True),
        (b"h2", b"http/1.1", "stream reset by client (INTERNAL_ERROR)", True),
        (b"h2", b"h2", "stream reset by client (CANCEL)", True),
        (b"h2", b"h2", "stream reset by client (INTERNAL_ERROR)", False),
        (b"http/1.1", b"h2", "stream reset by client (CANCEL)", False),
        (b"h2", None, "peer closed connection", False),
        (None, None, "stream reset by client (CANCEL)", False),
    ],
)
def test_who_has_reset_a_stream(
    client: bytes | None, server: bytes | None, message: str, by_client: bool
) -> None:
    """mitmproxy has the same words for both sides; the protocols and the code tell them apart."""
    flow = tflow.tflow()
    flow.client_conn.alpn, flow.server_conn.alpn = client, server
    assert flow_facts.was_reset_by_client(flow, message) is by_client


def test_credentials_of_a_client() -> None:
    """The values of credential headers and parameters are there to be looked for, no others."""
    flow = flow_of(
        (b"X-Api-Key", b"header-0123456789"),
        (b"x-other", b"other-0123456789"),
        (b"X-Gateway-Api-Key", b"gateway-0123456789"),
        (b"Proxy-Authorization", b"Basic dXNlcjpwYXNzd29yZC0wMTIzNDU2Nzg5"),
        path=b"/v1/responses?api-version=1;api-key=query-0123456789&code=code-0123456789&x=plain-012345",
    )
    found = b" ".join(flow_facts.read_credentials(flow, Counters()))
    for secret in (
        b"header-0123456789",
        b"query-0123456789",
        b"code-0123456789",
        b"gateway-0123456789",
        b"password-0123456789",
    ):
        assert secret in found
    assert b"other" not in found
    assert b"plain" not in found


@pytest.mark.parametrize(
    ("offered", "keys"),
    [
        ("realtime, openai-insecure-api-key.sk-0123456789, openai-beta.v1", ["sk-0123456789"]),
        (
            "openai-insecure-api-key.sk-a-b_c.0123456789,Bearer.other-0123456789",
            ["other-0123456789", "sk-a-b_c.0123456789"],
        ),
        ("realtime-0123456789, openai-beta.realtime-v1", []),
    ],
)
def test_keys_among_the_protocols_of_a_socket(offered: str, keys: list[str]) -> None:
    """Browsers can't set headers: their keys stand among the protocols, and are credentials too."""
    request = tutils.treq(headers=Headers(((b"Sec-WebSocket-Protocol", offered.encode()),)))
    found = flow_facts.read_credentials(tflow.tflow(req=request), Counters())
    assert sorted(found) == sorted(key.encode() for key in keys)


def test_fields_and_parameters_beyond_the_bounds_are_counted() -> None:
    """The first 1,000 header fields and 100 parameters are looked at; what is beyond is counted."""
    counters = Counters()
    key, late = b"early-0123456789", b"late-0123456789"
    for before, path in ((998, b"/v1/responses?a=b"), (1000, b"/v1/responses?" + b"a=b&" * 100)):
        filling = ((b"x-a", b"b"),) * before
        headers = Headers(((b"api-key", key), *filling, (b"x-token", late)))
        request = tutils.treq(path=path + b"&key=parameter-0123456789", headers=headers)
        found = flow_facts.read_credentials(tflow.tflow(req=request), counters)
        assert key in found
        assert (late in found) == (b"parameter-0123456789" in found) == (before == 998)
    assert counters.snapshot() == {"limited.header_fields": 1, "limited.query_parameters": 1}


def test_columns_that_headers_fill() -> None:
    """Each column that names a header is taken from it, and no other header is."""
    assert "user_agent" in HEADER_COLUMNS
    named = [(headers[-1], b"said") for headers in HEADER_COLUMNS.values()]
    head = head_of(flow_of(*named, (b"x-else", b"c4n4ry")))
    assert head.headers == dict.fromkeys(HEADER_COLUMNS, "said")


def test_the_session_by_its_headers() -> None:
    """The configured header counts first, then those that are known, in their order."""
    codex, own = (b"session-id", b"s1"), (b"x-mine", b"s2")
    assert head_of(flow_of((b"thread-id", b"t1"), codex)).headers["session_id"] == "s1"
    assert head_of(flow_of(codex, own), session_header="x-mine").headers["session_id"] == "s2"
    assert head_of(flow_of(codex), session_header="x-mine").headers["session_id"] == "s1"


def test_a_subagent_with_a_session_of_its_own() -> None:
    """It belongs to the session that it names as its parent, and is called by its own there."""
    own, parent = (b"x-session-id", b"s2"), (b"x-parent-session-id", b"s1")
    headers = head_of(flow_of(own, parent)).headers
    assert (headers["session_id"], headers["agent"]) == ("s1", "s2")
    headers = head_of(flow_of(own, parent, (b"x-openai-subagent", b"review"))).headers
    assert (headers["session_id"], headers["agent"]) == ("s1", "review")
    headers = head_of(flow_of(own, parent, (b"x-mine", b"s3")), session_header="x-mine").headers
    assert (headers["session_id"], headers["agent"]) == ("s3", "s2")
    assert "agent" not in head_of(flow_of(parent)).headers


def test_rate_limits() -> None:
    """What an answer's headers say of limits is kept, each by its name."""
    flow = flow_of()
    limits = {
        "retry-after": "2",
        "x-ratelimit-remaining-tokens": "150000",
        "x-ratelimit-limit-input-images": "5",
        "x-codex-primary-used-percent": "12.5",
        "x-codex-credits-has-credits": "True",
    }
    fields = [(name.title().encode(), value.encode()) for name, value in limits.items()]
    others = [(b"x-codex-turn-state", b"s"), (b"retry-after", b"3"), (b"x-ratelimit", b"1")]
    flow.response = tutils.tresp(headers=Headers([*fields, *others]))
    assert flow_facts.build_answer_head(flow).limits == limits


def test_many_rate_limits() -> None:
    """They are bounded in number and length."""
    flow = flow_of()
    fields = [(f"x-ratelimit-{n}".encode(), b"9" * 500) for n in range(100)]
    long = b"x-ratelimit-" + b"n" * 100
    flow.response = tutils.tresp(headers=Headers([(long, b"1"), *fields]))
    limits = flow_facts.build_answer_head(flow).limits
    assert list(limits.values()) == ["9" * 128] * 32
