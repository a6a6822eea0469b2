"""`response-store show` of what passed a proxy: each way that an answer comes is a conversation."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from click.testing import CliRunner

from response_store.cli import main
from tests.fakes import bodies
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import usual
from tests.harness.clients import CHAT, QUESTION, asking, chatting, fetch

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer
    from tests.harness.proxy import Proxy


ALWAYS = {"tenant": {"header": "x-tenant"}, "capture": {"raw_bodies": "always"}}


def shown(proxy: Proxy, tenant: str, *options: str) -> bytes:
    """What `show` says of the one exchange of a tenant."""
    proxy.flush()
    (row,) = proxy.database.exchanges(tenant)
    database = str(proxy.folder / "responses.db")
    found = CliRunner().invoke(
        main, ["show", row["exchange_id"], "--database", database, "--tenant", tenant, *options]
    )
    assert (found.exit_code, found.stderr) == (0, "")
    return found.stdout_bytes


def test_each_way(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """Question, answer, tool calls, tokens and the raw bytes, of both APIs and every transport."""
    WebSocketSwitch(model_server, usual)
    with make_proxy(config=ALWAYS) as proxy:
        for api, path in ((asking, "/v1/responses"), (chatting, CHAT)):
            for streamed in (False, True):
                one = f"{tenant}-{path[4:8]}-{streamed}"
                reply = fetch(proxy.port, api(stream=streamed), one, path=path)
                assert bytes(reply.body) == shown(proxy, one, "--raw")
                text = shown(proxy, one).decode()
                said, told = text, json.loads(shown(proxy, one, "--json"))
                assert f"--- user\n{QUESTION}\n" in said
                assert f"--- assistant\n{bodies.TEXT}\n" in said
                if streamed is False or api is asking:
                    assert re.search(r"^tokens\t\d+ in.*, \d+ out", said, re.MULTILINE), said
                assert ("over sse" in said) == streamed
                assert told["request"] == api(stream=streamed)
                assert (told["response"] or told["result"])["id"]
                assert ("--- tool call" in said) == (b'"tool_calls":' in shown(proxy, one, "--raw"))
        socket = f"{tenant}-socket"
        with WebSocketClient(proxy.port, socket) as client:
            client.send({"type": "response.create"} | asking())
            client.until("response.completed")
        text = shown(proxy, socket).decode()
        assert "over websocket" in text
        assert f"--- user\n{QUESTION}\n" in text
        assert f"--- assistant\n{bodies.TEXT}\n" in text
        assert re.search(r"^tokens\t\d+ in", text, re.MULTILINE)
        assert json.loads(shown(proxy, socket, "--json"))["response"]["status"] == "completed"
