"""The model server's WebSockets: each connection plays the scenario that its upgrade names.

The upgrade's header `x-scenario` chooses; without one every request is answered as usual.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.fakes.answers import End
from tests.fakes.http1 import GoneError
from tests.fakes.recordings import TAG
from tests.fakes.websocket_wire import EXTENSION, Closed, Json, Wire

if TYPE_CHECKING:
    from tests.fakes.http1 import Connection
    from tests.fakes.model_server import ModelServer
    from tests.fakes.requests import Request

REFUSED = "refused"
"""The scenario of a server that grants no socket."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_AGREED = f"{EXTENSION}; server_no_context_takeover; client_no_context_takeover"


@dataclass
class Served:
    """What came and went on one socket; `over` is set when the server has left it."""

    request: Request
    received: list[Json] = field(default_factory=list)
    sent: list[str | bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class ServerSocket:
    """The server's end of one socket."""

    def __init__(self, connection: Connection, wire: Wire, served: Served) -> None:
        self._connection = connection
        self._wire = wire
        self._inbox: list[Json] = []
        self.served = served

    async def receive(self) -> Json:
        """The client's next message; raises GoneError where there is none any more."""
        while not self._inbox:
            data = await self._connection.reader.read(1 << 16)
            if not data:
                raise GoneError
            for content in self._wire.receive(data):
                if isinstance(content, Closed):
                    self._connection.writer.write(self._wire.close(content.code))
                    raise GoneError
                message = _read(content)
                self.served.received.append(message)
                self._inbox.append(message)
        return self._inbox.pop(0)

    async def requests(self) -> AsyncIterator[Json]:
        """Every `response.create` that comes."""
        while True:
            message = await self.receive()
            if message.get("type") == "response.create":
                yield message

    async def send(self, *messages: str | bytes | Json) -> None:
        """Send messages, JSON as OpenAI writes it."""
        for message in messages:
            text = json.dumps(message, ensure_ascii=False) if isinstance(message, dict) else message
            self.served.sent.append(text)
            self._connection.writer.write(self._wire.message(text))
            await self._connection.writer.drain()
            await asyncio.sleep(0)

    async def ping(self) -> None:
        """Send a ping."""
        self._connection.writer.write(self._wire.ping())

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Say good-bye and leave."""
        self._connection.writer.write(self._wire.close(code, reason))
        await self._connection.writer.drain()
        raise GoneError

    async def cut(self, end: End = End.FIN) -> None:
        """Leave without a word."""
        await self._connection._end(end)


Scenario = Callable[[ServerSocket], Awaitable[None]]


class WebSocketSwitch:
    """What a model server does with requests to upgrade."""

    def __init__(self, server: ModelServer, usual: Scenario) -> None:
        self._scenarios: dict[str, Scenario] = {}
        self._usual = usual
        self._served: list[Served] = []
        self._changed = threading.Condition()
        server.switches["websocket"] = self._serve

    def play(self, scenario: Scenario) -> str:
        """Add a scenario and return its name."""
        name = f"socket-{len(self._scenarios)}"
        self._scenarios[name] = scenario
        return name

    def only(self, tag: str, timeout: float = 10.0) -> Served:
        """The one socket with that tag."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._tagged(tag), timeout), f"no socket of {tag}"
            (served,) = self._tagged(tag)
            return served

    def _tagged(self, tag: str) -> list[Served]:
        return [served for served in self._served if served.request.header(TAG) == tag]

    async def _serve(self, connection: Connection, request: Request) -> None:
        if request.header("x-scenario") == REFUSED:
            connection.writer.write(b"HTTP/1.1 426 Upgrade Required\r\ncontent-length: 0\r\n\r\n")
            return
        deflate = _AGREED if EXTENSION in request.header("sec-websocket-extensions") else None
        connection.writer.write(_accepted(request, deflate))
        served = Served(request)
        with self._changed:
            self._served.append(served)
            self._changed.notify_all()
        socket = ServerSocket(connection, Wire(server=True, deflate=deflate), served)
        try:
            await self._scenarios.get(request.header("x-scenario"), self._usual)(socket)
        finally:
            served.over.set()


def _accepted(request: Request, deflate: str | None) -> bytes:
    key = request.header("sec-websocket-key").encode()
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
    fields = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": accept,
        "x-request-id": "req_socket",
    }
    if deflate:
        fields["sec-websocket-extensions"] = deflate
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{k}: {v}" for k, v in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _read(content: str | bytes) -> Json:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
