"""Recognise the messages that the contentview can render, by path and first bytes."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

from mitmproxy.http import HTTPFlow

from response_store.model.records import Api
from response_store.openai_api.endpoints import Skip, classify

_START = 64  # bytes in which a body shows what it is
_STREAM_STARTS = (b"event:", b"data:", b"id:", b"retry:", b":")
_BOM = b"\xef\xbb\xbf"


class MessageKind(Enum):
    """What a message is."""

    REQUEST = auto()
    ANSWER = auto()
    FROM_CLIENT = auto()  # over a WebSocket
    FROM_SERVER = auto()


class RecognizedMessage(NamedTuple):
    """A message that we know, and the API that it speaks."""

    kind: MessageKind
    api: Api


def recognize(
    flow: Any, http_message: Any, websocket_message: Any, data: bytes
) -> RecognizedMessage | None:
    """Return what a message is, if it is one of ours."""
    if not isinstance(flow, HTTPFlow) or not data:
        return None
    if websocket_message is not None:
        return _recognize_socket_message(flow, websocket_message, data)
    api = _classify(flow)
    if isinstance(api, Skip):
        return None
    if http_message is flow.request:
        ours = is_object(data) and b'"model"' in data
        return RecognizedMessage(MessageKind.REQUEST, api) if ours else None
    answers = http_message is not None and (is_object(data) or is_stream(data))
    return RecognizedMessage(MessageKind.ANSWER, api) if answers else None


def is_object(data: bytes) -> bool:
    """Return whether a body begins like a JSON object."""
    return data[:_START].removeprefix(_BOM).lstrip().startswith(b"{")


def is_stream(data: bytes) -> bool:
    """Return whether a body begins like server-sent events."""
    return data[:_START].removeprefix(_BOM).lstrip().startswith(_STREAM_STARTS)


def _recognize_socket_message(
    flow: HTTPFlow, message: Any, data: bytes
) -> RecognizedMessage | None:
    route = flow.request.path.partition("?")[0]
    if not (route.endswith("/responses") and is_object(data)):
        return None
    kind = MessageKind.FROM_CLIENT if message.from_client else MessageKind.FROM_SERVER
    return RecognizedMessage(kind, Api.RESPONSES)


def _classify(flow: HTTPFlow) -> Api | Skip:
    headers = flow.request.headers
    return classify(
        flow.request.method,
        flow.request.path,
        headers.get("content-type", ""),
        headers.get("upgrade", ""),
    )
