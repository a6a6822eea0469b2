"""The fake model server, far cheaper than the proxy: canned bytes from an asyncio protocol.

    python -m benchmarks.upstream

It listens on a free loopback port, prints it, and ends when its standard input does. The request
header `x-benchmark` says what is wanted: `json`; `sse=0,0`, a stream in one write; or `sse=A,B`
with a pause of A ms after the first event and of B ms before the terminal one; `download=M` and
`flood=M`, a body or a stream of M megabytes; `upload=M`, a small answer to a large request; or, in
the request for a WebSocket, `websocket=D`, turns with D deltas each.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys

from benchmarks.control import until_stdin_closes
from benchmarks.payloads import json_answer, size_of, sse_answer, streams
from benchmarks.websocket_payloads import accept, deltas_wanted
from benchmarks.websocket_upstream import Turns

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
KIND = re.compile(rb"x-benchmark: (\S+)", re.IGNORECASE)
PAUSES = re.compile(r"sse=(\d+),(\d+)")
numbers = itertools.count(1)


class Answering(asyncio.BufferedProtocol):
    """One connection: a request is answered as soon as it is whole."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._room = memoryview(bytearray(1 << 16))  # plain protocols allocate 256 KB a read
        self._request = bytearray()
        self._turns: Turns | None = None  # on a WebSocket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def get_buffer(self, size: int) -> memoryview:
        return self._room

    def buffer_updated(self, size: int) -> None:
        if self._turns is not None:
            self._turns.feed(bytes(self._room[:size]))
            return
        self._request += self._room[:size]
        head = self._request.find(b"\r\n\r\n")
        if head < 0:
            return
        length = LENGTH.search(self._request, 0, head)
        if len(self._request) >= head + 4 + (int(length[1]) if length else 0):
            request, self._request = bytes(self._request[: head + 4]), bytearray()
            self.answer(request)

    def answer(self, request: bytes) -> None:
        deltas = deltas_wanted(request)
        if deltas is not None:
            self._turns = Turns(self.transport, deltas, numbers.__next__)
            self.transport.write(accept(request))
            return
        number = next(numbers)
        kind = KIND.search(request)
        wanted = kind[1].decode() if kind else "json"
        size = 0 if wanted.startswith("upload") else size_of(wanted)
        if not streams(wanted):
            self.transport.write((json_answer(size) if size else json_answer()).fill(number))
            return
        first, middle, last = (part.fill(number) for part in sse_answer(size))
        paused = PAUSES.fullmatch(wanted)
        pause, rest = (int(ms) / 1000 for ms in paused.groups()) if paused else (0.0, 0.0)
        self.write_in_turn([(first, 0.0), (middle, pause), (last, rest)])

    def write_in_turn(self, parts: list[tuple[bytes, float]]) -> None:
        """Write the parts, each after its pause; those without one go out with the one before."""
        data = parts.pop(0)[0]
        while parts and not parts[0][1]:
            data += parts.pop(0)[0]
        if self.transport.is_closing():
            return
        self.transport.write(data)
        if parts:
            asyncio.get_running_loop().call_later(parts[0][1], self.write_in_turn, parts)


async def serve() -> None:
    """Answer until standard input closes."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await until_stdin_closes()


if __name__ == "__main__":
    asyncio.run(serve())
    sys.exit(0)
