"""Whoever speaks OpenAI's APIs, in whichever way: the row that must be there is there."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from tests.fakes import bodies
from tests.fakes.variants import CHATS, RESPONSES, ChatServer, ResponsesServer
from tests.harness.clients import QUESTION, asking, chatting, fetch, sdk, trusting
from tests.harness.expected import TOKENS, assert_holds, assert_response, response_in

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.fakes.certificates import Certificates
    from tests.fakes.model_server import ModelServer
    from tests.harness.database import Row
    from tests.harness.proxy import Proxy

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def completed(row: Row, path: str, model: str) -> None:
    """The columns that no server's habits may change."""
    assert_holds(row, {"path": path, "state": "completed", "status_code": 200, "error_code": None})
    assert_holds(row, TOKENS | {"output_text": bodies.TEXT, "requested_model": model})
    assert_holds(row, {"model": bodies.dated(model), "raw_response": None})


@STREAMED
@pytest.mark.parametrize("name", RESPONSES)
def test_responses(
    proxy: Proxy, model_server: ModelServer, tenant: str, name: str, *, streamed: bool
) -> None:
    """Each server's response is one row and one stored object, as it was sent."""
    server = RESPONSES[name]
    model = model_server.play(server.play)
    fetch(proxy.port, asking(model, stream=streamed), tenant, path=server.path)
    row = proxy.database.ended(tenant)
    completed(row, server.path, model)
    streams = streamed or server.streams_unasked
    assert_holds(row, {"api": "responses", "transport": "sse" if streams else "http"})
    sent = model_server.recordings.only(tenant).body
    answer = response_in(sent) if streams else json.loads(sent)
    assert_response(proxy.database.response(tenant), answer)
    assert row["response_id"] == answer["id"]


@STREAMED
def test_repeated_ids(
    proxy: Proxy, model_server: ModelServer, tenant: str, *, streamed: bool
) -> None:
    """A server that gives every response the same id still has a row for each exchange."""
    model = model_server.play(ResponsesServer(members={"id": "resp_1", "created_at": 1}).play)
    for _ in range(3):
        fetch(proxy.port, asking(model, stream=streamed), tenant)
    rows = proxy.database.all_ended(tenant, 3)
    assert [row["output_text"] for row in rows] == [bodies.TEXT] * 3
    assert len(proxy.database.responses(tenant)) == 1


@STREAMED
@pytest.mark.parametrize("name", CHATS)
def test_chats(
    proxy: Proxy, model_server: ModelServer, tenant: str, name: str, *, streamed: bool
) -> None:
    """Each server's completion is one row, with all that the server adds to it in `result`."""
    server = CHATS[name]
    model = model_server.play(server.play)
    body = chatting(model, stream=streamed, stream_options={"include_usage": True})
    fetch(proxy.port, body, tenant, path=server.path)
    row = proxy.database.ended(tenant)
    completed(row, server.path, model)
    assert row["api"] == "chat_completions"
    holds(json.loads(row["result"]), server)


def holds(result: dict[str, Any], server: ChatServer) -> None:
    """The completion has everything that this server adds."""
    (choice,) = result["choices"]
    added = [(result, server.top), (result, server.first or {}), (choice, server.choice)]
    added += [(choice["message"], server.said), (result["usage"], server.usage)]
    for found, expected in added:
        assert {key: found.get(key) for key in expected} == dict(expected)
    calls = [call["function"] | {"id": call["id"]} for call in choice["message"]["tool_calls"]]
    assert calls == bodies.TOOL_CALLS
    assert choice["message"]["content"] == bodies.TEXT


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("name", ["ChatGPT", "OpenAI"])
def test_encoded_requests(
    proxy: Proxy, model_server: ModelServer, tenant: str, name: str, coding: str
) -> None:
    """A compressed request is read, streamed answers and all."""
    server = RESPONSES[name]
    model = model_server.play(server.play)
    plain = json.dumps(asking(model, stream=True)).encode()
    packed = {"gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}[coding](plain)
    fetch(proxy.port, packed, tenant, path=server.path, content_encoding=coding)
    completed(proxy.database.ended(tenant), server.path, model)
    assert json.loads(proxy.database.response(tenant)["input"])[0]["role"] == "user"


def test_map_remote(
    make_proxy: MakeProxy, tls_server: ModelServer, certificates: Certificates, tenant: str
) -> None:
    """Where requests are sent on to another server, the host is the one that was asked for.

    A flow file tells it only by the name in the TLS handshake.
    """
    options = {
        "ssl_verify_upstream_trusted_ca": str(certificates.authority),
        "connection_strategy": "lazy",
        "upstream_cert": "false",
        "map_remote": f"|//api.openai.com/|//127.0.0.1:{tls_server.port}/",
    }
    live = make_proxy("live", mode="regular", options=options, arguments=["-w", "flows"])
    with live as proxy:
        http = {"verify": trusting(proxy.authority), "proxy": proxy.url}
        with sdk("https://api.openai.com", tenant, **http) as client:
            answer = client.responses.create(model="gpt-5", input=QUESTION)
        proxy.flush()
        proxy.terminate()
    flows = str(live.folder / "flows")
    read = make_proxy("read", mode="regular", arguments=["-n", "-r", flows], control=False)
    assert read.run().returncode == 0
    assert len(tls_server.recordings.of(tenant)) == 1
    for store in (live, read):
        row = store.database.ended(tenant)
        assert_holds(row, {"host": "api.openai.com", "scheme": "https", "response_id": answer.id})
