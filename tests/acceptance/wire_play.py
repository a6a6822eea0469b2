"""Play recorded answers of other people's servers and clients through a proxy, byte for byte.

`wire_cases/index.json` has a case a line: what the client sends, what the upstream answers, how it
ends, and under `expect` what the rows must be.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fakes.answers import Answer, End, Framing, Pause
from tests.fakes.websocket_client import WebSocketClient
from tests.harness.clients import RawClient

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.fakes.websocket import Scenario, ServerSocket, WebSocketSwitch

CASES = Path(__file__).with_name("wire_cases")
Case = dict[str, Any]
Messages = list[tuple[str, str | bytes]]


def load_cases() -> dict[str, Case]:
    """Return the cases by id."""
    return {case["id"]: case for case in json.loads((CASES / "index.json").read_text())}


def play(case: Case, port: int, tenant: str, server: ModelServer, switch: WebSocketSwitch) -> bytes:
    """Play a case through the proxy at `port`; return the body of the request."""
    if "messages" in case:
        _play_socket(case, port, tenant, switch)
        return b""
    _play_http(case, port, tenant, server)
    return (CASES / case["request"]).read_bytes()


def answer_bytes(case: Case) -> bytes:
    """Return the body that the upstream of a case sends."""
    return (CASES / case["response"]).read_bytes()


def _play_http(case: Case, port: int, tenant: str, server: ModelServer) -> None:
    body = answer_bytes(case)
    steps = (body, Pause(0.05), End.FIN) if case["end"] == "cut" else (body,)
    answer = Answer(
        status=int(case["status"].split()[0]),
        headers=tuple((name, value) for name, value in case["response_headers"]),
        framing=Framing.CHUNKED,
        steps=steps,
    )
    headers = {name.replace("-", "_"): value for name, value in case["request_headers"]}
    with RawClient(port) as client:
        reply = client.ask(
            (CASES / case["request"]).read_bytes(),
            path=case["path"],
            x_tenant=tenant,
            x_scenario=server.play(answer),
            **headers,
        )
        client.read_to_end(reply)
    assert bytes(reply.body) == body, "the client gets the upstream's bytes"
    assert reply.whole == (case["end"] != "cut")


def _play_socket(case: Case, port: int, tenant: str, switch: WebSocketSwitch) -> None:
    messages = _messages(case)
    scenario = switch.play(_scenario(messages, cut=case["end"] == "cut"))
    with WebSocketClient(port, tenant, scenario=scenario, path=case["path"]) as client:
        for who, content in messages:
            if who == "client":
                client.send(content)
            else:
                client.receive()
        if case["end"] == "client":
            client.close()
        else:
            client.until_end()


def _messages(case: Case) -> Messages:
    lines = map(json.loads, (CASES / case["messages"]).read_text().splitlines())
    return [(who, _content(how, what)) for who, how, what in lines]


def _content(how: str, what: Any) -> str | bytes:
    text = what if isinstance(what, str) else json.dumps(what)
    return text.encode() if how == "binary" else text


def _scenario(messages: Messages, *, cut: bool) -> Scenario:
    async def scenario(socket: ServerSocket) -> None:
        for who, content in messages:
            if who == "client":
                await socket.receive()
            else:
                await socket.send(content)
        if cut:
            await asyncio.sleep(0.05)
            await socket.cut()
        await socket.receive()  # until the client closes

    return scenario
