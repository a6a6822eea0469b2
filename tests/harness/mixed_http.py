"""Exchanges over HTTP as a mix has them: every API and framing, every end, cuts at any place."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.fakes import bodies, cuts
from tests.fakes.answers import (
    Answer,
    End,
    Gate,
    Pause,
    Scenario,
    Step,
    Stream,
    broken,
    json_answer,
)
from tests.fakes.background import Background
from tests.fakes.dialects import CHAT as CHAT_DIALECT
from tests.fakes.dialects import DIALECTS
from tests.harness.clients import (
    CHAT,
    CREATE,
    RawClient,
    Reply,
    asking,
    chatting,
    request_bytes,
)
from tests.harness.expected import TOKENS, response_in
from tests.harness.mixed import STOPPED, Columns
from tests.harness.mixed_stage import CutOffError, Play, Scene
from tests.harness.streams import TERMINAL, before_the_last, held_back, whole_json, wordless

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fakes.requests import Request
    from tests.harness.database import Row
    from tests.harness.mixed import Asked

PIECES = bodies.deltas(bodies.TEXT)
RESPONSES, COMPLETIONS = {"api": "responses"}, {"api": "chat_completions"}
WELL: Columns = {"state": "completed", "status_code": 200, "output_text": bodies.TEXT}
ENDS = {
    "failed": ("failed", "terminal_event", "server_error", bodies.TEXT),
    "incomplete": ("incomplete", "terminal_event", "max_output_tokens", bodies.TEXT),
    "failed-500": ("refused", "terminal_event", "server_error", bodies.TEXT),
    "error-flat": ("failed", "body", "rate_limit_exceeded", PIECES[0]),
    "error-nested": ("failed", "body", "rate_limit_exceeded", PIECES[0]),
    "error-flat-failed": ("failed", "terminal_event", "server_error", bodies.TEXT),
    "error-nested-failed": ("failed", "terminal_event", "server_error", bodies.TEXT),
}
REFUSALS = ("refused-400", "refused-401", "refused-429", "refused-500", "refused-503")


WITH_CREDENTIALS = {
    "type": "mcp",
    "server_label": "docs",
    "server_url": "https://docs.example/mcp",
    "authorization": "canary",
}


def interrupted(by: str, **columns: Any) -> Columns:
    """An exchange that somebody broke off."""
    return {"state": "interrupted", "ended_by": by} | columns


def text_after(events: int) -> str | None:
    """The text in so many events of a response; four come before the first piece."""
    return "".join(PIECES[: max(0, events - 4)]) or None


def chat_text_after(chunks: int) -> str | None:
    """The text in so many chunks of a completion; the first says that it begins, empty."""
    return "".join(PIECES[: chunks - 1]) if chunks else None


# What ends well


def whole(scene: Scene) -> None:
    """A response in one piece."""
    asked = scene.ask(WELL | RESPONSES | TOKENS | {"transport": "http", "ended_by": "body"})
    asked.response = scene.hear(asked, asking(asked.model)).json


def streamed(scene: Scene) -> None:
    """A stream in any dialect, coding and pace, and cut into any writes."""
    chance = scene.chance
    stream = Stream(
        dialect=chance.choice(list(DIALECTS.values())),
        coding=chance.choice([None, None, *cuts.CODINGS]),
        split=chance.choice([cuts.by_event, cuts.at_once, cuts.at_random(chance.randrange(1000))]),
        pause=chance.choice([0.0, 0.0, 0.005]),
    )
    sent: list[dict[str, Any]] = []

    def play(request: Request) -> Answer:
        sent.extend(bodies.stream_events(request.fields))
        return stream.answer(sent)

    asked = scene.ask(WELL | RESPONSES | TOKENS | {"transport": "sse"})
    scene.hear(asked, asking(asked.model, stream=True), x_scenario=scene.server.play(play))
    asked.response = sent[-1]["response"]


def guarded(scene: Scene) -> None:
    """A request that holds credentials, which may not be written as they are."""
    stream = scene.chance.random() < 0.5

    def play(request: Request) -> Answer:
        asked = {name: value for name, value in request.fields.items() if name != "tools"}
        if stream:
            return Stream().answer(bodies.stream_events(asked))
        return json_answer(bodies.whole_response(asked))

    asked = scene.ask(WELL | RESPONSES | TOKENS | {"transport": "sse" if stream else "http"})
    body = asking(asked.model, stream=stream, tools=[WITH_CREDENTIALS])
    reply = scene.hear(asked, body, x_scenario=scene.server.play(play))
    asked.response = response_in(bytes(reply.body)) if stream else reply.json


def hung_up(scene: Scene) -> None:
    """A client that leaves as soon as it has the terminal event."""
    asked = scene.ask(WELL | RESPONSES | TOKENS | {"ended_by": "terminal_event"})
    with scene.client() as client:
        how = {"x_scenario": "lingering", "x_tenant": scene.tenant}
        _read_terminal(client, asked, **how)


def _read_terminal(
    client: RawClient, asked: Asked, tools: Sequence[dict[str, Any]] = (), **how: str
) -> None:
    body = asking(asked.model, stream=True, tools=tools)
    reply = client.read_until(client.ask(body, **how), TERMINAL)
    if TERMINAL not in reply.body:
        raise CutOffError
    asked.seen = True


def chained(scene: Scene) -> None:
    """Several exchanges on one connection, each naming the one before."""
    previous: str | None = None
    with scene.client() as client:
        for _ in range(scene.chance.randint(2, 4)):
            stream = scene.chance.random() < 0.5
            named = {"previous_response_id": previous}
            asked = scene.ask(WELL | RESPONSES | named | {"transport": "sse" if stream else "http"})
            body = asking(asked.model, stream=stream, previous_response_id=previous)
            reply = scene.hear(asked, body, client)
            asked.response = response_in(bytes(reply.body)) if stream else reply.json
            previous = asked.response["id"]


def chat(scene: Scene) -> None:
    """A chat completion, streamed or not."""
    stream = scene.chance.random() < 0.5
    end = "terminal_event" if stream else "body"
    asked = scene.ask(WELL | COMPLETIONS | {"ended_by": end})
    scene.hear(asked, chatting(asked.model, stream=stream), path=CHAT)


# What the server refuses or gives up


def refused(scene: Scene) -> None:
    """A refusal, whether a stream was asked for or not."""
    name = scene.chance.choice(REFUSALS)
    end = {"state": "refused", "ended_by": "body", "status_code": int(name[-3:])}
    asked = scene.ask(end | {"output_text": None})
    scene.hear(asked, asking(asked.model, stream=scene.chance.random() < 0.5), x_scenario=name)


def ended_badly(scene: Scene) -> None:
    """A stream that says itself that it ended badly."""
    name = scene.chance.choice(list(ENDS))
    columns = ("state", "ended_by", "error_code", "output_text")
    asked = scene.ask(dict(zip(columns, ENDS[name], strict=True)))
    scene.hear(asked, asking(asked.model, stream=True), x_scenario=name)


# Who leaves


def speaking(*then: Step, after: int, part: int = 0, pause: float = 0.0) -> Scenario:
    """A server that does something else after so many events, and that much of the next."""

    def play(request: Request) -> Answer:
        if request.path == CHAT:
            stream, events = Stream(dialect=CHAT_DIALECT), bodies.chat_chunks(request.fields)
        else:
            stream, events = Stream(), bodies.stream_events(request.fields)
        answer = broken(stream.answer(events), after=after, part=part, then=then)
        return replace(answer, steps=_paced(answer.steps, pause)) if pause else answer

    return play


def _paced(steps: tuple[Step, ...], pause: float) -> tuple[Step, ...]:
    return tuple(one for step in steps for one in (step, Pause(pause)))


def _leave(scene: Scene, client: RawClient) -> None:
    scene.chance.choice([RawClient.close, RawClient.reset])(client)


def _read(client: RawClient, reply: Reply, size: int) -> None:
    """Read so many bytes of a body, or to its end."""
    while len(reply.body) < size and not reply.whole:
        client.read_piece(reply)


def _broken_off(scene: Scene, by: str, *ends: End) -> None:
    """A stream of either API that breaks off at a place that both sides know."""
    completion = scene.chance.random() < 0.3
    after, part = scene.chance.randint(0, 9), scene.chance.choice([0, 0, 60])
    gate = Gate()
    path = {"path": CHAT} if completion else {}
    text = (chat_text_after if completion else text_after)(after)
    asked = scene.ask(interrupted(by, output_text=text, status_code=200))
    scenario = scene.server.play(speaking(gate, *ends, after=after, part=part))
    with scene.client() as client:
        client.send(
            (chatting if completion else asking)(asked.model, stream=True),
            x_tenant=scene.tenant,
            x_scenario=scenario,
            **path,
        )
        scene.wait(gate)
        (served,) = scene.server.recordings.of(scene.tenant)
        reply = client.read_head()
        _read(client, reply, len(served.sent))
        if by == "client":
            _leave(scene, client)
        else:
            gate.open()
            client.read_to_end(reply)


def client_left(scene: Scene) -> None:
    """A client that leaves in the middle of a stream."""
    _broken_off(scene, "client")


def server_left(scene: Scene) -> None:
    """A server that leaves in the middle of a stream."""
    _broken_off(scene, "upstream", scene.chance.choice(list(End)))


def client_left_early(scene: Scene) -> None:
    """A client that does not wait for anything."""
    gate = Gate()
    asked = scene.ask(interrupted("client", status_code=None))
    with scene.client() as client:
        body = asking(asked.model, stream=scene.chance.random() < 0.5)
        scenario = scene.server.play(wordless(gate))
        client.send(body, x_tenant=scene.tenant, x_scenario=scenario)
        scene.wait(gate)
        _leave(scene, client)


def client_left_anytime(scene: Scene) -> None:
    """A client that leaves while the server goes on, at a place that nobody knows."""
    prefixes = frozenset(text_after(count) for count in range(20))
    left = interrupted("client", output_text=prefixes)
    asked = scene.ask(WELL | {"ended_by": "terminal_event"}, left)
    paced = Stream(pause=0.002)
    scenario = scene.server.play(lambda request: paced.answer(bodies.stream_events(request.fields)))
    size = scene.chance.randrange(1, 6000)
    with scene.client() as client:
        how = {"x_scenario": scenario, "x_tenant": scene.tenant}
        _read(client, client.ask(asking(asked.model, stream=True), **how), size)
        _leave(scene, client)


def server_left_early(scene: Scene) -> None:
    """A server that leaves without a word, or in the middle of a whole answer."""
    end = scene.chance.choice(list(End))
    part = scene.chance.choice([0, 1, 100, 600])
    asked = scene.ask(interrupted("upstream", output_text=None))
    scenario = scene.server.play(whole_json(end, part=part) if part else wordless(end))
    with scene.client() as client:
        body = asking(asked.model)
        reply = client.read_to_end(client.ask(body, x_tenant=scene.tenant, x_scenario=scenario))
        assert reply.status == 502


def server_left_anytime(scene: Scene) -> None:
    """A server that leaves in the middle of a stream without waiting for anybody."""
    after = scene.chance.randint(1, 11)
    prefixes = frozenset(text_after(count) for count in range(after + 1))
    asked = scene.ask(interrupted("upstream", output_text=prefixes))
    scenario = speaking(scene.chance.choice(list(End)), after=after, pause=0.001)
    how = {"x_scenario": scene.server.play(scenario), "x_tenant": scene.tenant}
    with scene.client() as client:
        client.read_to_end(client.ask(asking(asked.model, stream=True), **how))


# What makes no row


def torn(scene: Scene) -> None:
    """A client that leaves before its request is whole."""
    asked = scene.ask()
    request = request_bytes(asking(asked.model), x_tenant=scene.tenant)
    with scene.client() as client:
        client.socket.sendall(request[: -scene.chance.randint(1, 40)])
        _leave(scene, client)


def beside(scene: Scene) -> None:
    """What is no request for a response."""
    asked = scene.ask()
    with scene.client() as client:
        for path, method, body in (
            ("/v1/embeddings", "POST", asking(asked.model)),
            ("/v1/responses/input_tokens", "POST", asking(asked.model)),
            ("/v1/models", "GET", None),
        ):
            how = {"path": path, "method": method, "x_tenant": scene.tenant}
            client.read_to_end(client.ask(body, **how))


# In the background


def polled(scene: Scene) -> None:
    """A response that runs in the background, polled until its end, also after a kill."""
    last = scene.chance.choice(["completed", "completed", "failed", "incomplete", "cancelled"])
    statuses = ["queued", *["in_progress"] * scene.chance.randint(1, 3), last]
    play = Background(bodies.new_id("resp"), *statuses)
    model = scene.server.play(play)
    created = scene.ask({"state": "queued"}, model=model, is_row=is_creation)
    scene.hear(created, asking(model, background=True))
    passing = tuple({"state": state} for state in statuses)
    polls = scene.ask(
        {"state": last}, is_row=lambda row: not is_creation(row), opens=False, passing=passing
    )
    how = {"method": "GET", "path": f"{CREATE}/{play.id}", "x_scenario": model}
    while True:
        try:
            with scene.client() as client:
                answered = client.ask(None, x_tenant=scene.tenant, **how)
                client.read_to_end(answered)
            if not answered.whole:
                raise CutOffError
        except OSError:
            if not scene.life.doomed.is_set():
                raise
            scene.move()
            polls.life = scene.life
            continue
        if answered.json["status"] == last:
            break
    polls.seen = True
    polls.response = answered.json


def resumed(scene: Scene) -> None:
    """A background stream that breaks off, and the rest of it."""
    first = scene.chance.randint(5, 9)
    play = Background(bodies.new_id("resp"), cut=first)
    model = scene.server.play(play)
    left = interrupted("upstream", output_text=text_after(first))
    scene.ask(left, model=model, is_row=is_creation)
    with scene.client() as client:
        body = asking(model, background=True, stream=True)
        client.read_to_end(client.ask(body, x_tenant=scene.tenant))
    play.cut = None
    rest = scene.ask(
        WELL | {"transport": "sse"}, is_row=lambda row: not is_creation(row), opens=False
    )
    path = f"{CREATE}/{play.id}?stream=true&starting_after={first - 1}"
    scene.hear(rest, None, method="GET", path=path, x_scenario=model)
    rest.response = play.events[-1]["response"]


def is_creation(row: Row) -> bool:
    """Whether a row is that of the request that asked for the response."""
    return bool(row["path"] == CREATE)


# What is under way when the proxy is killed


def held(*, stream: bool, completion: bool = False) -> Play:
    """An exchange that the server never brings to its end."""

    def play(scene: Scene) -> None:
        asked = scene.ask(STOPPED)
        scenario = speaking(Gate(), after=6) if stream else held_back(Gate())
        body = (chatting if completion else asking)(asked.model, stream=stream)
        path = CHAT if completion else CREATE
        scene.hear(asked, body, x_scenario=scene.server.play(scenario), path=path)

    return play


def whole_at_last(scene: Scene) -> None:
    """A response in one piece whose last byte comes right before the kill."""
    asked = scene.ask(WELL | {"transport": "http"})
    scenario = scene.server.play(held_back(scene.stage.fuse))
    asked.response = scene.hear(asked, asking(asked.model), x_scenario=scenario).json


def guarded_at_last(scene: Scene) -> None:
    """The same of a request that holds credentials: its end waits until it is safe."""
    asked = scene.ask(WELL | {"transport": "http"})
    scenario = scene.server.play(held_back(scene.stage.fuse))
    scene.hear(asked, asking(asked.model, tools=[WITH_CREDENTIALS]), x_scenario=scenario)


def streamed_at_last(scene: Scene) -> None:
    """A stream whose terminal event comes right before the kill."""
    asked = scene.ask(WELL | {"transport": "sse"})
    scenario = scene.server.play(before_the_last(scene.stage.fuse))
    with scene.client() as client:
        _read_terminal(client, asked, x_scenario=scenario, x_tenant=scene.tenant)


def guarded_stream_at_last(scene: Scene) -> None:
    """The same of a request that holds credentials."""
    asked = scene.ask(WELL | {"transport": "sse"})
    scenario = scene.server.play(before_the_last(scene.stage.fuse))
    with scene.client() as client:
        how = {"x_scenario": scenario, "x_tenant": scene.tenant}
        _read_terminal(client, asked, tools=[WITH_CREDENTIALS], **how)


HELD = [held(stream=False), held(stream=True), held(stream=True, completion=True)]
PLAYS: dict[Play, int] = {
    whole: 6,
    streamed: 8,
    guarded: 4,
    hung_up: 2,
    chained: 2,
    chat: 5,
    refused: 3,
    ended_badly: 4,
    client_left: 4,
    client_left_early: 2,
    client_left_anytime: 3,
    server_left: 4,
    server_left_early: 2,
    server_left_anytime: 2,
    torn: 1,
    beside: 1,
    polled: 2,
    resumed: 1,
}
"""How often each comes."""
