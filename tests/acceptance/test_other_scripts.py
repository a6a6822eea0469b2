"""Whatever other scripts and options do to a flow, its row has what the flow has, and ends.

Where a script that is loaded before ours raises, our hook of that flow does not come.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import harness
from tests.acceptance.test_commands import counters
from tests.conftest import BY_TENANT, MakeProxy
from tests.fakes import bodies
from tests.fakes.answers import PLAIN, End, json_answer, json_bytes
from tests.fakes.websocket import WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import usual
from tests.harness.clients import QUESTION, asking, fetch
from tests.harness.expected import assert_completed, assert_holds
from tests.harness.proxy import Proxy, wait_until
from tests.harness.streams import HALF_TEXT, halfway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.model_server import ModelServer


MINE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "mine.py"
BEFORE, AFTER = (Path(harness.__file__).with_name(f"meddling_{w}.py") for w in ("before", "after"))
HOOKS = ("request", "responseheaders", "response")
RAISING = [",".join(hooks) for n in (1, 2) for hooks in itertools.combinations(HOOKS, n)]
LACKING = {
    "state": "unreadable",
    "error_code": "unreadable_body",
    "error_message": "response body: not kept",
    "ended_by": "body",
    "status_code": 200,
    "output_text": None,
}

PAST = "request body: mitmproxy streamed it past (stream_large_bodies)"


def test_the_example_of_a_script_beside_ours(
    model_server: ModelServer, authority: Path, tmp_path: Path
) -> None:
    """What it changes of a request is kept as changed: the team that it names has the row."""
    config = {"tenant": {"header": "x-team"}}
    mode = f"reverse:{model_server.url}"
    with Proxy(tmp_path, authority=authority, mode=mode, config=config, first=[MINE]) as proxy:
        assert fetch(proxy.port, asking(), "nobody").whole
        proxy.flush()
        (row,) = proxy.database.all_ended("research", 1)
        assert row["state"] == "completed"


@pytest.fixture(scope="module")
def meddled(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy with a script before ours and one after it, which do what a request's header says."""
    WebSocketSwitch(model_server, usual)
    with Proxy(
        tmp_path_factory.mktemp("meddled"),
        authority=authority,
        mode=f"reverse:{model_server.url}",
        config=BY_TENANT,
        first=[BEFORE],
        arguments=["-s", str(AFTER)],
    ) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Once the clients have gone, nothing is open and nothing is held; nothing of ours failed."""
    yield
    if "meddled" in request.fixturenames:
        holds_nothing(request.getfixturevalue("meddled"))


def holds_nothing(proxy: Proxy) -> None:
    """Wait until the proxy has nothing open and holds nothing, and see that nothing failed."""
    nothing = {"open exchanges": "0", "held in memory": "0 bytes"}
    wait_until(lambda: nothing.items() <= counters(proxy).items(), "nothing is held")
    assert not [name for name in counters(proxy) if name.startswith(("fault", "dropped"))]
    assert not [row for row in proxy.database.exchanges() if row["state"] == "open"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("hooks", RAISING)
def test_raises_before_ours(meddled: Proxy, tenant: str, hooks: str, *, streamed: bool) -> None:
    """As long as one of our hooks comes, the row is as it would be."""
    assert fetch(meddled.port, asking(stream=streamed), tenant, x_harness_before=hooks).whole
    row = meddled.database.ended(tenant)
    if "responseheaders" in hooks:  # a stream is held back then, and comes in one piece
        row["first_event_ms"] = row["first_event_ms"] or row["duration_ms"]
    assert_completed(row, streamed=streamed, model="gpt-5")
    assert len(meddled.database.responses(tenant)) == 1


def test_no_hook_comes(meddled: Proxy, tenant: str) -> None:
    """Where none of them comes there is no row, and nothing is left behind."""
    for streamed in (False, True):
        hooks = ",".join(HOOKS)
        assert fetch(meddled.port, asking(stream=streamed), tenant, x_harness_before=hooks).whole
    meddled.flush()
    assert meddled.database.exchanges(tenant) == []


@pytest.mark.parametrize("hooks", ["error", "error,request"])
def test_raises_when_cut(
    meddled: Proxy, model_server: ModelServer, tenant: str, hooks: str
) -> None:
    """A stream whose end we are not told ends with its connection, with the text that came."""
    body = asking(model_server.play(halfway(End.FIN)), stream=True)
    assert not fetch(meddled.port, body, tenant, x_harness_before=hooks).whole
    assert_holds(meddled.database.ended(tenant), {"state": "interrupted", "output_text": HALF_TEXT})


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("stream", ["True", "callable"])
def test_streamed_by_another(
    meddled: Proxy, model_server: ModelServer, tenant: str, stream: str, *, streamed: bool
) -> None:
    """A body that a script after ours lets pass by us and the flow: the row says that it lacks."""
    how = {"x_harness_after": f"stream={stream}"}
    reply = fetch(meddled.port, asking(stream=streamed), tenant, **how)
    assert bytes(reply.body) == model_server.recordings.only(tenant).body
    row = meddled.database.ended(tenant)
    assert_holds(row, LACKING | {"transport": "sse" if streamed else "http"})
    assert row["request_body"] is not None


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_not_streamed_by_another(meddled: Proxy, tenant: str, *, streamed: bool) -> None:
    """A stream that a script after ours has mitmproxy hold back comes in one piece, and whole."""
    how = {"x_harness_after": "stream=False"}
    assert fetch(meddled.port, asking(stream=streamed), tenant, **how).whole
    assert_holds(meddled.database.ended(tenant), {"state": "completed", "output_text": bodies.TEXT})


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("script", ["x_harness_before", "x_harness_after"])
def test_local_answer(
    meddled: Proxy, model_server: ModelServer, tenant: str, script: str, *, streamed: bool
) -> None:
    """What another script answers itself is kept like any answer."""
    stream = PLAIN.answer(bodies.stream_events(asking()))
    answer = b"".join(step for step in stream.steps if isinstance(step, bytes))
    body = answer if streamed else json_bytes(bodies.whole_response(asking()))
    how = {script: "text/event-stream" if streamed else "application/json"}
    reply = fetch(meddled.port, asking(stream=streamed), tenant, x_harness_answer=body.hex(), **how)
    assert bytes(reply.body) == body
    assert model_server.recordings.of(tenant) == []
    row = meddled.database.ended(tenant)
    assert_holds(row, {"state": "completed", "output_text": bodies.TEXT, "status_code": 200})
    assert_holds(row, {"transport": "sse" if streamed else "http"})


SOCKETS: dict[str, dict[str, str]] = {
    "raises at messages": {"x_harness_before": "websocket_message"},
    "raises at the end": {"x_harness_before": "websocket_end"},
    "raises at the request": {"x_harness_before": "request,response"},
    "clears": {"x_harness_after": "clear"},
    "trims": {"x_harness_after": "trim"},
}


@pytest.mark.parametrize("name", SOCKETS)
def test_socket(meddled: Proxy, tenant: str, name: str) -> None:
    """Turns are whole, whatever is done to the messages that have passed and to our hooks."""
    two_turns(meddled, tenant, **SOCKETS[name])
    for row in meddled.database.all_ended(tenant, 2):
        assert_holds(row, {"state": "completed", "output_text": bodies.TEXT})
    assert len(meddled.database.responses(tenant)) == 2


def test_messages_are_taken_away(meddled: Proxy, tenant: str) -> None:
    """Messages that a script before ours takes out of the flow are none for us either."""
    two_turns(meddled, tenant, x_harness_before="clear")
    meddled.flush()
    assert meddled.database.exchanges(tenant) == []


def two_turns(proxy: Proxy, tenant: str, **headers: str) -> None:
    """Ask twice on one socket, and say good-bye."""
    with WebSocketClient(proxy.port, tenant, **headers) as client:
        for _ in range(2):
            client.send({"type": "response.create", "model": "gpt-5", "input": QUESTION})
            client.until("response.completed")
        client.close()


def test_server_replay(make_proxy: MakeProxy, model_server: ModelServer, tenant: str) -> None:
    """What mitmproxy replays from a flow file is kept like what a server sends."""
    with make_proxy("recorded", arguments=["-w", "flows"]) as proxy:
        for streamed in (False, True):
            fetch(proxy.port, asking(stream=streamed), tenant)
        proxy.terminate()
        flows = proxy.folder / "flows"
    stays = ["--set", "keepserving=true"]  # mitmdump would end once everything is replayed
    with make_proxy("replays", arguments=["-S", str(flows), *stays]) as proxy:
        for streamed in (False, True):
            assert fetch(proxy.port, asking(stream=streamed), tenant).whole
        whole, stream = proxy.database.all_ended(tenant, 2)
        assert_completed(whole, streamed=False, model="gpt-5")
        assert_holds(stream, {"state": "completed", "output_text": bodies.TEXT, "transport": "sse"})
        assert len(model_server.recordings.of(tenant)) == 2
        holds_nothing(proxy)


def test_large_bodies_streamed(
    make_proxy: MakeProxy, model_server: ModelServer, tenant: str
) -> None:
    """With `stream_large_bodies` the row of a large request says that its body is not kept."""
    answer = json_answer(bodies.whole_response(asking(), text="x" * 20_000))
    large: dict[str, Any] = asking(model_server.play(answer), input="y" * 20_000)
    with make_proxy(options={"stream_large_bodies": "10k"}) as proxy:
        assert fetch(proxy.port, asking(input=large["input"]), f"{tenant}-request").whole
        body = asking(large["model"])
        assert fetch(proxy.port, body, f"{tenant}-answer").whole
        assert fetch(proxy.port, large, f"{tenant}-both").whole
        assert fetch(proxy.port, large | {"stream": True}, f"{tenant}-stream").whole
        for name in ("answer", "both", "stream"):
            row = proxy.database.ended(f"{tenant}-{name}")
            assert_holds(row, {"state": "completed", "output_text": "x" * 20_000})
            assert len(proxy.database.responses(f"{tenant}-{name}")) == 1
        row = proxy.database.ended(f"{tenant}-request")
        assert_holds(row, {"state": "completed", "output_text": bodies.TEXT})
        for name in ("request", "both", "stream"):
            row = proxy.database.ended(f"{tenant}-{name}")
            assert_holds(row, {"request_body": None, "error_message": PAST})
        assert proxy.database.ended(f"{tenant}-answer")["request_body"] is not None
        holds_nothing(proxy)
