"""Creating responses on every way, and asking a proxy for what it has stored of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.fakes import bodies
from tests.harness.clients import CREATE, asking, fetch, sdk

if TYPE_CHECKING:
    from tests.fakes.model_server import ModelServer
    from tests.harness.clients import Reply
    from tests.harness.proxy import Proxy

WAYS = ("json", "sse", "websocket")
ITEMS = [{"role": "user", "content": f"question {n}"} for n in range(45)]
COMPLETED = "response.completed"


def get(proxy: Proxy, tenant: str, after: str, method: str = "GET", **how: str) -> Reply:
    """Ask for what follows `/v1/responses/`."""
    return fetch(proxy.port, None, tenant, method=method, path=f"{CREATE}/{after}", **how)


def created(proxy: Proxy, tenant: str, way: str = "json", items: Any = ITEMS) -> str:
    """Have a response created, and return its id as soon as its end has come."""
    reply = fetch(proxy.port, asking(input=items, stream=way == "sse"), tenant)
    assert (reply.status, reply.whole) == (200, True)
    found = re.search(rb'"id": ?"(resp_\w+)"', reply.body)
    assert found is not None
    return found[1].decode()


def create(client: openai.OpenAI, tenant: str, way: str) -> str:
    """As `created`, by the SDK."""
    asked: Any = {"model": "gpt-5", "input": ITEMS}
    if way == "json":
        return client.responses.create(**asked).id
    if way == "sse":
        with client.responses.create(**asked, stream=True) as stream:
            return next(event.response.id for event in stream if event.type == COMPLETED)
    options: Any = {"proxy": None}
    with client.responses.connect(
        websocket_connection_options=options, extra_headers={"x-tenant": tenant}
    ) as connection:
        connection.send({"type": "response.create", **asked})
        return next(event.response.id for event in connection if event.type == COMPLETED)


def asked_of(server: ModelServer, tenant: str) -> list[tuple[str, str]]:
    """The method and path of what came to the model server, but for what creates."""
    came = [one.request for one in server.recordings.of(tenant)]
    return [(one.method, one.path) for one in came if one.method != "POST"]


def walk(proxy: Proxy, tenant: str, way: str) -> str:
    """The real SDK creates, retrieves, streams, lists and deletes; the id of what is gone."""
    with sdk(proxy.url, tenant) as client:
        name = create(client, tenant, way)
        whole = client.responses.retrieve(name)
        assert (whole.id, whole.status, whole.output_text) == (name, "completed", bodies.TEXT)
        with client.responses.retrieve(name, stream=True) as stream:
            events = list(stream)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert (events[0].type, events[-1].type) == ("response.created", COMPLETED)
        assert events[-1].response == whole
        with client.responses.retrieve(name, stream=True, starting_after=3) as stream:
            assert list(stream) == events[4:]
        for order in ("asc", "desc"):
            items = list(client.responses.input_items.list(name, order=order, limit=7))
            texts = [item.content[0].text for item in items]
            expected = [item["content"] for item in ITEMS]
            assert texts == (expected if order == "asc" else expected[::-1])
            assert len({item.id for item in items}) == len(ITEMS)
        client.responses.delete(name)
        assert_gone(client, name)
    return name


def assert_gone(client: openai.OpenAI, name: str) -> None:
    """Nothing is left of it, on any way."""
    for ask in (
        lambda: client.responses.retrieve(name),
        lambda: client.responses.retrieve(name, stream=True),
        lambda: list(client.responses.input_items.list(name)),
        lambda: client.responses.delete(name),
    ):
        with pytest.raises(openai.NotFoundError, match=f"No response found with id '{name}'"):
            ask()
