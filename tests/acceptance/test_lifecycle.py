"""A response that is asked after by its id is kept up to date, and never goes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import openai
import pytest

from tests.conftest import BY_TENANT
from tests.fakes import bodies
from tests.fakes.answers import Gate, json_answer
from tests.fakes.background import Background
from tests.harness.clients import CREATE, QUESTION, RawClient, asking, fetch, sdk
from tests.harness.expected import TOKENS, assert_holds, assert_response
from tests.harness.proxy import wait_until
from tests.harness.streams import HALF, HALF_TEXT, wordless

if TYPE_CHECKING:
    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer
    from tests.harness.clients import Reply
    from tests.harness.database import Row
    from tests.harness.proxy import Proxy

NO_TOKENS = dict.fromkeys(TOKENS)


class Client:
    """One client that asks for a response and then after it."""

    def __init__(self, proxy: Proxy, server: ModelServer, tenant: str, play: Background) -> None:
        self.proxy = proxy
        self.tenant = tenant
        self.id = play.id
        self.model = server.play(play)

    def create(self, **fields: Any) -> Reply:
        body = asking(self.model, background=True, **fields)
        return self._settled(fetch(self.proxy.port, body, self.tenant))

    def ask(self, method: str = "GET", after: str = "") -> Reply:
        path = f"{CREATE}/{quote(self.id)}{after}"
        how = {"method": method, "path": path, "x_scenario": self.model}
        return self._settled(fetch(self.proxy.port, None, self.tenant, **how))

    def _settled(self, reply: Reply) -> Reply:
        self.proxy.flush()
        return reply

    def rows(self, count: int) -> list[Row]:
        return self.proxy.database.all_ended(self.tenant, count)

    def stored(self) -> dict[str, Any]:
        row = self.proxy.database.response(self.tenant)
        (question,) = json.loads(row["input"])
        assert question["content"][0]["text"] == QUESTION
        response: dict[str, Any] = json.loads(row["response_object"])
        return response


def test_polled(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """The real SDK polls until the end; the store has it, with the question of the beginning."""
    play = Background(f"resp_{tenant}", "queued", "in_progress", "in_progress", "completed")
    model = model_server.play(play)
    asks = {"extra_headers": {"x-scenario": model}}
    with sdk(proxy.url, tenant) as client:
        answer = client.responses.create(model=model, input=QUESTION, background=True)
        while answer.status in ("queued", "in_progress"):
            answer = client.responses.retrieve(answer.id, **asks)  # type: ignore[call-overload]
    proxy.flush()
    created, polled = proxy.database.all_ended(tenant, 2)
    assert_holds(created, {"method": "POST", "state": "queued", "response_id": answer.id})
    assert_holds(created, NO_TOKENS | {"output_text": None})
    path = f"/v1/responses/{answer.id}"
    assert_holds(polled, {"method": "GET", "path": path, "state": "completed", "ended_by": "body"})
    assert_holds(polled, TOKENS | {"output_text": bodies.TEXT, "result": None})
    stored = proxy.database.response(tenant)
    assert_response(stored, json.loads(stored["response_object"]))
    assert stored["id"] == answer.id


def test_every_poll_counts(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """The stored response follows each retrieval, but not one that comes late."""
    seen = ["queued", "in_progress", "completed", "in_progress", "queued"]
    client = Client(proxy, model_server, tenant, Background(f"resp_{tenant}", *seen))
    client.create()
    found = []
    for _ in seen:
        client.ask()
        states = [row["state"] for row in client.rows(2)]
        found.append((client.stored()["status"], states[1]))
    assert found == [(state, state) for state in seen[:3]] + [("completed", "completed")] * 2


def test_first_seen_when_retrieved(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """A response whose creation nobody saw is kept as well; its tokens were spent elsewhere."""
    answer = bodies.whole_response(id=f"resp_{tenant}")
    model = model_server.play(json_answer(answer))
    path = f"{CREATE}/resp_{tenant}?include[]=reasoning.encrypted_content&key=canary"
    for _ in range(3):
        fetch(proxy.port, None, tenant, method="GET", path=path, x_scenario=model)
    row = proxy.database.ended(tenant)
    assert_holds(row, {"state": "completed", "output_text": bodies.TEXT, "request_body": None})
    assert_holds(row, NO_TOKENS | {"requested_model": None, "model": answer["model"]})
    assert "canary" not in row["path"]
    stored = proxy.database.response(tenant)
    assert json.loads(stored["response_object"]) == answer
    assert (stored["input"], json.loads(stored["messages"])) == ("[]", answer["output"])


def test_long_id(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """An id of 450 characters with a slash in it is the same one in path and object."""
    response_id = f"resp_{tenant}/=" + "x" * 450
    play = Background(response_id, "completed")
    client = Client(proxy, model_server, tenant, play)
    client.create()
    path = f"{CREATE}/{quote(response_id, safe='')}"
    fetch(proxy.port, None, tenant, method="GET", path=path, x_scenario=client.model)
    assert {row["response_id"] for row in client.rows(2)} == {response_id}
    assert client.stored()["status"] == "completed"


def test_cancelled(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """A cancelled response is cancelled, whatever an earlier poll finds."""
    client = Client(proxy, model_server, tenant, Background(f"resp_{tenant}", "in_progress"))
    client.create()
    client.ask()
    assert client.ask("POST", "/cancel").json["status"] == "cancelled"
    _, followed = client.rows(2)
    assert_holds(followed, {"method": "POST", "state": "cancelled", "status_code": 200})
    assert client.stored()["status"] == "cancelled"


def test_resumed(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """A stream that broke off and was resumed by the real SDK gives the whole response."""
    play = Background(f"resp_{tenant}", cut=HALF)
    client = Client(proxy, model_server, tenant, play)
    client.create(stream=True)
    assert client.stored()["status"] == "in_progress"
    play.cut = None
    with sdk(proxy.url, tenant) as real:
        stream = real.responses.retrieve(
            play.id,
            stream=True,
            starting_after=HALF - 1,
            extra_headers={"x-scenario": client.model},
        )
        assert next(iter(stream)).sequence_number == HALF
        stream.close()
    with sdk(proxy.url, tenant) as real:
        events = list(
            real.responses.retrieve(
                play.id,
                stream=True,
                starting_after=HALF - 1,
                extra_headers={"x-scenario": client.model},
            )
        )
    assert events[-1].type == "response.completed"
    begun, _, resumed = client.rows(3)
    assert_holds(begun, {"state": "interrupted", "output_text": HALF_TEXT})
    assert_holds(resumed, {"state": "completed", "ended_by": "terminal_event", "transport": "sse"})
    assert_holds(resumed, TOKENS | {"output_text": bodies.TEXT})
    assert f"starting_after={HALF - 1}" in resumed["path"]
    stored = proxy.database.response(tenant)
    assert_response(stored, play.events[-1]["response"])


def test_resumed_and_cut_again(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """A tail that breaks off as well is joined to what came before it."""
    play = Background(f"resp_{tenant}", cut=HALF)
    client = Client(proxy, model_server, tenant, play)
    client.create(stream=True)
    play.cut = HALF + 1
    client.ask(after=f"?stream=true&starting_after={HALF - 1}")
    play.cut = HALF + 2
    client.ask(after=f"?stream=true&starting_after={HALF}")
    texts = [row["output_text"] for row in client.rows(3)]
    assert texts == ["".join(bodies.deltas(bodies.TEXT)[:n]) for n in (3, 4, 5)]
    assert {row["state"] for row in client.rows(3)} == {"interrupted"}
    assert {row["response_id"] for row in client.rows(3)} == {play.id}
    assert client.stored()["output"][0]["content"][0]["text"] == texts[-1]


def test_resumed_behind_a_gap(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """Where something is missing between the two, the tail stands for itself."""
    play = Background(f"resp_{tenant}", cut=HALF)
    client = Client(proxy, model_server, tenant, play)
    client.create(stream=True)
    play.cut = HALF + 3
    client.ask(after=f"?stream=true&starting_after={HALF + 1}")
    _, tail = client.rows(2)
    assert_holds(tail, {"state": "interrupted", "response_id": play.id})
    assert tail["output_text"] == bodies.deltas(bodies.TEXT)[5]
    assert client.stored()["output"][0]["content"][0]["text"] == HALF_TEXT


def test_tail_without_output(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """A terminal object that comes without its output gets it from both parts of the stream."""
    play = Background(f"resp_{tenant}", cut=HALF)
    client = Client(proxy, model_server, tenant, play)
    client.create(stream=True)
    play.cut = None
    play.events = [
        event for event in play.events if not event["type"].endswith((".done", ".completed"))
    ]
    play.events.append(
        {
            "type": "response.completed",
            "sequence_number": len(play.events),
            "response": play.snapshot("completed") | {"output": []},
        }
    )
    client.ask(after=f"?stream=true&starting_after={HALF - 1}")
    _, resumed = client.rows(2)
    assert_holds(resumed, {"state": "completed", "output_text": bodies.TEXT})


def counted(proxy: Proxy, reason: str) -> int:
    """How many exchanges were passed over for that reason."""
    lines = proxy.command("response_store.status").splitlines()
    found = [line for line in lines if line.startswith(f"skipped.{reason}:")]
    return int(found[0].rpartition(" ")[2]) if found else 0


ERROR = bodies.error_body("No such response.", kind="invalid_request_error")
ID = "resp_0"
PASSED_OVER: dict[str, tuple[str, str, int, Any, str]] = {
    "unknown": ("GET", f"/{ID}", 404, ERROR, "no_response"),
    "refused": ("GET", f"/{ID}", 429, ERROR, "no_response"),
    "too late to cancel": ("POST", f"/{ID}/cancel", 409, ERROR, "no_response"),
    "another API": ("GET", "/12", 200, {"id": 12, "answers": []}, "no_response"),
    "a web page": ("GET", "/12", 200, b"<html></html>", "no_response"),
    "not deleted": ("DELETE", f"/{ID}", 404, ERROR, "deletion"),
    "compacted, retrieved": ("GET", "/compact", 200, {"object": "list"}, "compaction"),
    "tokens": ("POST", "/input_tokens", 200, {"input_tokens": 5}, "input_tokens"),
    "tokens, retrieved": ("GET", "/input_tokens", 200, {"input_tokens": 5}, "input_tokens"),
    "items": ("GET", f"/{ID}/input_items", 200, {"object": "list"}, "input_items"),
    "head": ("HEAD", f"/{ID}", 200, {}, "method"),
}


@pytest.mark.parametrize("name", PASSED_OVER)
def test_passed_over(proxy: Proxy, tenant: str, model_server: ModelServer, name: str) -> None:
    """What brings no response makes no row, and is counted with its reason."""
    method, path, status, answer, reason = PASSED_OVER[name]
    model = model_server.play(json_answer(answer, status=status))
    before = counted(proxy, reason)
    body = asking(model) if method == "POST" and path == "/input_tokens" else None
    how = {"method": method, "path": CREATE + path, "x_scenario": model}
    reply = fetch(proxy.port, body, tenant, **how)
    assert reply.status == status
    proxy.flush()
    assert proxy.database.exchanges(tenant) == []
    assert proxy.database.responses(tenant) == []
    assert counted(proxy, reason) == before + 1


def test_survives_a_restart(make_proxy: MakeProxy, tenant: str, model_server: ModelServer) -> None:
    """Another proxy on the same store brings the response to its end."""
    play = Background(f"resp_{tenant}", "in_progress")
    for status in ("in_progress", "completed"):
        with make_proxy(config=BY_TENANT) as proxy:
            client = Client(proxy, model_server, tenant, play)
            if not play.asked:
                client.create()
            play.statuses = [status]
            client.ask()
            assert client.stored()["status"] == status
            assert [row["state"] for row in client.rows(2)] == ["queued", status]


def test_refused_retrieval_raises(proxy: Proxy, tenant: str, model_server: ModelServer) -> None:
    """The SDK raises what a refused retrieval means, and what was stored stays."""
    client = Client(proxy, model_server, tenant, Background(f"resp_{tenant}", "completed"))
    client.create()
    client.ask()
    gone = model_server.play(json_answer(ERROR, status=404))
    with sdk(proxy.url, tenant) as real, pytest.raises(openai.NotFoundError):
        real.responses.retrieve(client.id, extra_headers={"x-scenario": gone})
    proxy.flush()
    assert [row["state"] for row in client.rows(2)] == ["queued", "completed"]
    assert client.stored()["status"] == "completed"


def test_slow_retrieval_has_no_open_row(
    proxy: Proxy, tenant: str, model_server: ModelServer
) -> None:
    """While a response is asked after there is no row: perhaps none comes."""
    gate = Gate()
    model = model_server.play(wordless(gate))
    with RawClient(proxy.port) as asks, RawClient(proxy.port) as creates:
        asks.send(None, method="GET", path=f"{CREATE}/resp_1", x_scenario=model, x_tenant=tenant)
        model_server.recordings.wait(tenant)
        creates.send(asking(model), x_tenant=tenant)
        (row,) = wait_until(lambda: proxy.database.exchanges(tenant), "an open row is there")
        proxy.flush()
        assert len(proxy.database.exchanges(tenant)) == 1
    assert (row["method"], row["state"]) == ("POST", "open")
    assert_holds(proxy.database.ended(tenant), {"state": "interrupted", "ended_by": "client"})
