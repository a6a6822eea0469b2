"""Flows as mitmproxy has them, and what its contentviews make of their messages."""

from __future__ import annotations

from typing import Any, NamedTuple

from mitmproxy import contentviews, http
from mitmproxy.test import taddons, tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from response_store.mitmweb import add_contentview

RESPONSES = "/v1/responses"
CHAT = "/v1/chat/completions"
STREAM = "text/event-stream; charset=utf-8"
SECRET = "sk-canary-of-a-header"


class Shown(NamedTuple):
    """What mitmproxy shows of a message, and the view that it has chosen."""

    text: str
    view: str


def flow_of(
    path: str = RESPONSES,
    asked: bytes = b'{"model": "gpt-5", "input": "Hi"}',
    answer: bytes = b"",
    content_type: str = "application/json",
) -> http.HTTPFlow:
    """An exchange over HTTP."""
    flow = tflow.tflow(resp=True)
    flow.request.method, flow.request.path = "POST", path
    flow.request.headers["content-type"] = "application/json"
    flow.request.headers["authorization"] = f"Bearer {SECRET}"
    flow.request.content = asked
    assert flow.response is not None
    flow.response.headers["content-type"] = content_type
    flow.response.content = answer
    return flow


def socket_of(*messages: tuple[bool, bytes]) -> http.HTTPFlow:
    """A socket; of each message is told whether the client sent it."""
    flow = tflow.twebsocketflow()
    flow.request.path = RESPONSES
    assert flow.websocket is not None
    flow.websocket.messages = [
        WebSocketMessage(Opcode.TEXT, from_client, content) for from_client, content in messages
    ]
    return flow


def shown(flow: http.HTTPFlow, message: Any, view: str = "auto") -> Shown:
    """What mitmproxy shows, in the way of its version."""
    add_contentview()
    known: Any = contentviews
    if hasattr(known, "prettify_message"):
        with taddons.context() as context:
            result = known.prettify_message(message, flow, view)
        context.master.event_loop.close()
        return Shown(result.text, result.view_name)
    description, lines, error = known.get_message_content_view(view, message, flow)
    assert error is None, error
    return Shown("\n".join("".join(text for _, text in line) for line in lines), description)
