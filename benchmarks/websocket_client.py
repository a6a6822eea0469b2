"""A WebSocket of the load generator: at most one turn under way."""

from __future__ import annotations

import asyncio
import time

from benchmarks.asking import Asking, fail
from benchmarks.websocket_payloads import deltas_wanted, turn_end, turn_request, upgrade


class Speaking(Asking):
    """As `Asking`, on a socket: what is asked for is a turn, which ends with its last message."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._upgrade = upgrade(kind)
        deltas = deltas_wanted(self._upgrade)
        assert deltas is not None
        self._request, self._end = turn_request(), turn_end(deltas)
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(self._upgrade)

    def buffer_updated(self, size: int) -> None:
        data = bytes(self._buffer[:size])
        if not self.ready.done():
            self._greet(data)
            return
        if not self.first:
            self.first = time.perf_counter()
        self._tail = (self._tail + data)[-len(self._end) :]
        if self._tail.endswith(self._end):
            self.ended = time.perf_counter()
            self.whole(self)

    def _greet(self, data: bytes) -> None:
        """Take the answer to the upgrade."""
        self._head += data
        if not self._head.endswith(b"\r\n\r\n"):
            return
        if not self._head.startswith(b"HTTP/1.1 101"):
            fail(f"no socket: {self._head[:200]!r}")
        self.ready.set_result(None)
