"""Stored responses answer, to whom they may, and the upstream where it knows better."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.served import ITEMS, WAYS, asked_of, created, get, walk
from tests.acceptance.test_own_errors import BREAKING, PACKAGE
from tests.conftest import BY_TENANT
from tests.fakes.answers import json_answer
from tests.fakes.background import Background
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_plays import usual
from tests.harness.breaking import SHARED, Breaking
from tests.harness.clients import CREATE, asking, fetch
from tests.harness.outages import frozen
from tests.harness.proxy import Proxy, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeProxy
    from tests.fakes.model_server import ModelServer

ONLY = BY_TENANT | {"serve": "only"}
PREFER = BY_TENANT | {"serve": "prefer"}
BROKEN = "broken.now"


@pytest.fixture(scope="module")
def server(model_server: ModelServer) -> ModelServer:
    """A model server that knows no state, over HTTP and WebSockets."""
    WebSocketSwitch(model_server, usual)
    return model_server


@pytest.fixture(scope="module", params=["on_error", "always"])
def only(
    request: pytest.FixtureRequest,
    server: ModelServer,
    authority: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    """A proxy that asks nobody for what it has not stored; with recorded streams and without."""
    with Proxy(
        tmp_path_factory.mktemp("only"),
        authority=authority,
        mode=f"reverse:{server.url}",
        config=ONLY | {"capture": {"raw_bodies": request.param}},
    ) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def prefer(
    server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that answers what it can, in which any function can be made to raise."""
    folder = tmp_path_factory.mktemp("prefer")
    with Proxy(
        folder,
        authority=authority,
        mode=f"reverse:{server.url}",
        config=PREFER,
        first=[BREAKING],
        in_ingester=[BREAKING],
        environment={SHARED: str(folder / BROKEN)},
    ) as proxy:
        yield proxy


# Only what is stored


@pytest.mark.parametrize("way", WAYS)
def test_the_sdk_finds_what_was_stored(
    only: Proxy, server: ModelServer, tenant: str, way: str
) -> None:
    """It creates, retrieves, streams, pages and deletes; the server is asked to create alone."""
    name = walk(only, tenant, way)
    assert asked_of(server, tenant) == []
    (row,) = only.database.exchanges(tenant)
    assert (row["response_id"], row["state"]) == (name, "completed")
    assert only.database.responses(tenant) == []


def test_a_recorded_stream_comes_as_it_came(only: Proxy, server: ModelServer, tenant: str) -> None:
    """Every byte of it, where it was kept; else a stream that could have come."""
    name = created(only, tenant, "sse")
    came = server.recordings.only(tenant).body
    reply = get(only, tenant, f"{name}?stream=true")
    assert reply.header("content-type").startswith("text/event-stream")
    kept = only.database.exchange(tenant)["raw_response"] is not None
    assert (bytes(reply.body) == came) is kept
    assert json.loads(bytes(reply.body).split(b"data: ")[-1])["response"]["id"] == name


ENDINGS = ["", "?stream=true", "/input_items", "/", "/input_items/?limit=1", "?api-version=1"]


def test_nothing_of_another_tenant(only: Proxy, server: ModelServer, tenant: str) -> None:
    """On every way it is as if it had never been there, and it stays."""
    name = created(only, tenant)
    for method, after in [*(("GET", one) for one in ENDINGS), ("DELETE", ""), ("DELETE", "/")]:
        replies = [
            get(only, f"{tenant}-other", f"{one}{after}", method) for one in (name, f"{name}x")
        ]
        told = [bytes(one.body).replace(name.encode() + b"x", name.encode()) for one in replies]
        assert [one.status for one in replies] == [404, 404]
        assert told[0] == told[1]
    assert asked_of(server, f"{tenant}-other") == []
    assert [get(only, tenant, f"{name}{after}").status for after in ENDINGS] == [200] * 6


PATHS = ["/openai/v1/responses", "/openai/responses", "/backend-api/codex/responses"]


@pytest.mark.parametrize("path", PATHS)
def test_every_shape_of_path(only: Proxy, tenant: str, path: str) -> None:
    """Whatever stands before, a stored response is found at its end."""
    name = created(only, tenant)
    for after in ("", "/input_items"):
        reply = fetch(only.port, None, tenant, method="GET", path=f"{path}/{name}{after}")
        assert reply.status == 200
    reply = fetch(only.port, None, tenant, method="GET", path=f"{path}/{name}?no=1")
    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")


