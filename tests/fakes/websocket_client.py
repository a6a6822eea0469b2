"""A WebSocket client over which nothing happens by itself, so that it can leave as it likes."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.fakes.resets import reset
from tests.fakes.websocket_wire import EXTENSION, Closed, Json, Wire
from tests.harness.clients import CREATE, SECRET, TIMEOUT

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class WebSocketClient:
    """One socket through a proxy. `via` names the server that a regular proxy shall connect to."""

    def __init__(
        self,
        port: int,
        tenant: str,
        *,
        scenario: str = "usual",
        path: str = CREATE,
        deflate: bool = False,
        via: str | None = None,
        tls: ssl.SSLContext | None = None,
        **headers: str,
    ) -> None:
        self.received: list[Json] = []
        self.closed: Closed | None = None
        self._inbox: list[Json] = []
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        if via is not None:
            self._socket.sendall(f"CONNECT {via} HTTP/1.1\r\nhost: {via}\r\n\r\n".encode())
            assert self._read_head().startswith("HTTP/1.1 200")
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname="127.0.0.1")
        fields = {
            "host": via or "127.0.0.1",
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-version": "13",
            "sec-websocket-key": KEY,
            "authorization": f"Bearer {SECRET}",
            "x-tenant": tenant,
            "x-scenario": scenario,
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        if deflate:
            fields["sec-websocket-extensions"] = EXTENSION
        lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        try:
            self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
            self.head = self._read_head()
        except (OSError, EOFError):
            self._socket.close()
            raise
        agreed = [
            value.strip()
            for name, _, value in (line.partition(":") for line in self.head.split("\r\n"))
            if name.lower() == "sec-websocket-extensions"
        ]
        self.wire = Wire(server=False, deflate=agreed[0] if agreed else None)

    def send(self, *messages: str | bytes | Json) -> None:
        """Send messages."""
        for message in messages:
            self._socket.sendall(self.wire.message(message))

    def receive(self) -> Json:
        """The next message; raises EOFError where the socket has ended."""
        while not self._inbox:
            data = b"" if self.closed else self._socket.recv(1 << 16)
            if not data:
                raise EOFError
            for content in self.wire.receive(data):
                if isinstance(content, Closed):
                    self.closed = content
                else:
                    self._inbox.append(_read(content))
        message = self._inbox.pop(0)
        self.received.append(message)
        return message

    def until(self, kind: str, count: int = 1) -> Json:
        """Read until so many messages of that type have come; returns the last one."""
        return self.until_any(lambda message: message.get("type") == kind, count)

    def until_raw(self, mark: str) -> None:
        """Read without keeping anything, until a message that holds a mark has come."""
        while True:
            data = self._socket.recv(1 << 18)
            assert data, "the socket has ended"
            for content in self.wire.receive(data):
                if isinstance(content, str) and mark in content[:200]:
                    return

    def until_any(self, wanted: Callable[[Json], Any], count: int = 1) -> Json:
        """Read until so many messages have come that are wanted."""
        while True:
            message = self.receive()
            count -= bool(wanted(message))
            if not count:
                return message

    def until_end(self) -> None:
        """Read until the socket ends."""
        try:
            while True:
                self.receive()
        except (EOFError, ConnectionError):
            return

    def close(self, code: int = 1000) -> None:
        """Say good-bye, and wait for the answer."""
        self._socket.sendall(self.wire.close(code))
        self.until_end()
        self.drop()

    def drop(self) -> None:
        """Leave without a close frame."""
        self._socket.close()

    def reset(self) -> None:
        """Leave with a reset."""
        reset(self._socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.drop()

    def _read_head(self) -> str:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self._socket.recv(1)
            if not byte:
                raise EOFError(f"no answer to the upgrade: {head!r}")
            head += byte
        return head.decode("latin-1")


def _read(content: str | bytes) -> Json:
    try:
        value = json.loads(content)
    except ValueError:
        return {"unreadable": content}
    return value if isinstance(value, dict) else {"unreadable": content}
