"""The real SDK, through each way a user can put the proxy in between."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.fakes import bodies
from tests.harness.clients import QUESTION, async_sdk, sdk, trusting
from tests.harness.database import unpacked
from tests.harness.expected import TOKENS, assert_completed, assert_holds, assert_response

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.harness.database import Database
    from tests.harness.proxy import Proxy

MODEL = "gpt-5"


@dataclass(frozen=True)
class Way:
    """One way through a proxy: where the SDK connects, and how."""

    base_url: str
    http: dict[str, Any]
    version: str
    scheme: str
    proxy: Proxy
    server: ModelServer

    @property
    def database(self) -> Database:
        return self.proxy.database


WAYS = [
    "reverse",
    "reverse before TLS",
    "reverse before TLS, HTTP/2",
    "regular with TLS",
    "regular with TLS, HTTP/2",
]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, model_server: ModelServer, tls_server: ModelServer) -> Way:
    """Reverse and regular mode, with HTTP/1.1 and with HTTP/2."""
    name = request.param.removesuffix(", HTTP/2")
    version = "HTTP/1.1" if name == request.param else "HTTP/2"
    fixtures = {"reverse": "proxy", "regular with TLS": "regular_proxy"}
    proxy: Proxy = request.getfixturevalue(fixtures.get(name, "tls_proxy"))
    http = {"http2": version == "HTTP/2", "verify": trusting(proxy.authority)}
    if name == "reverse":
        return Way(proxy.url, {}, version, "http", proxy, model_server)
    if name == "regular with TLS":
        return Way(
            tls_server.url, {**http, "proxy": proxy.url}, version, "https", proxy, tls_server
        )
    url = proxy.url if version == "HTTP/1.1" else proxy.url.replace("http:", "https:")
    return Way(url, http, version, "https", proxy, tls_server)


def test_create(way: Way, tenant: str) -> None:
    """`create` gives the SDK its answer, and the store the row and the response."""
    with sdk(way.base_url, tenant, **way.http) as client:
        answer = client.responses.create(model=MODEL, input=QUESTION)
    assert answer.output_text == bodies.TEXT
    row = way.database.ended(tenant)
    assert_completed(row, streamed=False, model=MODEL)
    assert_holds(row, {"scheme": way.scheme, "host": "127.0.0.1", "response_id": answer.id})
    assert row["user_agent"].startswith("OpenAI/Python")
    assert json.loads(unpacked(row["request_body"])) == {"model": MODEL, "input": QUESTION}
    stored = way.database.response(tenant)
    assert_response(stored, json.loads(stored["response_object"]))
    assert stored["id"] == answer.id


def test_stream(way: Way, tenant: str) -> None:
    """`stream=True` gives the SDK every event, and the store what the last one said."""
    with (
        sdk(way.base_url, tenant, **way.http) as client,
        client.responses.create(model=MODEL, input=QUESTION, stream=True) as stream,
    ):
        events = list(stream)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == bodies.TEXT
    row = way.database.ended(tenant)
    assert_completed(row, streamed=True, model=MODEL)
    stored = way.database.response(tenant)
    assert_response(stored, json.loads(stored["response_object"]))
    assert stored["id"] == row["response_id"] == events[-1].response.id


def test_raw_response(way: Way, tenant: str) -> None:
    """`with_raw_response` sees the answer's headers and bytes, which are the ones in the store."""
    with sdk(way.base_url, tenant, **way.http) as client:
        raw = client.responses.with_raw_response.create(model=MODEL, input=QUESTION)
    assert raw.http_response.http_version == way.version
    assert way.server.recordings.only(tenant).request.version == way.version
    row = way.database.ended(tenant)
    assert row["upstream_request_id"] == raw.headers["x-request-id"]
    assert way.database.response(tenant)["response_object"] == raw.http_response.text


async def test_async(way: Way, tenant: str) -> None:
    """The asynchronous SDK does not differ."""
    async with async_sdk(way.base_url, tenant, **way.http) as client:
        answer = await client.responses.create(model=MODEL, input=QUESTION)
        stream = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
        async with stream:
            events = [event async for event in stream]
    whole, streamed = way.database.all_ended(tenant, 2)
    assert_completed(whole, streamed=False, model=MODEL)
    assert_completed(streamed, streamed=True, model=MODEL)
    assert whole["response_id"] == answer.id
    assert streamed["response_id"] == events[-1].response.id


def test_stream_helper(proxy: Proxy, tenant: str) -> None:
    """The SDK's stream helper puts its events together as before."""
    with (
        sdk(proxy.url, tenant) as client,
        client.responses.stream(model=MODEL, input=QUESTION) as stream,
    ):
        answer = stream.get_final_response()
    assert answer.output_text == bodies.TEXT
    assert proxy.database.ended(tenant)["response_id"] == answer.id


def test_chained(proxy: Proxy, tenant: str) -> None:
    """A response that names the one before it keeps that name."""
    with sdk(proxy.url, tenant) as client:
        first = client.responses.create(model=MODEL, input=QUESTION)
        client.responses.create(model=MODEL, input="And?", previous_response_id=first.id)
    _, second = proxy.database.all_ended(tenant, 2)
    assert second["previous_response_id"] == first.id


def test_refusal(proxy: Proxy, tenant: str) -> None:
    """The SDK raises what the server's refusal means, and the row says why."""
    with sdk(proxy.url, tenant) as client, pytest.raises(openai.RateLimitError) as caught:
        client.responses.create(model="refused-429", input=QUESTION)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "refused", "ended_by": "body", "status_code": 429})
    assert_holds(row, {"error_code": "rate_limit_exceeded", "error_message": "Slow down."})
    assert row["upstream_request_id"] == caught.value.request_id
    assert proxy.database.responses(tenant) == []


def test_background(proxy: Proxy, tenant: str) -> None:
    """A background response is queued, in the row as in the answer."""
    with sdk(proxy.url, tenant) as client:
        answer = client.responses.create(model=MODEL, input=QUESTION, background=True)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "queued", "ended_by": "body", "response_id": answer.id})


CHAT_TOKENS = {**TOKENS, "api": "chat_completions", "output_text": bodies.TEXT}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_chat_completion(proxy: Proxy, tenant: str, *, streamed: bool) -> None:
    """A chat completion, tool calls and all, is one row with its object in `result`."""
    how: dict[str, Any] = {"stream_options": {"include_usage": True}} if streamed else {}
    with sdk(proxy.url, tenant) as client:
        answer: Any = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": QUESTION}], stream=streamed, **how
        )
        got = list(answer)[-1] if streamed else answer
    row = proxy.database.ended(tenant)
    assert_holds(row, CHAT_TOKENS | {"state": "completed", "response_id": got.id})
    said = json.loads(row["result"])["choices"][0]["message"]
    calls = [call["function"] | {"id": call["id"]} for call in said["tool_calls"]]
    assert calls == [
        {"id": call["id"], "name": call["name"], "arguments": call["arguments"]}
        for call in bodies.TOOL_CALLS
    ]
    assert proxy.database.responses(tenant) == []
