"""A conversation that real clients had is one thread, whatever it was carried by."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from response_store.cli import main
from tests.fakes.model_server import ModelServer
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import usual
from tests.harness.clients import sdk
from tests.harness.proxy import Proxy

COMPLETED = "response.completed"


def shown(proxy: Proxy, tenant: str, identifier: str, *options: str) -> str:
    """What `show --thread` prints."""
    arguments = ["show", "--thread", identifier, "--tenant", tenant, *options]
    result = CliRunner().invoke(main, [*arguments, "--database", str(proxy.database.path)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_thread_across_transports(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """JSON, a stream, a warm-up and an answer on a socket continue one another."""
    WebSocketSwitch(model_server, usual)
    with sdk(proxy.url, tenant) as client:
        first = client.responses.create(model="gpt-5", input="One?").id
        with client.responses.create(
            model="gpt-5", input="Two?", previous_response_id=first, stream=True
        ) as stream:
            second = next(event.response.id for event in stream if event.type == COMPLETED)
    names = [first, second]
    with WebSocketClient(proxy.port, tenant) as socket:
        for more in ({"input": [], "generate": False}, {"input": "Three?"}):
            request = {"type": "response.create", "model": "gpt-5"} | more
            socket.send(request | {"previous_response_id": names[-1]})
            names.append(socket.until(COMPLETED)["response"]["id"])
    proxy.database.all_ended(tenant, 4)
    listed = json.loads(shown(proxy, tenant, names[1], "--json"))
    assert [one["response_id"] for one in listed] == names
    assert [one["transport"] for one in listed] == ["http", "sse", "websocket", "websocket"]
    lines = shown(proxy, tenant, names[3]).splitlines()
    heads = [line[4:].split("\t") for line in lines if line.startswith("=== ")]
    assert [head[0] for head in heads] == [*names, "4 responses"]
    assert [head[-1].endswith("warm-up") for head in heads] == [False, False, True, False, False]
    assert [line for line in lines if line.endswith("?")] == ["One?", "Two?", "Three?"]


def test_a_conversation_is_a_thread(proxy: Proxy, tenant: str) -> None:
    """Responses that name one conversation follow one another in the order of time."""
    with sdk(proxy.url, tenant) as client:
        names = [
            client.responses.create(model="gpt-5", input=asked, conversation="conv_1").id
            for asked in ("One?", "Two?", "Three?")
        ]
        client.responses.create(model="gpt-5", input="Else?", conversation="conv_2")
    proxy.database.all_ended(tenant, 4)
    listed = json.loads(shown(proxy, tenant, names[1], "--json"))
    assert [one["response_id"] for one in listed] == names


def test_clients_without_state_have_sessions(
    proxy: Proxy, model_server: ModelServer, tenant: str
) -> None:
    """The real SDK, JSON and streams, of both APIs, and a socket with a header of Codex's.

    Each sends all that was said before; a fork of the first has the same session and parent.
    """
    WebSocketSwitch(model_server, usual)
    with sdk(proxy.url, tenant) as client:
        first = client.responses.create(model="gpt-5", input="One?", store=False)
        before: list[Any] = [{"role": "user", "content": "One?"}]
        before += [item.model_dump(exclude_none=True) for item in first.output]
        for text in ("Two?", "Or else?"):
            asked = [*before, {"role": "user", "content": text}]
            with client.responses.create(
                model="gpt-5", input=asked, store=False, stream=True
            ) as stream:
                assert [event.type for event in stream][-1] == COMPLETED
        chat: list[Any] = [{"role": "system", "content": "Be brief."}]
        for text in ("Three?", "Four?"):
            chat.append({"role": "user", "content": text})
            answer = client.chat.completions.create(model="gpt-5", messages=chat)
            chat.append(answer.choices[0].message.model_dump(exclude_none=True))
            chat[0]["content"] += " And new."
    with WebSocketClient(proxy.port, tenant, session_id="codex-1") as socket:
        socket.send({"type": "response.create", "model": "gpt-5", "input": "Five?", "store": False})
        socket.until(COMPLETED)
    rows = proxy.database.all_ended(tenant, 6)
    ids = [row["exchange_id"] for row in rows]
    assert [row["session_id"] for row in rows] == [ids[0]] * 3 + [ids[3]] * 2 + ["codex-1"]
    parents = [None, ids[0], ids[0], None, ids[3], None]
    assert [row["parent_exchange_id"] for row in rows] == parents
    questions = ["One?", "Two?", "Or else?", "Three?", "Four?", "Five?"]
    assert [row["question"] for row in rows] == questions
