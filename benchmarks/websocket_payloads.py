"""The bytes of one turn on a WebSocket, canned like those of `payloads`.

A client's frames are masked with zeros, which is allowed and costs nothing; a server's are not
masked at all. The kind of a turn is `websocket=D`, where D is how many deltas its answer has.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct

from benchmarks.payloads import Template, events, request_body

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"sec-websocket-key: *([^\r]+)", re.IGNORECASE)
_KIND = re.compile(rb"x-benchmark: *websocket=(\d+)", re.IGNORECASE)
_TEXT = 0x81  # a whole text message in one frame
_MASKED = 0x80
NO_MASK = bytes(4)


def is_websocket(kind: str) -> bool:
    """Whether a kind of exchange passes on a WebSocket."""
    return kind.startswith("websocket=")


def upgrade(kind: str) -> bytes:
    """The request for a socket whose turns are of that kind."""
    return (
        "GET /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: OpenAI/Python 3.54.0\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Authorization: Bearer not-a-key\r\nx-benchmark: {kind}\r\n\r\n"
    ).encode()


def accept(head: bytes) -> bytes:
    """The answer to such a request."""
    key = _KEY.search(head)
    assert key, head
    accepted = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %s\r\nx-request-id: req_benchmark\r\n\r\n" % accepted
    )


def deltas_wanted(head: bytes) -> int | None:
    """How many deltas each answer on this socket has; None where no socket is asked for."""
    kind = _KIND.search(head)
    return int(kind[1]) if kind else None


def turn_request() -> bytes:
    """The message that asks for a response."""
    body = {"type": "response.create", **request_body(stream=True)}
    return _frame(json.dumps(body).encode(), masked=True)


def turn_answer(deltas: int) -> Template:
    """The messages that answer it, a frame each."""
    messages = [json.dumps(event).encode() for event in events(deltas)]
    return Template(b"".join(_frame(message, masked=False) for message in messages))


def turn_end(deltas: int) -> bytes:
    """The last bytes of an answer, which no message but the terminal one ends with."""
    return json.dumps(events(deltas)[-1]).encode()[-24:]


def _frame(content: bytes, *, masked: bool) -> bytes:
    mask, bit = (NO_MASK, _MASKED) if masked else (b"", 0)
    if len(content) < 126:
        head = struct.pack("!BB", _TEXT, bit | len(content))
    else:
        head = struct.pack("!BBH", _TEXT, bit | 126, len(content))
    return head + mask + content


def take_frame(data: bytes) -> tuple[int, bytes] | None:
    """The opcode of the first frame and what follows it; None where it has not come whole."""
    if len(data) < 2:
        return None
    length, start = data[1] & 0x7F, 2
    if length > 125:
        size = 2 if length == 126 else 8
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    end = start + (4 if data[1] & _MASKED else 0) + length
    return (data[0] & 0x0F, data[end:]) if len(data) >= end else None