def test_what_is_no_id_goes_on(only: Proxy, server: ModelServer, tenant: str) -> None:
    """`compact` and `input_tokens` are the upstream's, and so is whatever else there is."""
    for path in ("responses/compact", "responses/input_tokens", "models", "files/responses"):
        assert fetch(only.port, None, tenant, method="GET", path=f"/v1/{path}").status == 200
    assert fetch(only.port, {"a": 1}, tenant, path=f"{CREATE}/resp_1/cancel").status == 200
    assert len(server.recordings.of(tenant)) == 5


def test_served_is_not_captured(only: Proxy, tenant: str) -> None:
    """What is answered out of the store is no exchange with the API, and is counted."""
    before = only.command("response_store.status")
    name = created(only, tenant)
    for after in ENDINGS:
        get(only, tenant, f"{name}{after}")
    only.flush()
    assert len(only.database.exchanges(tenant)) == 1
    assert counted(only, "served.200") == int(line(before, "served.200")) + len(ENDINGS)


def counted(proxy: Proxy, name: str) -> int:
    return int(line(proxy.command("response_store.status"), name))


def line(status: str, name: str) -> str:
    return dict(one.partition(": ")[::2] for one in status.splitlines()).get(name, "0")


def test_what_waits_for_the_disk(make_proxy: MakeProxy, tenant: str) -> None:
    """An answer whose commit nobody waited for is found by whoever asks for it at once.

    While it can't be written, nothing is said of what is stored.
    """
    with make_proxy(config=ONLY) as proxy, ThreadPoolExecutor(1) as pool:
        old = created(proxy, tenant)
        with frozen(proxy.database.path):
            new = created(proxy, tenant, "sse")
            away = get(proxy, tenant, old)
            asks = pool.submit(get, proxy, tenant, new)
            wait_until(lambda: counted(proxy, "served.503") == 1, "the first has its answer")
        assert asks.result(10).status == 200
        assert (away.status, away.header("retry-after")) == (503, "1")
        assert away.json["error"]["type"] == "server_error"
        assert get(proxy, tenant, old).status == 200


# The upstream first, where it knows better


def test_what_is_stored_is_answered_here(prefer: Proxy, server: ModelServer, tenant: str) -> None:
    """The upstream is not asked for what is known, nor for a query that breaks a rule."""
    name = created(prefer, tenant)
    prefer.flush()  # a machine that is very slow would not have applied it in the time of a read
    for after in ENDINGS:
        assert get(prefer, tenant, f"{name}{after}").status == 200
    assert get(prefer, tenant, f"{name}?no=1").status == 400
    assert asked_of(server, tenant) == []


@pytest.mark.parametrize("after", [*ENDINGS, "?no=1", "/input_items?after=x"])
def test_what_is_not_stored_goes_upstream(
    prefer: Proxy, server: ModelServer, tenant: str, after: str
) -> None:
    """Its answer is what the client gets, whatever it is; another tenant's is unknown as well."""
    name = created(prefer, f"{tenant}-other")
    model = server.play(json_answer({"whose": "upstream"}, status=202))
    reply = get(prefer, tenant, f"{name}{after}", x_scenario=model)
    assert (reply.status, reply.json) == (202, {"whose": "upstream"})


@pytest.mark.parametrize(("status", "stays"), [(200, False), (404, False), (405, False)] + [
    (status, True) for status in (401, 403, 409, 429, 500)
])  # fmt: skip
def test_a_deletion_goes_upstream(
    prefer: Proxy, server: ModelServer, tenant: str, status: int, stays: bool
) -> None:
    """Its answer is what the client gets. What is gone there, or never was there, goes here too."""
    name = created(prefer, tenant)
    model = server.play(json_answer({"whose": "upstream"}, status=status))
    reply = get(prefer, tenant, name, "DELETE", x_scenario=model)
    assert (reply.status, reply.json) == (status, {"whose": "upstream"})
    gone = server.play(json_answer({"whose": "upstream"}, status=404))
    assert get(prefer, tenant, name, x_scenario=gone).status == (200 if stays else 404)


def test_a_response_that_runs_is_asked_for(prefer: Proxy, server: ModelServer, tenant: str) -> None:
    """A stored snapshot is no answer while the upstream can be asked; its end is."""
    play = Background(f"resp_{tenant}", "in_progress", "completed", "in_progress")
    model = server.play(play)
    body = asking(model, background=True, input=ITEMS)
    assert fetch(prefer.port, body, tenant).json["status"] == "queued"
    for expected, asked in (("in_progress", 1), ("completed", 2), ("completed", 2)):
        reply = get(prefer, tenant, play.id, x_scenario=model)
        assert reply.json["status"] == expected
        assert len(asked_of(server, tenant)) == asked


