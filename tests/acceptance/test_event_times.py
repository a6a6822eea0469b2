"""When each event came, through a real proxy: a server that pauses is seen to have paused."""

from __future__ import annotations

import asyncio
import json
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from response_store.cli import main
from response_store.model.event_times import MAX_TIMES
from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, End, Pause, Stream, broken
from tests.fakes.answers import usual as usual_answer
from tests.fakes.websocket import ServerSocket, WebSocketSwitch
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import answer, usual
from tests.harness.clients import CHAT, RawClient, asking, chatting, fetch
from tests.harness.proxy import Proxy
from tests.harness.streams import HALF, halfway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.model_server import ModelServer

ALWAYS = {"tenant": {"header": "x-tenant"}, "capture": {"raw_bodies": "always"}}
PAUSE = 0.3  # seconds
SEEN_MS = 250  # of it, at least
LONG = 2_500  # events: more than there are times


@pytest.fixture(scope="module")
def timed(
    model_server: ModelServer, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that keeps all streams."""
    folder = tmp_path_factory.mktemp("timed")
    mode = f"reverse:{model_server.url}"
    with Proxy(folder, authority=authority, mode=mode, config=ALWAYS) as proxy:
        yield proxy


def command(*arguments: str) -> str:
    done = CliRunner().invoke(main, [*arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def events_of(proxy: Proxy, tenant: str, count: int = 1) -> list[list[dict[str, Any]]]:
    """What `show --events` says of the exchanges of a tenant, once they have ended."""
    rows = proxy.database.all_ended(tenant, count)
    where = ("--database", str(proxy.folder / "responses.db"), "--tenant", tenant)
    return [
        json.loads(command("show", row["exchange_id"], *where, "--events", "--json"))
        for row in rows
    ]


def assert_paused(events: list[dict[str, Any]], before: int) -> None:
    """All events have times that rise, and one of them came after a pause."""
    times = [event["ms"] for event in events]
    assert all(isinstance(ms, int) and ms >= 0 for ms in times), times
    assert times == sorted(times)
    gaps = [after - earlier for earlier, after in pairwise(times)]
    assert gaps[before - 1] >= SEEN_MS, times
    assert times[before] >= SEEN_MS


def encoded(request: Any) -> Answer:
    """A stream in gzip, whose encoder gives each event as it comes."""
    whole = Stream(headers=(("content-encoding", "gzip"),)).answer(
        bodies.stream_events(request.fields)
    )
    coder = zlib.compressobj(wbits=31)
    steps = [coder.compress(step) + coder.flush(zlib.Z_SYNC_FLUSH) for step in whole.steps]  # type: ignore[arg-type]
    answered = Answer(headers=whole.headers, framing=whole.framing, steps=(*steps, coder.flush()))
    return broken(answered, after=HALF, then=(Pause(PAUSE),), go_on=True)


def test_a_server_that_pauses(timed: Proxy, model_server: ModelServer, tenant: str) -> None:
    """Plain, in gzip, in odd pieces or cut off: the pause stands before the event it held up."""
    pause = Pause(PAUSE)
    plays = {
        "plain": halfway(pause, go_on=True),
        "gzip": encoded,
        "cut": halfway(pause, End.RST),
        "halves": halfway(pause, part=20, go_on=True),
    }
    for name, play in plays.items():
        one = f"{tenant}-{name}"
        with RawClient(timed.port) as client:
            client.send(asking(model_server.play(play), stream=True), x_tenant=one)
            client.read_to_end(client.read_head())
        (events,) = events_of(timed, one)
        if name == "cut":
            assert len(events) == HALF
            assert [event["ms"] for event in events] == sorted(e["ms"] for e in events)
        else:
            assert_paused(events, HALF)
            assert events[-1]["event"] == "response.completed"


def test_a_chat_that_pauses(timed: Proxy, model_server: ModelServer, tenant: str) -> None:
    """Chunks of Chat Completions have times as well, the mark of the end among them."""

    def play(request: Any) -> Answer:
        whole = usual_answer(request)
        return broken(whole, after=2, then=(Pause(PAUSE),), go_on=True)

    fetch(timed.port, chatting(model_server.play(play), stream=True), tenant, path=CHAT)
    (events,) = events_of(timed, tenant)
    assert_paused(events, 2)
    assert events[-1]["data"] == "[DONE]"


def test_a_socket_that_pauses(timed: Proxy, model_server: ModelServer, tenant: str) -> None:
    """Each message of a turn has its time, since the turn's own request."""

    async def pausing(socket: ServerSocket) -> None:
        async for asked in socket.requests():
            messages = answer(asked)
            await socket.send(*messages[:HALF])
            await asyncio.sleep(PAUSE)
            await socket.send(*messages[HALF:])

    WebSocketSwitch(model_server, pausing)
    try:
        with WebSocketClient(timed.port, tenant) as client:
            for _ in range(2):
                client.send({"type": "response.create"} | asking())
                client.until("response.completed")
            client.close()
        turns = events_of(timed, tenant, 2)
    finally:
        WebSocketSwitch(model_server, usual)
    for events in turns:
        assert_paused(events, HALF)
        assert [event["event"] for event in events][-1] == "response.completed"


def test_a_long_stream_on_the_move(
    timed: Proxy, model_server: ModelServer, tenant: str, tmp_path: Path
) -> None:
    """Of a stream above the bound few times are kept, and they travel with it."""
    text = "word " * 2 * LONG
    model = model_server.play(
        lambda request: PLAIN.answer(bodies.stream_events(request.fields, text=text))
    )
    fetch(timed.port, asking(model, stream=True), tenant)
    (events,) = events_of(timed, tenant)
    (row,) = timed.database.exchanges(tenant)
    times = [event["ms"] for event in events if event["ms"] is not None]
    assert len(events) > LONG
    assert 1 < len(json.loads(row["event_times"])["ms"]) <= MAX_TIMES
    assert times == sorted(times)
    assert events[-1]["ms"] is not None
    assert len(row["event_times"]) < 10 * MAX_TIMES
    copied, lines = tmp_path / "copy.db", tmp_path / "rows.jsonl"
    source = ("--database", str(timed.folder / "responses.db"))
    command("export", *source, "--output", str(lines))
    command("import", str(lines), "--database", str(copied))
    where = ("--database", str(copied), "--tenant", tenant, "--events", "--json")
    assert json.loads(command("show", row["exchange_id"], *where)) == events
