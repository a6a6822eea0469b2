"""The model server's HTTP/1.1: reads requests, plays answers, byte by byte as it was told."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from tests.fakes.answers import Answer, End, Framing, Gate, Headers, Pause
from tests.fakes.recordings import Recordings, Served
from tests.fakes.requests import Request

Choose = Callable[[Request], tuple[Answer, Headers]]
Switch = Callable[["Connection", Request], Awaitable[None]]


class GoneError(Exception):
    """The connection is over."""


class Connection:
    """One client's connection, kept alive from answer to answer.

    `switches` are protocols that a request may upgrade to, by the name in its `Upgrade` header.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        choose: Choose,
        recordings: Recordings,
        switches: dict[str, Switch],
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._choose = choose
        self._recordings = recordings
        self._switches = switches

    async def serve(self) -> None:
        """Answer requests until either side closes."""
        try:
            while True:
                await self._serve_one(await self._read_request())
        except (GoneError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.writer.close()

    async def _serve_one(self, request: Request) -> None:
        if switch := self._switches.get(request.header("upgrade").lower()):
            await switch(self, request)
            raise GoneError
        answer, headers = self._choose(request)
        served = self._recordings.begin(request)
        try:
            await self._play(answer, headers, served, bodiless=request.method == "HEAD")
        finally:
            served.over.set()

    async def _read_request(self) -> Request:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.removesuffix("\r\n\r\n").split("\r\n")
        method, target, _ = line.split(" ")
        headers = tuple(self._field(text) for text in fields)
        request = Request(method, target, headers)
        return Request(method, target, headers, await self._read_body(request))

    @staticmethod
    def _field(text: str) -> tuple[str, str]:
        name, _, value = text.partition(":")
        return name, value.strip()

    async def _read_body(self, request: Request) -> bytes:
        if request.header("transfer-encoding").lower() == "chunked":
            return await self._read_chunks()
        return await self.reader.readexactly(int(request.header("content-length", "0")))

    async def _read_chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    async def _play(
        self, answer: Answer, headers: Headers, served: Served, *, bodiless: bool
    ) -> None:
        if answer.status:
            self._write_head(answer, headers)
        for step in () if bodiless else answer.steps:
            await self._step(step, answer.framing, served)
        if answer.framing is Framing.CHUNKED and not bodiless:
            self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()
        if answer.framing is Framing.CLOSE:
            raise GoneError

    def _write_head(self, answer: Answer, headers: Headers) -> None:
        fields = [*answer.headers, *headers]
        named = {name.lower() for name, _ in fields}
        if answer.framing is Framing.CHUNKED:
            fields.append(("transfer-encoding", "chunked"))
        elif answer.framing is Framing.LENGTH and "content-length" not in named:
            fields.append(("content-length", str(answer.length)))
        reason = HTTPStatus(answer.status).phrase
        lines = [f"HTTP/1.1 {answer.status} {reason}", *(f"{key}: {val}" for key, val in fields)]
        self.writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def _step(self, step: bytes | Pause | Gate | End, framing: Framing, to: Served) -> None:
        match step:
            case bytes():
                await self._send(step, framing, to)
            case Pause():
                await self._unless_gone(asyncio.sleep(step.seconds))
            case Gate():
                await self._unless_gone(step.wait())
            case End():
                await self._end(step)

    async def _send(self, body: bytes, framing: Framing, served: Served) -> None:
        if not body:
            return
        served.sent += body
        if framing is Framing.CHUNKED:
            body = b"%x\r\n%b\r\n" % (len(body), body)
        self.writer.write(body)
        await self.writer.drain()
        await asyncio.sleep(0)

    async def _unless_gone(self, waiting: Awaitable[None]) -> None:
        """Wait, but no longer than the other side stays."""
        wait = asyncio.ensure_future(waiting)
        gone = asyncio.ensure_future(self.reader.read(1))
        try:
            await asyncio.wait({wait, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not wait.done():
                raise GoneError
        finally:
            wait.cancel()
            gone.cancel()
            await asyncio.gather(wait, gone, return_exceptions=True)

    async def _end(self, end: End) -> None:
        await self.writer.drain()
        if end is End.RST:
            self._linger_zero()
            self.writer.transport.abort()
        raise GoneError

    def _linger_zero(self) -> None:
        """Have the kernel send a reset instead of a regular end."""
        option = struct.pack("ii", 1, 0)
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
