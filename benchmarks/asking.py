"""One connection of the load generator, over which requests go one after the other."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from benchmarks.payloads import ID_LENGTH, request, streams

LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
LAST_CHUNK = b"\r\n0\r\n\r\n"
ID_WITHIN = 300  # bytes of a body


class Asking(asyncio.BufferedProtocol):
    """One keep-alive connection with at most one request under way.

    `whole` is called when an answer has ended. Plain calls, no futures or tasks: the load
    generator shares two cores with what it measures.
    """

    transport: asyncio.Transport
    whole: Callable[[Asking], None]

    def __init__(self, kind: str) -> None:
        self._request = request(kind)
        self._streams = streams(kind)
        self._buffer = memoryview(bytearray(1 << 16))  # plain protocols allocate 256 KB a read
        self._head = b""
        self._start = b""  # of the body
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

    @property
    def response_id(self) -> str:
        """Return the id that the last answer began with."""
        at = self._start.find(b"resp_")
        return self._start[at : at + ID_LENGTH].decode()

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
        self._start = self._head[end + 4 : end + 4 + ID_WITHIN]
        return self._head[end + 4 :]


def fail(text: str) -> NoReturn:
    """End the process: figures from a broken load are worth nothing."""
    print(text, file=sys.stderr, flush=True)
    os._exit(1)
