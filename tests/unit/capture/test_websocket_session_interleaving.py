"""Whatever the order of lanes and wherever the socket is cut, each turn has what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from response_store.model.records import EndedBy
from tests.fakes import bodies
from tests.unit.capture.sockets import Json, Played, answering, creating

ENDS = ("completed", "incomplete", "failed")


@dataclass
class Planned:
    """One turn: its request, its answer, and how much of it has come."""

    model: str
    request: Json
    messages: list[Json]
    status: str
    asked: bool = False
    came: int = 0

    @property
    def expected(self) -> tuple[Any, ...]:
        whole = self.came == len(self.messages)
        seen = self.messages[: self.came]
        text = "".join(one["delta"] for one in seen if one["type"].endswith("text.delta"))
        named = self.messages[0]["response"]["id"] if seen else None
        state = self.status if whole else "interrupted"
        by = "terminal_event" if whole else "upstream"
        return self.model, state, by, named, text or None


@dataclass
class Plan:
    """Lanes of turns, one after the other in each; `steps` says which lane goes on next."""

    lanes: list[list[Planned]]
    steps: list[int]
    ahead: bool
    order: list[Planned] = field(default_factory=list)

    def play(self, played: Played) -> None:
        """Play the steps; a lane that is through does nothing more."""
        for step in self.steps:
            self._go_on(self.lanes[step], played)

    def _go_on(self, lane: list[Planned], played: Played) -> None:
        turn = next((one for one in lane if one.came < len(one.messages)), None)
        if turn is None:
            return
        if not turn.asked:
            for one in lane if self.ahead else [turn]:
                one.asked = True
                self.order.append(one)
                played.client(one.request)
            return
        played.server(turn.messages[turn.came])
        turn.came += 1


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Up to four lanes of up to three turns, and steps that may end anywhere."""
    lanes = []
    for lane in range(draw(st.integers(1, 4))):
        name = None if lane == 0 else f"lane-{lane}"
        turns = []
        for turn in range(draw(st.integers(1, 3))):
            status = draw(st.sampled_from(ENDS))
            text = bodies.TEXT[: draw(st.integers(1, 20))]
            model = f"gpt-{lane}-{turn}"
            request = creating(model, **({"stream_id": name} if name else {}))
            messages = answering(name, text=text, status=status)
            turns.append(Planned(model, request, messages, status))
        lanes.append(turns)
    places = [at for at, turns in enumerate(lanes) for one in turns for _ in (0, *one.messages)]
    steps = draw(st.permutations(places))
    return Plan(lanes, steps[: draw(st.integers(0, len(steps)))], draw(st.booleans()))


@given(plans())
def test_any_order_and_any_cut(plan: Plan) -> None:
    """Each turn that was asked for is one row: its own text, its own end, nothing of another."""
    played = Played()
    plan.play(played)
    rows = played.end(EndedBy.UPSTREAM)
    found = [
        (row.requested_model, row.state, row.ended_by, row.response_id, row.output_text)
        for row in rows
    ]
    assert found == [turn.expected for turn in plan.order]
    assert len({row.exchange_id for row in rows}) == len(rows)
    whole = {row.response_id for row in rows if row.state in ENDS}
    assert {one.response.id for one in played.records if one.response} == whole
    assert played.counters.snapshot() == {}
