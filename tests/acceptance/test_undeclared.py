"""Answers without a type, and none at all."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BY_TENANT
from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, Framing, Gate
from tests.harness.clients import CHAT, RawClient, asking, chatting, fetch
from tests.harness.expected import assert_holds
from tests.harness.ports import free_port
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.model_server import ModelServer


def test_a_stream_without_a_type(proxy: Proxy, model_server: ModelServer, tenant: str) -> None:
    """What was asked to stream is passed on as it comes, and its row is that of a stream."""
    gate = Gate()
    first, *rest = PLAIN.answer(bodies.stream_events()).steps
    answer = Answer(headers=(), framing=Framing.CHUNKED, steps=(first, gate, *rest))
    with RawClient(proxy.port) as client:
        reply = client.ask(asking(model_server.play(answer), stream=True), x_tenant=tenant)
        client.read_until(reply, b"response.created")  # while the server waits
        assert not reply.whole
        gate.open()
        client.read_to_end(reply)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed", "ended_by": "terminal_event", "transport": "sse"})


@pytest.mark.parametrize("path", ["/v1/responses", CHAT])
def test_a_server_that_does_not_run(authority: Path, tmp_path: Path, path: str) -> None:
    """The row says what failed, with mitmproxy's own strategy of connecting as well."""
    mode = f"reverse:http://127.0.0.1:{free_port()}"
    with Proxy(tmp_path / "p", authority=authority, mode=mode, config=BY_TENANT) as proxy:
        with suppress(OSError):
            fetch(proxy.port, chatting() if path == CHAT else asking(), "t", path=path)
        row = proxy.database.ended("t")
    expected = {"state": "interrupted", "ended_by": "upstream", "status_code": None}
    assert_holds(row, expected | {"error_code": "connection_failed", "requested_model": "gpt-5"})
    assert "onnect" in row["error_message"]
