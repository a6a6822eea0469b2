"""A DELETE that the API answers removes the stored response; what passed stays on record."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.conftest import BY_TENANT
from tests.fakes import bodies
from tests.fakes.answers import Answer, Gate, json_answer
from tests.harness.clients import CREATE, QUESTION, RawClient, asking, fetch, sdk

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer
    from tests.harness.clients import Reply
    from tests.harness.proxy import Proxy


class Client:
    """One client that creates a response and deletes it."""

    def __init__(self, proxy: Proxy, server: ModelServer, tenant: str, response_id: str) -> None:
        self.proxy = proxy
        self.server = server
        self.tenant = tenant
        self.id = response_id

    @property
    def path(self) -> str:
        return f"{CREATE}/{self.id}"

    @property
    def object(self) -> dict[str, Any]:
        return bodies.whole_response(id=self.id)

    def create(self) -> None:
        model = self.server.play(json_answer(self.object))
        assert fetch(self.proxy.port, asking(model), self.tenant).status == 200

    def delete(self, status: int = 200, body: Any = None) -> Reply:
        said = {"id": self.id, "object": "response", "deleted": True} if body is None else body
        model = self.server.play(json_answer(said, status=status))
        how = {"method": "DELETE", "path": self.path, "x_scenario": model}
        reply = fetch(self.proxy.port, None, self.tenant, **how)
        assert reply.status == status
        return reply

    def stored(self) -> list[str]:
        self.proxy.flush()
        return self.stored_by_now()

    def stored_by_now(self) -> list[str]:
        return [row["id"] for row in self.proxy.database.responses(self.tenant)]


@pytest.fixture
def client(proxy: Proxy, model_server: ModelServer, tenant: str) -> Client:
    """A client of a tenant of its own."""
    return Client(proxy, model_server, tenant, f"resp_{tenant}")


def count(proxy: Proxy, name: str) -> int:
    lines = dict(
        line.partition(": ")[::2] for line in proxy.command("response_store.status").splitlines()
    )
    return int(lines.get(name, "0"))


def test_deleted(client: Client) -> None:
    """The real SDK deletes: the row goes, and the exchange stays."""
    client.create()
    assert client.stored() == [client.id]
    before, deleted = client.proxy.database.exchange(client.tenant), count(client.proxy, "deleted")
    said = {"id": client.id, "object": "response", "deleted": True}
    model = client.server.play(json_answer(said))
    with sdk(client.proxy.url, client.tenant) as real:
        real.responses.delete(client.id, extra_headers={"x-scenario": model})
    assert client.stored() == []
    assert client.proxy.database.exchange(client.tenant) == before
    assert (before["response_id"], before["result"]) == (client.id, None)
    assert before["output_text"] == bodies.TEXT
    assert before["request_body"]
    assert count(client.proxy, "deleted") == deleted + 1


def test_shown(client: Client) -> None:
    """`show` still tells what was asked and answered, and that the response is not stored."""
    client.create()
    client.delete(status=204, body=b"")
    command = [
        sys.executable, "-c", "from response_store.cli import main; main()", "show", client.id,
        "--database", str(client.proxy.database.path), "--tenant", client.tenant,
    ]  # fmt: skip
    said, as_json = (
        subprocess.run(
            [*command, *more], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        for more in ([], ["--json"])
    )
    assert QUESTION in said
    assert bodies.TEXT in said
    assert "\nstored\tno: the response was deleted, or never stored\n" in said
    shown = json.loads(as_json)
    assert (shown["response_id"], shown["response"], shown["state"]) == (
        client.id,
        None,
        "completed",
    )


def test_deleted_before_it_is_heard_of(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """With `acknowledge: database` the row is gone before the client hears that it is deleted."""
    config = BY_TENANT | {"acknowledge": "database", "completion_wait_ms": 20_000}
    with make_proxy(config=config) as proxy:
        client = Client(proxy, model_server, tenant, f"resp_{tenant}")
        for _ in range(10):
            client.create()
            assert client.stored_by_now() == [client.id]
            client.delete()
            assert client.stored_by_now() == []


@pytest.mark.parametrize("status", [404, 409, 500, 302])
def test_refused(client: Client, status: int) -> None:
    """What the API does not delete stays, and is counted."""
    client.create()
    passed_over = count(client.proxy, "skipped.deletion")
    client.delete(status, bodies.error_body("no", kind="invalid_request_error"))
    assert client.stored() == [client.id]
    assert len(client.proxy.database.exchanges(client.tenant)) == 1
    assert count(client.proxy, "skipped.deletion") == passed_over + 1


def test_unknown(client: Client) -> None:
    """A response that nobody saw is deleted like any other: nothing is stored, and none is lost."""
    refused = count(client.proxy, "dead_letters")
    client.delete()
    client.delete()
    assert client.stored() == []
    assert client.proxy.database.exchanges(client.tenant) == []
    assert count(client.proxy, "dead_letters") == refused


def test_of_another_tenant(client: Client, tenant: str) -> None:
    """The same id of another tenant stays."""
    other = Client(client.proxy, client.server, f"{tenant}-other", client.id)
    client.create()
    other.create()
    client.delete()
    assert (client.stored(), other.stored()) == ([], [client.id])


def test_created_anew(client: Client) -> None:
    """What is created after a deletion is stored, and can be deleted again."""
    for _ in range(2):
        client.create()
        assert client.stored() == [client.id]
        client.delete()
        assert client.stored() == []


def test_a_poll_that_was_under_way(client: Client) -> None:
    """A retrieval that began before the deletion and ends behind it brings nothing back."""
    client.create()
    gate = Gate()
    answer = json_answer(client.object)
    (body,) = answer.steps
    assert isinstance(body, bytes)
    slow = Answer(status=200, headers=answer.headers, steps=(body[:10], gate, body[10:]))
    model = client.server.play(slow)
    with RawClient(client.proxy.port) as polls:
        polls.send(None, method="GET", path=client.path, x_scenario=model, x_tenant=client.tenant)
        assert gate.reached.wait(10)
        client.delete()
        assert client.stored() == []
        gate.open()
        client.proxy.database.all_ended(client.tenant, 2)
    assert client.stored() == []


def test_from_a_flow_file(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """A flow file that tells of a deletion leaves the response out, however often it is read."""
    with make_proxy("live", arguments=["-w", "flows"]) as live:
        gone = Client(live, model_server, tenant, f"resp_{tenant}")
        stays = Client(live, model_server, tenant, f"resp_{tenant}_stays")
        gone.create()
        stays.create()
        gone.delete()
        live.terminate()
    arguments = ["-n", "-r", str(live.folder / "flows")]
    for _ in range(2):
        reader = make_proxy("again", config=BY_TENANT, arguments=arguments, control=False)
        finished = reader.run()
        assert finished.returncode == 0
        assert "deleted 1" in finished.output
        (row,) = reader.database.responses(tenant)
        assert row["id"] == stays.id
        rows = reader.database.all_ended(tenant, 2)
        assert [row["state"] for row in rows] == ["completed"] * 2
        assert {row["response_id"] for row in rows} == {gone.id, stays.id}


def test_a_deleted_response_is_unknown_upstream(client: Client) -> None:
    """A retrieval that is answered with 404 afterwards changes nothing."""
    client.create()
    client.delete()
    error = bodies.error_body("No such response.", kind="invalid_request_error")
    model = client.server.play(json_answer(error, status=404))
    with sdk(client.proxy.url, client.tenant) as real, pytest.raises(openai.NotFoundError):
        real.responses.retrieve(client.id, extra_headers={"x-scenario": model})
    assert client.stored() == []
