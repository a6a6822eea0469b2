"""The load generator: raw asyncio protocols on keep-alive connections, commanded by the run.

    python -m benchmarks.client

Commands, one a line of JSON on standard input, each answered by one line:

    {"do": "open", "name": N, "port": P, "kind": K, "connections": C}
    {"do": "window", "name": N, "seconds": S}   all connections, request after request
    {"do": "count", "name": N, "exchanges": E}  the same, until E are done
    {"do": "burst", "name": N}                  one exchange on each connection, all at once
    {"do": "turns", "names": [N, M], "rounds": R}  one client at a time, in the order N M M N
    {"do": "close", "name": N}                  answered by how many exchanges there were in all

Times are seconds. A window counts what is completed until its last answer is there, over the
time that this took: nothing is cut off, and nothing is counted that was not waited for.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from benchmarks.control import answer, commands
from benchmarks.payloads import request

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass
class Timed:
    """What a batch of exchanges took."""

    started: float = field(default_factory=time.perf_counter)
    ended: float = 0.0
    first: list[float] = field(default_factory=list)  # to the first byte of the body
    total: list[float] = field(default_factory=list)  # to the last byte

    def note(self, connection: Asking) -> None:
        self.first.append(connection.first - connection.sent)
        self.total.append(connection.ended - connection.sent)
        self.ended = connection.ended

    def figures(self) -> dict[str, Any]:
        done, elapsed = len(self.total), self.ended - self.started
        return {"done": done, "elapsed": elapsed, "first": self.first, "total": self.total}


class Asking(asyncio.BufferedProtocol):
    """One keep-alive connection with at most one request under way.

    `whole` is called when an answer has ended. Plain calls, no futures or tasks: the load
    generator shares two cores with what it measures.
    """

    transport: asyncio.Transport
    whole: Callable[[Asking], None]

    def __init__(self, kind: str) -> None:
        self._request = request(kind)
        self._streams = kind != "json"
        self._buffer = memoryview(bytearray(1 << 16))  # plain protocols allocate 256 KB a read
        self._head = b""
        self._tail = b""
        self._missing = -1  # bytes of a body whose length is known
        self.closing = False
        self.sent = self.first = self.ended = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closing:
            fail(f"the proxy closed a connection: {error}")

    def ask(self) -> None:
        """Send the request."""
        self._head = self._tail = b""
        self._missing, self.first = -1, 0.0
        self.sent = time.perf_counter()
        self.transport.write(self._request)

    def get_buffer(self, size: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        data = bytes(self._buffer[:size])
        if not self.first:
            data = self._begin(data)
            if not data:
                return
        if self._streams:
            self._tail = data if len(data) > 6 else self._tail[-6:] + data
            if not self._tail.endswith(LAST_CHUNK):
                return
        else:
            self._missing -= len(data)
            if self._missing:
                return
        self.ended = time.perf_counter()
        self.whole(self)

    def _begin(self, data: bytes) -> bytes:
        """Take the head off; what is left is of the body."""
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0 or len(self._head) == end + 4:
            return b""
        if not self._head.startswith(b"HTTP/1.1 200"):
            fail(f"refused: {self._head[:200]!r}")
        if not self._streams:
            length = LENGTH.search(self._head, 0, end)
            self._missing = int(length[1]) if length else -1
        self.first = time.perf_counter()
        return self._head[end + 4 :]


def fail(text: str) -> NoReturn:
    """End the process: figures from a broken load are worth nothing."""
    print(text, file=sys.stderr, flush=True)
    os._exit(1)


class Connections:
    """The open connections to one proxy."""

    def __init__(self, members: list[Asking]) -> None:
        self._members = members
        self._done = 0

    @classmethod
    async def open(cls, port: int, kind: str, connections: int) -> Connections:
        loop = asyncio.get_running_loop()
        opened = [
            await loop.create_connection(lambda: Asking(kind), "127.0.0.1", port)
            for _ in range(connections)
        ]
        return cls([protocol for _, protocol in opened])

    async def window(self, seconds: float) -> Timed:
        """Ask on all connections until the time is over, then wait for what is under way."""
        until = time.perf_counter() + seconds
        return await self._ask_while(lambda connection: connection.ended < until)

    async def count(self, exchanges: int) -> Timed:
        """Ask on all connections until so many exchanges are done."""
        left = iter(range(exchanges - min(exchanges, len(self._members))))
        return await self._ask_while(lambda _: next(left, None) is not None, exchanges)

    async def burst(self) -> Timed:
        """Ask once on each connection."""
        return await self._ask_while(lambda _: False)

    async def one(self, timed: Timed) -> None:
        """Ask once on the first connection."""
        await self._ask_while(lambda _: False, 1, timed)

    async def _ask_while(
        self,
        again: Callable[[Asking], bool],
        most: int | None = None,
        timed: Timed | None = None,
    ) -> Timed:
        """Ask on at most `most` connections, on each again while `again` says so."""
        timed, members = timed or Timed(), self._members[:most]
        active, finished = len(members), asyncio.get_running_loop().create_future()

        def whole(connection: Asking) -> None:
            nonlocal active
            timed.note(connection)
            self._done += 1
            if again(connection):
                connection.ask()
                return
            active -= 1
            if not active:
                finished.set_result(None)

        for member in members:
            member.whole = whole
            member.ask()
        await finished
        return timed

    def close(self) -> int:
        """Hang up; return how many exchanges there were."""
        for member in self._members:
            member.closing = True
            member.transport.abort()
        return self._done


async def turns(first: Connections, second: Connections, rounds: int) -> tuple[Timed, Timed]:
    """One client at a time, in the order first, second, second, first."""
    one, other = Timed(), Timed()
    for _ in range(rounds):
        await first.one(one)
        await second.one(other)
        await second.one(other)
        await first.one(one)
    return one, other


async def obey() -> None:
    """Do what standard input says."""
    opened: dict[str, Connections] = {}
    async for command in commands():
        match command:
            case {"do": "open", "name": name, **where}:
                opened[name] = await Connections.open(**where_of(where))
                answer(None)
            case {"do": "window", "name": name, "seconds": seconds}:
                answer((await opened[name].window(seconds)).figures())
            case {"do": "count", "name": name, "exchanges": exchanges}:
                answer((await opened[name].count(exchanges)).figures())
            case {"do": "burst", "name": name}:
                answer((await opened[name].burst()).figures())
            case {"do": "turns", "names": [one, other], "rounds": rounds}:
                both = await turns(opened[one], opened[other], rounds)
                answer([timed.figures() for timed in both])
            case {"do": "close", "name": name}:
                answer(opened.pop(name).close())
            case _:
                raise ValueError(f"unknown command: {command}")


def where_of(command: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `open`, checked."""
    return {key: command[key] for key in ("port", "kind", "connections")}


if __name__ == "__main__":
    asyncio.run(obey())
