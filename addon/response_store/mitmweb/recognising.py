"""Which messages of a flow the contentview can tell: by path and by how they begin."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, NamedTuple

from mitmproxy.http import HTTPFlow

from response_store.openai_api.endpoints import Skip, classify
from response_store.store.records import Api

_START = 64  # bytes in which a body shows what it is
_STREAM_STARTS = (b"event:", b"data:", b"id:", b"retry:", b":")
_BOM = b"\xef\xbb\xbf"


class Kind(Enum):
    """What a message is."""

    REQUEST = auto()
    ANSWER = auto()
    FROM_CLIENT = auto()  # over a WebSocket
    FROM_SERVER = auto()


class Recognised(NamedTuple):
    """A message that we know, and the API that it speaks."""

    kind: Kind
    api: Api


def recognised(
    flow: Any, http_message: Any, websocket_message: Any, data: bytes
) -> Recognised | None:
    """Return what a message is, if it is one of ours."""
    if not isinstance(flow, HTTPFlow) or not data:
        return None
    if websocket_message is not None:
        return _of_socket(flow, websocket_message, data)
    api = _api(flow)
    if isinstance(api, Skip):
        return None
    if http_message is flow.request:
        ours = is_object(data) and b'"model"' in data
        return Recognised(Kind.REQUEST, api) if ours else None
    answers = http_message is not None and (is_object(data) or is_stream(data))
    return Recognised(Kind.ANSWER, api) if answers else None


def is_object(data: bytes) -> bool:
    """Return whether a body begins like a JSON object."""
    return data[:_START].removeprefix(_BOM).lstrip().startswith(b"{")


def is_stream(data: bytes) -> bool:
    """Return whether a body begins like server-sent events."""
    return data[:_START].removeprefix(_BOM).lstrip().startswith(_STREAM_STARTS)


def _of_socket(flow: HTTPFlow, message: Any, data: bytes) -> Recognised | None:
    route = flow.request.path.partition("?")[0]
    if not (route.endswith("/responses") and is_object(data)):
        return None
    kind = Kind.FROM_CLIENT if message.from_client else Kind.FROM_SERVER
    return Recognised(kind, Api.RESPONSES)


def _api(flow: HTTPFlow) -> Api | Skip:
    headers = flow.request.headers
    return classify(
        flow.request.method,
        flow.request.path,
        headers.get("content-type", ""),
        headers.get("upgrade", ""),
    )
