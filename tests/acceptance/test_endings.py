"""However an exchange ends, it has one row that says so, with the text that had come by then."""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from tests.fakes import bodies
from tests.fakes.answers import PLAIN, End, Gate, json_answer
from tests.harness.clients import RawClient, Reply, asking, fetch, sdk, trusting
from tests.harness.database import unpacked
from tests.harness.expected import assert_completed, assert_holds
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import wait_until
from tests.harness.streams import (
    HALF_TEXT,
    LAST_DELTA,
    TERMINAL,
    before_the_last,
    halfway,
    whole_json,
    wordless,
)

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.harness.proxy import Proxy

INTERRUPTED = {"state": "interrupted", "output_text": HALF_TEXT}


def start(client: RawClient, model: str, tenant: str, until: bytes) -> Reply:
    """Ask for a stream and read it up to the mark."""
    reply = client.ask(asking(model, stream=True), x_tenant=tenant)
    return client.read_until(reply, until)


@pytest.mark.parametrize("leave", [RawClient.close, RawClient.reset], ids=["close", "reset"])
def test_client_gone_mid_stream(
    proxy: Proxy, model_server: ModelServer, tenant: str, leave: object
) -> None:
    """A client that hangs up halfway leaves half of the text behind."""
    client = RawClient(proxy.port)
    start(client, model_server.play(halfway(Gate(), go_on=True)), tenant, LAST_DELTA)
    leave(client)  # type: ignore[operator]
    row = proxy.database.ended(tenant)
    assert_holds(row, INTERRUPTED | {"ended_by": "client", "status_code": 200, "transport": "sse"})
    assert unpacked(row["raw_response"]) == model_server.recordings.only(tenant).body


def test_client_gone_mid_stream_over_http2(
    regular_proxy: Proxy, tls_server: ModelServer, tenant: str
) -> None:
    """A stream that an HTTP/2 client drops is interrupted by the client as well."""
    model = tls_server.play(halfway(Gate(), go_on=True))
    http = {"verify": trusting(regular_proxy.authority), "proxy": regular_proxy.url}
    with sdk(tls_server.url, tenant, http2=True, **http) as client:
        stream = client.responses.create(model=model, input="Hi", stream=True)
        text = ""
        for event in stream:
            text += event.delta if event.type == "response.output_text.delta" else ""
            if text == HALF_TEXT:
                break
        stream.close()
    assert_holds(regular_proxy.database.ended(tenant), INTERRUPTED | {"ended_by": "client"})


def test_client_resets_its_http2_stream(
    regular_proxy: Proxy, tls_server: ModelServer, tenant: str
) -> None:
    """A client that cancels one stream of a connection that lives on has ended it."""
    model = tls_server.play(halfway(Gate(), go_on=True))
    with Http2Client(regular_proxy, tls_server.url) as client:
        client.ask(asking(model, stream=True), tenant)
        client.read_until(LAST_DELTA)
        client.cancel()
        row = regular_proxy.database.ended(tenant)
    assert_holds(row, INTERRUPTED | {"ended_by": "client"})


def test_client_gone_before_the_first_event(
    proxy: Proxy, model_server: ModelServer, tenant: str
) -> None:
    """A client that leaves before anything came has a row without text."""
    with RawClient(proxy.port) as client:
        model = model_server.play(halfway(Gate(), go_on=True, after=0))
        client.ask(asking(model, stream=True), x_tenant=tenant)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "interrupted", "ended_by": "client", "output_text": None})


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_client_gone_before_the_answer(
    proxy: Proxy, model_server: ModelServer, tenant: str, *, streamed: bool
) -> None:
    """A client that does not wait for the answer has a row."""
    gate = Gate()
    client = RawClient(proxy.port)
    with client:
        client.send(asking(model_server.play(wordless(gate)), stream=streamed), x_tenant=tenant)
        assert gate.reached.wait(10)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "interrupted", "ended_by": "client", "status_code": None})


