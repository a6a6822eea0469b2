"""A canary in every place where a secret can stand, and clients that send it there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Gate, json_answer
from tests.fakes.model_server import ModelServer
from tests.fakes.requests import Request
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import answer, instead, usual
from tests.harness.clients import CHAT, RawClient, asking, chatting, fetch
from tests.harness.proxy import Proxy
from tests.harness.streams import LAST_DELTA, halfway

CANARY = "CANARY"
KEY = "sk-" + "proj-" + CANARY + "aB3dEf6hIj9lMn2pQr5t" * 2
PEM = (
    "-----BEGIN " + "PRIVATE KEY-----\n" + CANARY + "MIIEvQIBADANBg\n"
    + "-----END " + "PRIVATE KEY-----\n"
)  # fmt: skip
SAYS = f"Use {KEY} and\n{PEM}to get in."
CLEAN = "Use [redacted:openai] and\n[redacted:private-key]\nto get in."
OUTPUT = json.dumps({"env": f"KEY={KEY}", "pem": PEM})
ARGUMENTS = json.dumps({"command": f"curl -H 'Authorization: Bearer {KEY}'"})
CONFIG = {"redact": "common", "capture": {"raw_bodies": "always"}}


@dataclass(frozen=True)
class Sent:
    """One exchange: what it is called, and whose it is."""

    name: str
    tenant: str


def secretive(model: str, **fields: Any) -> dict[str, Any]:
    """A request with a secret in each of its places."""
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": SAYS}]},
        {"type": "function_call", "call_id": "c1", "name": "run", "arguments": ARGUMENTS},
        {"type": "function_call_output", "call_id": "c1", "output": OUTPUT},
    ]
    return asking(
        model,
        input=items,
        instructions=SAYS,
        metadata={"note": KEY, KEY: "name"},
        tools=[{"type": "function", "name": "run", "description": SAYS, "parameters": {}}],
        user=KEY,
        **fields,
    )


def _whole(request: Request) -> Any:
    called = bodies.function_call("run", ARGUMENTS, item_id="fc_1")
    output = [bodies.message(SAYS, item_id="msg_1"), called]
    return json_answer(bodies.whole_response(request.fields, text=SAYS, output=output))


def _streamed(request: Request) -> Any:
    return PLAIN.answer(bodies.stream_events(request.fields, text=SAYS))


def _refused(request: Request) -> Any:
    said = f"Incorrect API key provided: {KEY}."
    return json_answer(bodies.error_body(said, kind="invalid_request_error"), status=401)


def _plain(request: Request) -> Any:
    return json_answer(f"<h1>{SAYS}</h1>".encode(), status=500)


def _chat(request: Request) -> Any:
    return json_answer(bodies.chat_completion(request.fields, text=SAYS))


def _chat_streamed(request: Request) -> Any:
    return PLAIN.answer(bodies.chat_chunks(request.fields, text=SAYS))


def send_all(proxy: Proxy, server: ModelServer, tenant: str) -> Iterator[Sent]:
    """Every way in which a secret can pass; each is yielded when its client has its answer."""
    for name, scenario in {
        "whole": _whole, "refused": _refused, "plain": _plain, "streamed": _streamed,
    }.items():  # fmt: skip
        sent = Sent(name, f"{tenant}-{name}")
        body = secretive(server.play(scenario), stream=name == "streamed")
        path = f"/v1/responses?include={KEY}&api-version=1"
        reply = fetch(proxy.port, body, sent.tenant, path=path, user_agent=f"tool/{KEY}")
        assert CANARY.encode() in reply.body, "what passes stays as it is"
        yield sent
    for name, scenario in {"chat": _chat, "chat-streamed": _chat_streamed}.items():
        sent = Sent(name, f"{tenant}-{name}")
        said = [{"role": "tool", "tool_call_id": "c", "content": OUTPUT}]
        body = chatting(server.play(scenario), stream=name == "chat-streamed", messages=said)
        fetch(proxy.port, body, sent.tenant, path=CHAT)
        yield sent
    yield _cut(proxy, server, tenant)
    yield _on_a_socket(proxy, server, tenant)


def _cut(proxy: Proxy, server: ModelServer, tenant: str) -> Sent:
    """A stream that its client leaves in the middle."""
    sent = Sent("cut", f"{tenant}-cut")
    with RawClient(proxy.port) as client:
        model = server.play(halfway(Gate(), go_on=True))
        reply = client.ask(secretive(model, stream=True), x_tenant=sent.tenant)
        client.read_until(reply, LAST_DELTA)
    return sent


def _on_a_socket(proxy: Proxy, server: ModelServer, tenant: str) -> Sent:
    sent = Sent("socket", f"{tenant}-socket")
    switch = WebSocketSwitch(server, usual)
    scenario = switch.play(instead(lambda asked: answer(asked, text=SAYS)))
    client = WebSocketClient(proxy.port, sent.tenant, scenario=scenario)
    client.send({"type": "response.create", **secretive("gpt-5")})
    client.until("response.completed")
    client.close()
    return sent
