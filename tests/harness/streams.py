"""Streams that stop halfway, so that a test can do something while they are in flight."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.fakes import bodies
from tests.fakes.answers import PLAIN, Answer, Gate, Scenario, Step, Stream, broken, json_answer

if TYPE_CHECKING:
    from tests.fakes.requests import Request

HALF = 7
"""Events up to and with the third delta of the text."""
HALF_TEXT = "".join(bodies.deltas(bodies.TEXT)[:3])
LAST_DELTA = json.dumps(bodies.deltas(bodies.TEXT)[2], ensure_ascii=False).encode()
"""The delta after which the client knows that half of the stream has come."""
TERMINAL = b'"type":"response.completed"'


def halfway(
    *then: Step, part: int = 0, go_on: bool = False, after: int = HALF, stream: Stream = PLAIN
) -> Scenario:
    """A stream that does something else after half of its events and `part` bytes of the next."""

    def play(request: Request) -> Answer:
        whole = stream.answer(bodies.stream_events(request.fields))
        return broken(whole, after=after, part=part, then=then, go_on=go_on)

    return play


def before_the_last(gate: Gate) -> Scenario:
    """A stream that waits at the gate before its terminal event."""

    def play(request: Request) -> Answer:
        whole = PLAIN.answer(bodies.stream_events(request.fields))
        return broken(whole, after=len(whole.steps) - 1, then=(gate,), go_on=True)

    return play


def held_back(gate: Gate) -> Scenario:
    """A JSON answer that waits at the gate before its last byte."""

    def play(request: Request) -> Answer:
        whole = json_answer(bodies.whole_response(request.fields))
        return broken(whole, after=0, part=whole.length - 1, then=(gate,), go_on=True)

    return play


def whole_json(*then: Step, part: int) -> Scenario:
    """A JSON answer that does something else after that many bytes."""

    def play(request: Request) -> Answer:
        whole = json_answer(bodies.whole_response(request.fields))
        return broken(whole, after=0, part=part, then=then)

    return play


def wordless(*steps: Step) -> Answer:
    """No answer at all: only these steps."""
    return Answer(status=0, steps=tuple(steps))