def test_client_gone_after_the_terminal_event(
    proxy: Proxy, model_server: ModelServer, tenant: str
) -> None:
    """A client that hangs up as soon as it has its answer, as Codex does, has its whole answer."""
    for _ in range(10):
        with RawClient(proxy.port) as client:
            start(client, "lingering", tenant, TERMINAL)
    for row in proxy.database.all_ended(tenant, 10):
        assert_completed(row, streamed=True, model="lingering")


def test_terminal_event_is_the_end(proxy: Proxy, tenant: str) -> None:
    """The row is complete once the terminal event has come, however long the stream stays open."""
    with RawClient(proxy.port) as client:
        start(client, "lingering", tenant, TERMINAL)
        assert_completed(proxy.database.ended(tenant), streamed=True, model="lingering")
        assert len(proxy.database.responses(tenant)) == 1


@pytest.mark.parametrize("end", End)
@pytest.mark.parametrize("part", [0, 60], ids=["between events", "in an event"])
def test_upstream_cut(
    proxy: Proxy, model_server: ModelServer, tenant: str, part: int, end: End
) -> None:
    """A stream whose server goes away keeps the text that came, and the client its bytes."""
    gate = Gate()
    with RawClient(proxy.port) as client:
        model = model_server.play(halfway(gate, end, part=part))
        reply = start(client, model, tenant, LAST_DELTA)
        gate.open()
        client.read_to_end(reply)
    assert not reply.whole
    sent = model_server.recordings.only(tenant).body
    assert bytes(reply.body) == sent
    row = proxy.database.ended(tenant)
    assert_holds(row, INTERRUPTED | {"ended_by": "upstream", "status_code": 200})
    assert unpacked(row["raw_response"]) == sent


@pytest.mark.parametrize("end", End)
def test_upstream_cut_over_http2(
    regular_proxy: Proxy, tls_server: ModelServer, tenant: str, end: End
) -> None:
    """A server that breaks an HTTP/2 stream is the one who ended it."""
    gate = Gate()
    model = tls_server.play(halfway(gate, end))
    http = {"verify": trusting(regular_proxy.authority), "proxy": regular_proxy.url}
    text = ""
    with sdk(tls_server.url, tenant, http2=True, **http) as client:
        stream = client.responses.create(model=model, input="Hi", stream=True)
        with pytest.raises(Exception, match=r"."):  # noqa: PT012 - any error that ends a stream
            for event in stream:
                text += event.delta if event.type == "response.output_text.delta" else ""
                if text == HALF_TEXT:
                    gate.open()
    row = regular_proxy.database.ended(tenant)
    assert_holds(row, INTERRUPTED | {"ended_by": "upstream"})


@pytest.mark.parametrize("end", End)
def test_upstream_cut_before_the_answer(
    proxy: Proxy, model_server: ModelServer, tenant: str, end: End
) -> None:
    """A server that goes away without a word leaves a row without text."""
    reply = fetch(proxy.port, asking(model_server.play(wordless(end))), tenant)
    assert reply.status == 502
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "interrupted", "ended_by": "upstream", "output_text": None})


@pytest.mark.parametrize("end", End)
def test_upstream_cut_in_a_json_body(
    proxy: Proxy, model_server: ModelServer, tenant: str, end: End
) -> None:
    """A JSON body that breaks off is an interrupted exchange."""
    reply = fetch(proxy.port, asking(model_server.play(whole_json(end, part=100))), tenant)
    assert reply.status == 502
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "interrupted", "ended_by": "upstream"})


ENDS = {
    "failed": ("failed", "terminal_event", "server_error", bodies.TEXT),
    "incomplete": ("incomplete", "terminal_event", "max_output_tokens", bodies.TEXT),
    "failed-500": ("refused", "terminal_event", "server_error", bodies.TEXT),
    "error-flat": ("failed", "body", "rate_limit_exceeded", bodies.TEXT[:7]),
    "error-nested": ("failed", "body", "rate_limit_exceeded", bodies.TEXT[:7]),
    "error-flat-failed": ("failed", "terminal_event", "server_error", bodies.TEXT),
    "error-nested-failed": ("failed", "terminal_event", "server_error", bodies.TEXT),
}


