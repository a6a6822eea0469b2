"""The upstream's end of a WebSocket: each message that comes is answered with a canned turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache

from benchmarks.websocket_payloads import take_frame, turn_answer

_CLOSE = 8
_ASKED = (1, 2)  # text and binary
answer = cache(turn_answer)


class Turns:
    """One socket after its upgrade. `next_number` gives each answer an id of its own."""

    def __init__(
        self, transport: asyncio.Transport, deltas: int, next_number: Callable[[], int]
    ) -> None:
        self._transport = transport
        self._answer = answer(deltas)
        self._next_number = next_number
        self._data = b""

    def feed(self, data: bytes) -> None:
        """Answer the messages that these bytes complete."""
        self._data += data
        while taken := take_frame(self._data):
            opcode, self._data = taken
            if opcode in _ASKED:
                self._transport.write(self._answer.fill(self._next_number()))
            elif opcode == _CLOSE:
                self._transport.close()
