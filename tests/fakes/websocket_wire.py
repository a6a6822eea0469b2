"""WebSocket framing for both far ends: bytes in and out, nothing by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wsproto import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

Json = dict[str, Any]
EXTENSION = "permessage-deflate"


@dataclass(frozen=True)
class Closed:
    """The other side said good-bye."""

    code: int
    reason: str | None


class Wire:
    """One side of a WebSocket after its handshake. `deflate` is what both sides agreed on."""

    def __init__(self, *, server: bool, deflate: str | None = None) -> None:
        kind = ConnectionType.SERVER if server else ConnectionType.CLIENT
        extension = PerMessageDeflate()
        if deflate:
            extension.finalize(deflate)
        self._connection = Connection(kind, [extension] if deflate else [])
        self._parts: list[str | bytes] = []

    def message(self, content: str | bytes | Json) -> bytes:
        """The bytes of a message: JSON and text as text, bytes as binary."""
        if isinstance(content, dict):
            content = json.dumps(content, ensure_ascii=False)
        if isinstance(content, bytes):
            return self._connection.send(BytesMessage(content))
        return self._connection.send(TextMessage(content))

    def ping(self) -> bytes:
        """The bytes of a ping."""
        return self._connection.send(Ping(b"are you there"))

    def close(self, code: int = 1000, reason: str | None = None) -> bytes:
        """The bytes of a close frame."""
        return self._connection.send(CloseConnection(code, reason))

    def receive(self, data: bytes) -> Iterator[str | bytes | Closed]:
        """The messages that these bytes complete."""
        self._connection.receive_data(data)
        for event in self._connection.events():
            if isinstance(event, CloseConnection):
                yield Closed(event.code, event.reason)
            elif isinstance(event, TextMessage | BytesMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    parts, self._parts = self._parts, []
                    yield type(parts[0])().join(parts)  # type: ignore[arg-type]
