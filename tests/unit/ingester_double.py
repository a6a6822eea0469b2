"""An ingester in the hands of a test: the other end of its supervisor's channel, and no process."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from typing import Any

from response_store.ingest.channel import AnyMessage, Message, MessageDecoder, encode


class Ingester:
    """Stands for the process: it has the other end of the channel, and ends when a test says so."""

    def __init__(self, fd: int, command: list[str], how: dict[str, Any]) -> None:
        self.channel = socket.socket(fileno=os.dup(fd))
        self.channel.settimeout(5.0)
        self.command = command
        self.how = how
        self.code: int | None = None
        self.pid = 4711
        self._decoder = MessageDecoder()
        self._messages: list[tuple[AnyMessage, bytes]] = []

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        self.exit(-9)

    def receive(self) -> tuple[Any, bytes]:
        """The next message from the proxy, and its body. Blocks."""
        while not self._messages:
            data = self.channel.recv(1 << 16)
            if not data:
                raise EOFError
            self._messages += self._decoder.feed(data)
        return self._messages.pop(0)

    def send(self, *messages: Message, body: bytes = b"") -> None:
        """Send messages to the proxy."""
        for message in messages:
            self.channel.sendall(b"".join(encode(message, body)))

    def exit(self, code: int = 1) -> None:
        """End."""
        self.code = code
        self.channel.close()


async def until(done: Callable[[], object], seconds: float = 5.0) -> None:
    """Let the loop run until something holds."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it takes too long"
        await asyncio.sleep(0.001)