@pytest.mark.parametrize("scenario", ENDS)
def test_stream_that_ends_badly(
    proxy: Proxy, model_server: ModelServer, tenant: str, scenario: str
) -> None:
    """Each bad end of a stream has its state and its reason, and its raw bytes are kept."""
    state, ended_by, code, text = ENDS[scenario]
    reply = fetch(proxy.port, asking(scenario, stream=True), tenant)
    sent = model_server.recordings.only(tenant).body
    assert bytes(reply.body) == sent
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": state, "ended_by": ended_by, "error_code": code})
    assert_holds(row, {"output_text": text, "transport": "sse", "status_code": reply.status})
    assert unpacked(row["raw_response"]) == sent


BODIES = {
    "failed": ({"error": {"code": "server_error", "message": "Oh."}}, "server_error"),
    "incomplete": ({"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
    "cancelled": ({}, None),
}


@pytest.mark.parametrize("status", BODIES)
def test_body_that_ends_badly(
    proxy: Proxy, model_server: ModelServer, tenant: str, status: str
) -> None:
    """A response that comes in one piece says itself how it ended, and is stored so."""
    fields, code = BODIES[status]
    answer = bodies.whole_response(status=status, **fields)
    fetch(proxy.port, asking(model_server.play(json_answer(answer))), tenant)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": status, "ended_by": "body", "error_code": code})
    assert_holds(row, {"output_text": bodies.TEXT, "status_code": 200})
    assert unpacked(row["raw_response"]) == model_server.recordings.only(tenant).body
    assert json.loads(proxy.database.response(tenant)["response_object"]) == answer


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_stream_of_an_error_alone(
    proxy: Proxy, model_server: ModelServer, tenant: str, *, nested: bool
) -> None:
    """A stream that holds nothing but an error has failed without a response."""
    model = model_server.play(PLAIN.answer([bodies.error_event(nested=nested)]))
    fetch(proxy.port, asking(model, stream=True), tenant)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "failed", "ended_by": "body", "response_id": None})
    assert_holds(row, {"error_code": "rate_limit_exceeded", "error_message": "Slow down, please."})
    assert proxy.database.responses(tenant) == []


REFUSALS = {
    "refused-400": "model_not_found",
    "refused-401": "invalid_api_key",
    "refused-429": "rate_limit_exceeded",
    "refused-500": "server_error",
    "refused-503": "server_error",
}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("scenario", REFUSALS)
def test_refusal(
    proxy: Proxy, model_server: ModelServer, tenant: str, scenario: str, *, streamed: bool
) -> None:
    """A refusal is kept with its reason, whether a stream was asked for or not."""
    reply = fetch(proxy.port, asking(scenario, stream=streamed), tenant)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "refused", "ended_by": "body", "transport": "http"})
    assert_holds(row, {"status_code": int(scenario[-3:]), "error_code": REFUSALS[scenario]})
    assert row["error_message"] == reply.json["error"]["message"]
    assert unpacked(row["raw_response"]) == model_server.recordings.only(tenant).body


def test_open_row(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """A quarter of a second into a stream its row is there, open, and it is closed in place."""
    gate = Gate()
    with RawClient(proxy.port) as client:
        begun = monotonic()
        reply = start(client, model_server.play(before_the_last(gate)), tenant, LAST_DELTA)
        (row,) = wait_until(lambda: proxy.database.exchanges(tenant), "an open row is there")
        assert monotonic() - begun < 5.0
        assert_holds(row, {"state": "open", "ended_by": None, "duration_ms": None})
        assert row["request_body"] is not None
        gate.open()
        client.read_to_end(reply)
    ended = proxy.database.ended(tenant)
    assert_holds(ended, {"exchange_id": row["exchange_id"], "state": "completed"})
    assert ended["started_at"] == row["started_at"]
