"""The load generator: raw asyncio protocols on keep-alive connections, commanded by the run.

    python -m benchmarks.client

Commands, one a line of JSON on standard input, each answered by one line:

    {"do": "open", "name": N, "port": P, "kind": K, "connections": C}
    {"do": "window", "name": N, "seconds": S}   all connections, request after request
    {"do": "count", "name": N, "exchanges": E}  the same, until E are done
    {"do": "burst", "name": N}                  one exchange on each connection, all at once
    {"do": "turns", "names": [N, M], "rounds": R}  one client at a time, in the order N M M N
    {"do": "pace", "rates": {N: R}, "seconds": S}  R exchanges a second, whatever an answer takes
    {"do": "ends", "name": N, "rate": R, "seconds": S}  the same; when each response id was whole
    {"do": "close", "name": N}                  answered by how many exchanges there were in all

Times are seconds. A window counts what is completed until its last answer is there, over the
time that this took: nothing is cut off, and nothing is counted that was not waited for. At a pace
an exchange is timed from when it was due, so that one that waits for a connection counts whole.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.asking import Asking
from benchmarks.control import answer, commands
from benchmarks.websocket_client import Speaking
from benchmarks.websocket_payloads import is_websocket


@dataclass
class Timed:
    """What a batch of exchanges took."""

    started: float = field(default_factory=time.perf_counter)
    ended: float = 0.0
    first: list[float] = field(default_factory=list)  # to the first byte of the body
    total: list[float] = field(default_factory=list)  # to the last byte
    ends: dict[str, float] | None = None  # by response id, on the clock of all processes

    def note(self, connection: Asking) -> None:
        self.first.append(connection.first - connection.sent)
        self.total.append(connection.ended - connection.sent)
        self.ended = connection.ended
        if self.ends is not None:
            self.ends[connection.response_id] = connection.ended

    def figures(self) -> dict[str, Any]:
        done, elapsed = len(self.total), self.ended - self.started
        return {"done": done, "elapsed": elapsed, "first": self.first, "total": self.total}


class Connections:
    """The open connections to one proxy."""

    def __init__(self, members: list[Asking]) -> None:
        self._members = members
        self._done = 0

    @classmethod
    async def open(cls, port: int, kind: str, connections: int) -> Connections:
        loop = asyncio.get_running_loop()
        made: Callable[[str], Asking] = Speaking if is_websocket(kind) else Asking
        opened = [
            await loop.create_connection(lambda: made(kind), "127.0.0.1", port)
            for _ in range(connections)
        ]
        members = [protocol for _, protocol in opened]
        await asyncio.gather(*(one.ready for one in members if isinstance(one, Speaking)))
        return cls(members)

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

    async def pace(self, rate: float, seconds: float, timed: Timed | None = None) -> Timed:
        """Ask `rate` times a second on whichever connection is free, then wait for the rest."""
        pacing = _Pacing(self._members, rate, max(1, int(rate * seconds)), timed or Timed())
        await pacing.finished
        self._done += len(pacing.timed.total)
        return pacing.timed

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


class _Pacing:
    """Requests that are due at regular times, on connections that may be busy then."""

    def __init__(self, members: list[Asking], rate: float, count: int, timed: Timed) -> None:
        self._loop = asyncio.get_running_loop()
        self._free, self._rate, self._count = list(members), rate, count
        self._late: deque[float] = deque()
        self._number = 0
        self.timed = timed
        self.finished: asyncio.Future[None] = self._loop.create_future()
        for member in members:
            member.whole = self._whole
        self._tick()

    def _tick(self) -> None:
        """Ask all that is due by now."""
        now = time.perf_counter()
        while self._number < self._count and self._due() <= now:
            self._late.append(self._due())
            self._number += 1
        self._ask()
        if self._number < self._count:
            self._loop.call_later(self._due() - now, self._tick)

    def _due(self) -> float:
        return self.timed.started + self._number / self._rate

    def _ask(self) -> None:
        while self._late and self._free:
            member = self._free.pop()
            member.ask()
            member.sent = self._late.popleft()

    def _whole(self, member: Asking) -> None:
        self.timed.note(member)
        self._free.append(member)
        self._ask()
        if len(self.timed.total) == self._count:
            self.finished.set_result(None)


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
            case {"do": "pace", "rates": rates, "seconds": seconds}:
                paced = [opened[name].pace(rate, seconds) for name, rate in rates.items()]
                answer([timed.figures() for timed in await asyncio.gather(*paced)])
            case {"do": "ends", "name": name, "rate": rate, "seconds": seconds}:
                answer((await opened[name].pace(rate, seconds, Timed(ends={}))).ends)
            case {"do": "close", "name": name}:
                answer(opened.pop(name).close())
            case _:
                raise ValueError(f"unknown command: {command}")


def where_of(command: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `open`, checked."""
    return {key: command[key] for key in ("port", "kind", "connections")}


if __name__ == "__main__":
    asyncio.run(obey())
