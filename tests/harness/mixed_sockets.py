"""Exchanges over WebSockets as a mix has them: rounds of turns in lanes that interleave.

What the server sends is known before: in each round the messages of the lanes take turns by chance,
those of a lane stay in their order. So the place of a cut tells what came of each turn.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes import bodies, websocket_plays
from tests.fakes.answers import End, Gate
from tests.fakes.websocket_client import WebSocketClient
from tests.fakes.websocket_plays import HALF, answer, error, in_lane
from tests.harness.clients import QUESTION
from tests.harness.mixed import STOPPED, Asked, Columns
from tests.harness.mixed_http import interrupted
from tests.harness.mixed_stage import CutOffError, Play, Scene

if TYPE_CHECKING:
    from tests.fakes.websocket import Scenario, ServerSocket
    from tests.fakes.websocket_wire import Json

COMPLETED, CREATED = "response.completed", "response.created"
DELTA = "response.output_text.delta"
LANES = "abcd"
Leave = Callable[["ServerSocket"], Any]


def _failing(asked: Json, *, nested: bool, then_failed: bool = False) -> list[Json]:
    messages = answer(asked)[:HALF] + error(asked, nested=nested)
    last = bodies.failed_events(asked, response_id=messages[0]["response"]["id"])[-1:]
    return messages + (in_lane(asked, last) if then_failed else [])


KINDS: dict[str, Callable[[Json], list[Json]]] = {
    "whole": answer,
    "warm-up": answer,
    "failed": lambda asked: in_lane(asked, bodies.failed_events(asked)),
    "incomplete": lambda asked: in_lane(asked, bodies.incomplete_events(asked)),
    "error": lambda asked: _failing(asked, nested=True),
    "flat error": lambda asked: _failing(asked, nested=False),
    "error, then failed": lambda asked: _failing(asked, nested=True, then_failed=True),
    "refused": lambda asked: error(asked, nested=True, status=429),
}
"""What the server answers to a turn."""

IN_A_QUEUE = ("whole", "whole", "warm-up", "failed", "incomplete")
"""Turns that may wait for each other in one lane: of an error nobody could tell whose it is."""

LAST: dict[str, Columns] = {
    COMPLETED: {"state": "completed", "error_code": None},
    "response.failed": {"state": "failed", "error_code": "server_error"},
    "response.incomplete": {"state": "incomplete", "error_code": "max_output_tokens"},
}


@dataclass(frozen=True)
class Turn:
    """A request on a socket; `model` tells it from the others of the socket."""

    kind: str
    model: str
    lane: str | None

    @property
    def request(self) -> Json:
        warm = {"generate": False} if self.kind == "warm-up" else {}
        lane = {} if self.lane is None else {"stream_id": self.lane}
        made = {"type": "response.create", "model": self.model, "input": QUESTION}
        return made | warm | lane

    @property
    def messages(self) -> list[Json]:
        """The answer; its ids are new each time."""
        return KINDS[self.kind](self.request)


def end_after(messages: list[Json], by: str) -> Columns:
    """What a turn comes to of which these messages have come, where somebody then leaves."""
    kinds = [message["type"] for message in messages]
    text = "".join(message["delta"] for message in messages if message["type"] == DELTA) or None
    if kinds and kinds[-1] in LAST:
        said = messages[-1]["response"]["output"]
        return LAST[kinds[-1]] | {
            "ended_by": "terminal_event",
            "output_text": said[0]["content"][0]["text"] if said else None,
        }
    if "error" not in kinds:
        return interrupted(by, output_text=text)
    state = "failed" if CREATED in kinds else "refused"
    return {"state": state, "ended_by": "body", "error_code": "rate_limit_exceeded"} | {
        "output_text": text
    }


@dataclass(frozen=True)
class Round:
    """Turns that are asked for at once, and the order in which lanes get a message."""

    turns: tuple[Turn, ...]
    order: tuple[int, ...]

    def messages(self) -> Iterator[tuple[Turn, Json]]:
        """All messages of the server, in the order of sending."""
        queues: dict[str | None, Iterator[tuple[Turn, Json]]] = {
            lane: iter([(t, m) for t in self.turns if t.lane == lane for m in t.messages])
            for lane in self.lanes
        }
        for place in self.order:
            yield next(queues[self.lanes[place]])

    @property
    def lanes(self) -> list[str | None]:
        return list(dict.fromkeys(turn.lane for turn in self.turns))


def make_round(chance: random.Random, number: int) -> Round:
    """A round of one to four turns."""
    lanes: list[str | None] = list(chance.sample(LANES, chance.randint(1, len(LANES))))
    if len(lanes) == 1:
        lanes = [chance.choice([None, *lanes])]
        queue = [chance.choice(IN_A_QUEUE) for _ in range(chance.randint(2, 3))]
        kinds = chance.choice([queue, [chance.choice(list(KINDS))]])
    else:
        kinds = [chance.choice(["whole", "whole", *KINDS]) for _ in lanes]
    turns = tuple(
        Turn(kind, f"turn-{number}-{at}", lanes[at % len(lanes)]) for at, kind in enumerate(kinds)
    )
    whose = list(dict.fromkeys(turn.lane for turn in turns))
    order = [whose.index(turn.lane) for turn in turns for _ in turn.messages]
    chance.shuffle(order)
    return Round(turns, tuple(order))


def playing(rounds: list[Round], cut: int | None, gate: Gate, leave: Leave | None) -> Scenario:
    """A server that plays these rounds.

    After `cut` messages of the last one it waits at the gate, and then leaves.
    """

    async def play(socket: ServerSocket) -> None:
        for one in rounds:
            for _ in one.turns:
                await socket.receive()
            messages = [message for _, message in one.messages()]
            if one is rounds[-1] and cut is not None:
                await socket.send(*messages[:cut])
                await socket._connection._unless_gone(gate.wait())
                await leave(socket)  # type: ignore[misc]
                return
            await socket.send(*messages)
        await socket.receive()

    return play


LEAVES: list[Leave] = [
    lambda socket: socket.cut(End.FIN),
    lambda socket: socket.cut(End.RST),
    lambda socket: socket.close(1011),
]
LEAVES_OF_CLIENTS = [WebSocketClient.close, WebSocketClient.drop, WebSocketClient.reset]


def socket(scene: Scene) -> None:
    """Some rounds on one socket; then one side leaves, perhaps in the middle of a round."""
    chance = scene.chance
    rounds = [make_round(chance, number) for number in range(chance.randint(1, 4))]
    cut = chance.randint(0, len(rounds[-1].order)) if chance.random() < 0.5 else None
    by = chance.choice(["client", "upstream"])
    gate, leaves = Gate(), chance.choice(LEAVES)
    scenario = scene.switch.play(playing(rounds, cut, gate, leaves))
    how: dict[str, Any] = {"scenario": scenario, "deflate": chance.random() < 0.3}
    with WebSocketClient(scene.life.port, scene.tenant, **how) as client:
        for one in rounds:
            _play_round(scene, client, one, cut if one is rounds[-1] else None, by)
        if cut is not None:
            scene.wait(gate)  # then every request has passed the proxy
        if cut is None or by == "client":
            chance.choice(LEAVES_OF_CLIENTS)(client)
        else:
            gate.open()
            client.until_end()


def _play_round(
    scene: Scene, client: WebSocketClient, one: Round, cut: int | None, by: str
) -> None:
    """Ask for the turns of a round and read its messages, up to a cut."""
    planned = list(one.messages())[:cut]
    came: dict[str, list[Json]] = {turn.model: [] for turn in one.turns}
    for turn, message in planned:
        came[turn.model].append(message)
    notes = {
        turn.model: scene.ask(
            end_after(came[turn.model], by),
            model=turn.model,
            passing=tuple(
                end_after(came[turn.model][:count], by) for count in range(len(came[turn.model]))
            ),
        )
        for turn in one.turns
    }
    for turn in one.turns:
        client.send(turn.request)
    for turn, expected in planned:
        message = client.receive()
        assert message["type"] == expected["type"]
        _heard(notes[turn.model], message, last=expected is came[turn.model][-1])


def _heard(asked: Asked, message: Json, *, last: bool) -> None:
    """Note what a message of a turn tells the client."""
    if last and message["type"] in (*LAST, "error"):
        asked.seen = True
    if message["type"] == COMPLETED:
        asked.response = message["response"]


def steered(scene: Scene) -> None:
    """A response that is steered, and the one that nobody asked for."""
    first = scene.ask({"state": "incomplete", "error_code": "steered"})
    scenario = scene.switch.play(websocket_plays.steered)
    with WebSocketClient(scene.life.port, scene.tenant, scenario=scenario) as client:
        client.send({"type": "response.create", "model": first.model, "input": QUESTION})
        begun = client.until(CREATED)["response"]["id"]
        client.until(DELTA, 3)
        second = scene.ask(
            {"state": "completed", "output_text": "As you wish.", "previous_response_id": begun},
            is_row=lambda row: row["requested_model"] is None,
        )
        client.send({"type": "response.steer", "previous_response_id": begun, "input": "No."})
        client.until("response.incomplete")
        first.seen = True
        second.response = client.until(COMPLETED)["response"]
        second.seen = True
        client.close()


def held(scene: Scene) -> None:
    """Turns that the server never brings to their end."""
    turns = tuple(Turn("whole", f"turn-{lane}", lane) for lane in "ab")
    one = Round(turns, (0, 1) * len(turns[0].messages))
    scenario = scene.switch.play(playing([one], 9, Gate(), LEAVES[0]))
    with WebSocketClient(scene.life.port, scene.tenant, scenario=scenario) as client:
        for turn in turns:
            scene.ask(STOPPED, model=turn.model)
        client.send(*(turn.request for turn in turns))
        client.until_end()
        raise CutOffError


def at_last(scene: Scene) -> None:
    """A turn whose terminal message comes right before the kill."""
    asked = scene.ask(LAST[COMPLETED] | {"output_text": bodies.TEXT})
    scenario = scene.switch.play(websocket_plays.waiting(scene.stage.fuse))
    with WebSocketClient(scene.life.port, scene.tenant, scenario=scenario) as client:
        client.send({"type": "response.create", "model": asked.model, "input": QUESTION})
        asked.response = client.until(COMPLETED)["response"]
        asked.seen = True


PLAYS: dict[Play, int] = {socket: 7, steered: 1}
"""How often each comes."""
HELD: list[Play] = [held]
