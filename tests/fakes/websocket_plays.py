"""What a model server does on a WebSocket, from good manners to each way of leaving."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from itertools import zip_longest
from typing import Any

from tests.fakes import bodies
from tests.fakes.answers import End, Gate
from tests.fakes.websocket import Scenario, ServerSocket
from tests.fakes.websocket_wire import Json

HALF = 7
"""Messages up to and with the third delta of the text."""
HALF_DELTAS = 3
HALF_TEXT = "".join(bodies.deltas(bodies.TEXT)[:HALF_DELTAS])
CONNECTION_LIMIT = "websocket_connection_limit_reached"


def in_lane(asked: Json, messages: Iterable[Json]) -> list[Json]:
    """The messages in the lane of a request."""
    lane = {"stream_id": asked["stream_id"]} if "stream_id" in asked else {}
    return [lane | message for message in messages]


def answer(asked: Json, **how: Any) -> list[Json]:
    """The messages that answer a request; a warm-up gets an empty response."""
    if asked.get("generate") is False:
        events = bodies.stream_events(asked, last={"output": []}, **how)
        return in_lane(asked, [events[0], events[-1]])
    return in_lane(asked, bodies.stream_events(asked, **how))


def error(asked: Json, *, nested: bool, status: int | None = None, code: str = "") -> list[Json]:
    """An error in one of its two shapes; `status` is what it would be over HTTP."""
    made = bodies.error_event(nested=nested)
    if code:
        (made["error"] if nested else made)["code"] = code
    return in_lane(asked, [made | ({"status": status} if status else {})])


async def usual(socket: ServerSocket) -> None:
    """Answer one request after the other."""
    async for asked in socket.requests():
        await socket.send(*answer(asked))


def by_turns(lanes: int) -> Scenario:
    """Wait for so many requests, then answer them all at once, a message of each in turn."""

    async def play(socket: ServerSocket) -> None:
        asked = [await socket.receive() for _ in range(lanes)]
        for messages in zip_longest(*map(answer, asked)):
            await socket.send(*(message for message in messages if message is not None))
        await socket.receive()

    return play


def instead(make: Callable[[Json], Iterable[Json | str | bytes]]) -> Scenario:
    """Answer each request with other messages."""

    async def play(socket: ServerSocket) -> None:
        async for asked in socket.requests():
            await socket.send(*make(asked))

    return play


def halfway(then: Callable[[ServerSocket, Json], Awaitable[None]], after: int = HALF) -> Scenario:
    """Do something else after so many messages of the first answer."""

    async def play(socket: ServerSocket) -> None:
        asked = await socket.receive()
        await socket.send(*answer(asked)[:after])
        await then(socket, asked)

    return play


def leaving(end: End, after: int = HALF, gate: Gate | None = None) -> Scenario:
    """Go away without a word after so many messages, and once the gate is open."""

    async def leave(socket: ServerSocket, _: Json) -> None:
        if gate is not None:
            await gate.wait()
        await socket.cut(end)

    return halfway(leave, after)


def closing(code: int, after: int = HALF) -> Scenario:
    """Close after so many messages."""
    return halfway(lambda socket, _: socket.close(code), after)


def waiting(gate: Gate, after: int = HALF) -> Scenario:
    """Wait at the gate after so many messages, then go on."""

    async def play(socket: ServerSocket) -> None:
        asked = await socket.receive()
        messages = answer(asked)
        await socket.send(*messages[:after])
        await socket._connection._unless_gone(gate.wait())
        await socket.send(*messages[after:])
        await socket.receive()

    return play


async def steered(socket: ServerSocket) -> None:
    """End the response that is steered as incomplete, and start another that nobody asked for."""
    asked = await socket.receive()
    first = answer(asked, status="incomplete", last={"incomplete_details": {"reason": "steered"}})
    await socket.send(*first[:HALF])
    steer = await socket.receive()
    accepted = {"id": "steer_1", "previous_response_id": steer["previous_response_id"]}
    await socket.send(
        *in_lane(asked, [{"type": "response.steer.accepted", "steer": accepted}]), *first[HALF:]
    )
    then = answer(asked, text="As you wish.", previous_response_id=steer["previous_response_id"])
    await socket.send(*then)
    await socket.receive()


async def hour_is_over(socket: ServerSocket) -> None:
    """Say that the connection is too old while one response runs, refuse the next, and close."""
    asked = await socket.receive()
    await socket.send(*answer(asked)[:HALF])
    await socket.receive()
    await socket.send(*error({}, nested=True, status=400, code=CONNECTION_LIMIT))
    await socket.close(1000)
