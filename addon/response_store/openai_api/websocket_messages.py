"""Messages of a WebSocket: what each is about, and nothing more of it.

The event loop reads only what tells which turn a message belongs to. A stream is named by the JSON
text of `stream_id`; messages without one share the stream without a name.

Source: the API reference, "WebSocket mode".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT
from response_store.limits import OUTLINED, STREAM_ID, limit_name
from response_store.openai_api.sse import TERMINAL, begins_stream, outline_if_large, parse_stream

CREATE = "response.create"
STEER = "response.steer"
_CREATED = "response.created"
CONNECTION_LIMIT = "websocket_connection_limit_reached"
"""The error that ends a connection after its hour, and what is asked of it from then on."""
NO_STREAM_ID = b""
_ERRORS = frozenset({"error", "response.error"})
S = TypeVar("S", bound=msgspec.Struct)


class ServerMessageKind(Enum):
    """What a message of the server does to a turn."""

    TERMINAL = auto()
    ERROR = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """A message of the client."""

    type: str
    stream_id: bytes
    previous_response_id: str | None


@dataclass(frozen=True, slots=True)
class ServerMessage:
    """A message of the server. The response's fields are set where it carries the object."""

    kind: ServerMessageKind
    stream_id: bytes
    response_id: str | None = None
    previous_response_id: str | None = None
    stored: bool = True
    begins: bool = False  # it is the first of its response
    status: int | None = None  # of an error: the HTTP status that it stands for
    code: str | None = None


_PIECE = ServerMessage(ServerMessageKind.OTHER, NO_STREAM_ID)


class _Client(msgspec.Struct):
    type: Raw = ABSENT
    stream_id: Raw = ABSENT
    previous_response_id: Raw = ABSENT
    response: Raw = ABSENT


class _Server(msgspec.Struct):
    type: Raw = ABSENT
    stream_id: Raw = ABSENT
    response: Raw = ABSENT
    status: Raw = ABSENT
    code: Raw = ABSENT
    error: Raw = ABSENT


class _Plain(msgspec.Struct):
    type: str
    stream_id: Raw = ABSENT
    response: Raw = ABSENT


_decode_plain = msgspec.json.Decoder(_Plain).decode


class _Response(msgspec.Struct):
    id: Raw = ABSENT
    previous_response_id: Raw = ABSENT
    store: Raw = ABSENT


class _Error(msgspec.Struct):
    code: Raw = ABSENT


def read_client(content: bytes) -> ClientMessage:
    """Read a message of the client. Raises UnreadableError where it is no JSON object."""
    seen = jsontext.slice_members(outline_if_large(content), _Client)
    inner = (
        _read_members(seen.response, _Client) if jsontext.is_present(seen.response) else _Client()
    )
    previous = _read_id(seen.previous_response_id)
    return ClientMessage(
        type=jsontext.read_text(seen.type) or "",
        stream_id=_read_stream_id(seen.stream_id) or _read_stream_id(inner.stream_id),
        previous_response_id=previous or _read_id(inner.previous_response_id),
    )


def read_server(content: bytes) -> ServerMessage:
    """Read a message of the server. Raises UnreadableError where it is no JSON object."""
    if len(content) > OUTLINED:
        content = outline_if_large(content)
    return _read_plain(content) or _read_carefully(content)


def _read_plain(content: bytes) -> ServerMessage | None:
    """Read the most frequent messages, pieces of an answer, in a quick way; return None for any
    other.
    """
    try:
        seen = _decode_plain(content)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if (
        not seen.type
        or seen.type in _ERRORS
        or seen.type in TERMINAL
        or seen.response is not ABSENT
    ):
        return None
    if seen.stream_id is ABSENT:
        return _PIECE
    return ServerMessage(ServerMessageKind.OTHER, _read_stream_id(seen.stream_id))


def _read_carefully(content: bytes) -> ServerMessage:
    seen = jsontext.slice_members(content, _Server)
    kind = jsontext.read_text(seen.type) or ""
    if kind in _ERRORS or (not kind and jsontext.is_present(seen.error)):
        return _read_error(seen)
    role = ServerMessageKind.TERMINAL if kind in TERMINAL else ServerMessageKind.OTHER
    if not jsontext.is_present(seen.response):
        return ServerMessage(role, _read_stream_id(seen.stream_id))
    response = _read_members(seen.response, _Response)
    return ServerMessage(
        role,
        _read_stream_id(seen.stream_id),
        response_id=_read_id(response.id) or None,
        previous_response_id=_read_id(response.previous_response_id),
        stored=bytes(response.store) != b"false",
        begins=kind == _CREATED,
    )


def decode_binary(content: bytes) -> bytes | None:
    """Return a binary message as text; None where it is none. Of a large one the start tells."""
    start = content[:OUTLINED]
    end, is_cut_off = jsontext.measure_utf8(start)
    return content if end == len(start) or (is_cut_off and start != content) else None


def split_message(content: bytes) -> Iterator[bytes]:
    """Yield the messages in one that is no JSON object: frames of a stream, or several objects."""
    try:
        if begins_stream(content):
            parts = [event.data for event in parse_stream(content)]
        else:
            parts = [bytes(value) for value in jsontext.slice_values(content)]
    except jsontext.UnreadableError:
        return
    yield from (part for part in parts if part.lstrip()[:1] == b"{")


def encode_frame(content: bytes) -> bytes:
    """Return a message as a frame of server-sent events, the form in which answers are read and
    kept.
    """
    if b"\n" in content or b"\r" in content:
        content = b"\ndata: ".join(content.splitlines())
    return b"data: " + content + b"\n\n"


def encode_frame_pieces(content: bytes) -> list[bytes]:
    """Return a large message as such a frame, in pieces: to join them takes too long."""
    if b"\n" in content or b"\r" in content:  # blanks between its tokens
        content = content.replace(b"\n", b" ").replace(b"\r", b" ")
    return [b"data: ", content, b"\n\n"]


def _read_error(seen: _Server) -> ServerMessage:
    status = jsontext.read_int(seen.status)
    nested = _read_members(seen.error, _Error).code if jsontext.is_present(seen.error) else ABSENT
    return ServerMessage(
        ServerMessageKind.ERROR,
        _read_stream_id(seen.stream_id),
        status=status if status in range(400, 600) else None,
        code=jsontext.read_text(nested) or jsontext.read_text(seen.code),
    )


def _read_members(text: Raw, fields: type[S]) -> S:
    try:
        return jsontext.slice_members(text, fields)
    except jsontext.UnreadableError:  # no object, or broken inside one that is whole
        return fields()


def _read_stream_id(stream_id: Raw) -> bytes:
    if not jsontext.is_present(stream_id):
        return NO_STREAM_ID
    name = bytes(stream_id)
    return name if len(name) <= STREAM_ID else hashlib.sha256(name).hexdigest().encode()


def _read_id(text: Raw) -> str | None:
    name = jsontext.read_text(text)
    return limit_name(name) if name else name