@pytest.mark.parametrize("broken", [
    "serving.service.Service.parse", "serving.service.Service.answer",
    "serving.service.Service._look_up", "session.Session.ask",
    "ingest.supervisor.Supervisor.ask",
])  # fmt: skip
def test_an_error_of_our_own(prefer: Proxy, server: ModelServer, tenant: str, broken: str) -> None:
    """Whatever raises, the upstream is asked; it is counted."""
    name, before = created(prefer, tenant), counted(prefer, "fault.serve")
    assert asked_while_broken(prefer, server, tenant, name, broken) == {"whose": "upstream"}
    assert counted(prefer, "fault.serve") == before + 1
    assert get(prefer, tenant, name).json["id"] == name


@pytest.mark.parametrize("broken", [
    "serving.answers.serve_if_better", "serving.answers.needs_upstream",
    "serving.answers.build_answer",
    "serving.answers.ServeQuestions.answer", "serving.answers.ServingReads.find",
    "serving.answers.StoredAnswers._serve",
])  # fmt: skip
def test_an_error_of_the_ingester(
    prefer: Proxy, server: ModelServer, tenant: str, broken: str
) -> None:
    """As above, in the process that does the reading; it goes on."""
    name, before = created(prefer, tenant), counted(prefer, "fault.question")
    assert asked_while_broken(prefer, server, tenant, name, broken) == {"whose": "upstream"}
    wait_until(lambda: counted(prefer, "fault.question") == before + 1, "it is counted")
    assert get(prefer, tenant, name).json["id"] == name
    assert counted(prefer, "ingester.restarts") == 0


def asked_while_broken(
    proxy: Proxy, server: ModelServer, tenant: str, name: str, broken: str
) -> Any:
    """What a client gets who asks for a response while a function raises."""
    model = server.play(json_answer({"whose": "upstream"}))
    breaking = Breaking(proxy.folder / BROKEN)
    breaking.break_(PACKAGE + broken)
    try:
        reply = get(proxy, tenant, name, x_scenario=model)
        assert breaking.has_raised
    finally:
        breaking.break_("")
    assert reply.status == 200
    return reply.json


# To whom


@pytest.mark.parametrize("how", [{"listen_host": "0.0.0.0"}, {"mode": "regular@0.0.0.0:0"}])
def test_not_to_other_machines(make_proxy: MakeProxy, how: dict[str, str]) -> None:
    """mitmdump ends with status 1, says why, and has served nothing and made no database."""
    arguments = ["--mode", how["mode"]] if "mode" in how else ["--listen-host", how["listen_host"]]
    proxy = make_proxy(config=PREFER, arguments=arguments, control=False)
    finished = proxy.run()
    assert finished.returncode == 1, finished.output
    assert "serve: prefer gives stored responses to whoever asks" in finished.output
    assert "serve_remote: true" in finished.output
    assert "Traceback" not in finished.output
    assert not proxy.database.path.exists()


def test_to_other_machines_with_leave(make_proxy: MakeProxy, tenant: str) -> None:
    """With `serve_remote` it starts, and warns; while it listens so, that can't be taken back."""
    config = PREFER | {"serve_remote": True}
    with make_proxy(config=config, arguments=["--listen-host", "0.0.0.0"]) as proxy:
        assert "everyone who reaches this proxy can read and delete" in proxy.output()
        name = created(proxy, tenant)
        assert get(proxy, tenant, name).json["id"] == name
        (proxy.folder / "other.yaml").write_text("serve: only\n")
        refused = refused_command(proxy, "set", "response_store_config=other.yaml")
        assert "listens to other machines (0.0.0.0)" in refused
        proxy.command("set", "listen_host=127.0.0.1")  # which changes nothing by itself
        refused = refused_command(proxy, "set", "response_store_config=other.yaml")
        assert "listens to other machines (0.0.0.0)" in refused
        assert get(proxy, tenant, name).json["id"] == name


def test_not_later_either(make_proxy: MakeProxy, tenant: str) -> None:
    """While it is served, mitmproxy can't be made to listen to other machines."""
    with make_proxy(config=ONLY) as proxy:
        name = created(proxy, tenant)
        refused = "listens to other machines (0.0.0.0)"
        assert refused in refused_command(proxy, "set", "listen_host=0.0.0.0")
        assert get(proxy, tenant, name).status == 200
        assert refused in refused_command(proxy, "set", "mode=regular@0.0.0.0:0")


def refused_command(proxy: Proxy, *words: str) -> str:
    """What a command of mitmproxy's says that it refuses."""
    path = "/".join(["/harness/command", *words])
    reply = fetch(proxy.port, None, "-", method="GET", path=path)
    assert reply.status == 500
    return bytes(reply.body).decode()
