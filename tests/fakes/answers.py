"""What the model server plays: a head, a way of framing, and steps, one after the other."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tests.fakes import bodies, cuts
from tests.fakes.dialects import OPENAI, Dialect
from tests.fakes.requests import Request

Headers = tuple[tuple[str, str], ...]
EVENT_STREAM = "text/event-stream; charset=utf-8"


class Framing(StrEnum):
    """How HTTP/1.1 says where the body ends."""

    LENGTH = "content-length"
    CHUNKED = "chunked"
    CLOSE = "close"


class End(StrEnum):
    """Endings of a connection that are no end of a message."""

    FIN = "fin"
    RST = "rst"


class Gate:
    """A point at which the server waits until the test says go on; `reached` tells it is there."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._lock = threading.Lock()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        """Let everyone who waits here go on, now and later."""
        with self._lock:
            self._open = True
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)

    async def wait(self) -> None:
        """Tell the test that the server is here, and wait for it."""
        event = asyncio.Event()
        with self._lock:
            if self._open:
                event.set()
            self._waiting.append((asyncio.get_running_loop(), event))
        self.reached.set()
        await event.wait()


@dataclass(frozen=True)
class Pause:
    """Seconds in which nothing is sent."""

    seconds: float


Step = bytes | Pause | Gate | End


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer. `status` 0 means none at all: the steps alone are played."""

    status: int = 200
    headers: Headers = (("content-type", "application/json"),)
    framing: Framing = Framing.LENGTH
    steps: tuple[Step, ...] = ()

    @property
    def length(self) -> int:
        """Bytes of body that the steps send."""
        return sum(len(step) for step in self.steps if isinstance(step, bytes))


Scenario = Callable[[Request], Answer]


def json_bytes(value: Any) -> bytes:
    """JSON as OpenAI writes it: indented, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode(errors="backslashreplace")


def json_answer(
    value: Any, *, status: int = 200, headers: Headers = (), framing: Framing = Framing.LENGTH
) -> Answer:
    """A JSON body; bytes are sent as they are."""
    body = value if isinstance(value, bytes) else json_bytes(value)
    kind = (("content-type", "application/json"), *headers)
    return Answer(status=status, headers=kind, framing=framing, steps=(body,))


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How events go out: their dialect, their coding, their writes and their pace."""

    dialect: Dialect = OPENAI
    coding: str | None = None
    split: cuts.Split = cuts.by_event
    pause: float = 0.0
    status: int = 200
    content_type: str = EVENT_STREAM
    framing: Framing = Framing.CHUNKED
    headers: Headers = ()

    def answer(self, events: Iterable[Mapping[str, Any]], *after: Step) -> Answer:
        """The events as an answer, with `after` once all of them are out."""
        pieces = self.dialect.frames(events)
        named: Headers = (("content-type", self.content_type), *self.headers)
        if self.coding:
            name, code = cuts.CODINGS[self.coding]
            pieces, named = code(pieces), (*named, ("content-encoding", name))
        steps = (*self._paced(self.split(pieces)), *after)
        return Answer(status=self.status, headers=named, framing=self.framing, steps=steps)

    def _paced(self, pieces: Iterable[bytes]) -> Iterable[Step]:
        for piece in pieces:
            yield piece
            if self.pause:
                yield Pause(self.pause)


PLAIN = Stream()


def broken(
    answer: Answer, *, after: int, part: int = 0, then: Iterable[Step] = (), go_on: bool = False
) -> Answer:
    """The answer with something else in the middle.

    The first `after` writes go out whole, then `part` bytes of the next, then the steps `then`;
    the rest follows only with `go_on`. A promised Content-Length stays what it was.
    """
    split = answer.steps[after]
    assert isinstance(split, bytes), f"step {after} sends no bytes"
    steps: list[Step] = [*answer.steps[:after], split[:part], *then]
    if go_on:
        steps += [split[part:], *answer.steps[after + 1 :]]
    headers = answer.headers
    if answer.framing is Framing.LENGTH:
        headers = (*headers, ("content-length", str(answer.length)))
    return replace(answer, headers=headers, steps=tuple(step for step in steps if step != b""))


def usual(request: Request) -> Answer:
    """What a well-behaved server answers to this request, streamed if it asks for that."""
    asked = request.fields
    if request.path.endswith("/chat/completions"):
        if asked.get("stream"):
            return Stream(dialect=Dialect(event_lines=False, done=True)).answer(
                bodies.chat_chunks(asked)
            )
        return json_answer(bodies.chat_completion(asked))
    if asked.get("background"):
        return json_answer(bodies.response(asked, status="queued"))
    if asked.get("stream"):
        return PLAIN.answer(bodies.stream_events(asked))
    return json_answer(bodies.whole_response(asked))


def refusal(status: int, message: str, kind: str, code: str | None = None) -> Scenario:
    """A server that refuses, in OpenAI's error shape."""
    headers: Headers = (("retry-after", "1"),) if status in (429, 503) else ()

    def play(request: Request) -> Answer:
        body = bodies.error_body(message, kind=kind, code=code)
        return json_answer(body, status=status, headers=headers)

    return play


def erring(*, nested: bool, then_failed: bool) -> Scenario:
    """A server whose stream breaks off with an `error` event."""

    def play(request: Request) -> Answer:
        events = bodies.error_stream(request.fields, nested=nested, then_failed=then_failed)
        return PLAIN.answer(events)

    return play


def failed_500(request: Request) -> Answer:
    """A server that answers 500 and yet streams."""
    return Stream(status=500).answer(bodies.failed_events(request.fields))


def streams_unasked(request: Request) -> Answer:
    """A server that streams whether asked to or not."""
    return PLAIN.answer(bodies.stream_events(request.fields))


def obfuscated(request: Request) -> Answer:
    """A server that pads its deltas."""
    return PLAIN.answer(bodies.stream_events(request.fields, obfuscated=True))


def lingering(request: Request) -> Answer:
    """A stream whose connection stays open after its terminal event."""
    return PLAIN.answer(bodies.stream_events(request.fields), Gate())


def big(request: Request) -> Answer:
    """A response of 8 MB, streamed or not as asked."""
    text = "0123456789abcde\n" * 524_288
    if request.fields.get("stream"):
        events = bodies.stream_events(request.fields, text="short")
        events[-1]["response"]["output"][0]["content"][0]["text"] = text
        return Stream(split=cuts.every(65_536)).answer(events)
    return json_answer(bodies.whole_response(request.fields, text))


SCENARIOS: dict[str, Scenario] = {
    "usual": usual,
    "stream-unasked": streams_unasked,
    "obfuscated": obfuscated,
    "lingering": lingering,
    "big": big,
    "failed": lambda request: PLAIN.answer(bodies.failed_events(request.fields)),
    "incomplete": lambda request: PLAIN.answer(bodies.incomplete_events(request.fields)),
    "failed-500": failed_500,
    "error-flat": erring(nested=False, then_failed=False),
    "error-nested": erring(nested=True, then_failed=False),
    "error-flat-failed": erring(nested=False, then_failed=True),
    "error-nested-failed": erring(nested=True, then_failed=True),
    "refused-400": refusal(400, "Unknown model.", "invalid_request_error", "model_not_found"),
    "refused-401": refusal(401, "Incorrect API key.", "invalid_request_error", "invalid_api_key"),
    "refused-429": refusal(429, "Slow down.", "requests", "rate_limit_exceeded"),
    "refused-500": refusal(500, "Something broke.", "server_error"),
    "refused-503": refusal(503, "Overloaded.", "server_error"),
}
"""Chosen by the name of the model that a request asks for; any other name is answered as usual."""
