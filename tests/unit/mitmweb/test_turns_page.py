"""What mitmweb's page has of a WebSocket."""

from __future__ import annotations

import json
from typing import Any

from mitmproxy.http import HTTPFlow
from mitmproxy.test import tflow
from mitmproxy.websocket import WebSocketMessage
from wsproto.frame_protocol import Opcode

from response_store.mitmweb.contentview import ALL_MESSAGES, OpenAIContentview
from response_store.mitmweb.turns_page import reduce_to_turns, select_turns

CREATE = {"type": "response.create", "model": "gpt-5", "input": "Why?"}
CREATED = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
ITEM = {"type": "response.output_item.added", "output_index": 0,
        "item": {"id": "m", "type": "message", "role": "assistant", "content": []}}  # fmt: skip
DELTAS = [
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "m",
     "delta": word}
    for word in ("It ", "just ", "is.")
]  # fmt: skip
COMPLETED = {"type": "response.completed",
             "response": {"id": "resp_1", "status": "completed", "output": []}}  # fmt: skip


def build_flow(*messages: Any, path: str = "/v1/responses") -> HTTPFlow:
    """A WebSocket with messages; the client's are those that create."""
    flow: HTTPFlow = tflow.twebsocketflow()
    flow.request.path = path
    assert flow.websocket is not None
    flow.websocket.messages = [
        WebSocketMessage(Opcode.TEXT, one is CREATE, one if isinstance(one, bytes)
                         else json.dumps(one).encode())
        for one in messages
    ]  # fmt: skip
    return flow


def list_selected(flow: HTTPFlow) -> list[int]:
    """The places of the messages that are shown."""
    assert flow.websocket is not None
    messages = flow.websocket.messages
    return [messages.index(one) for one in select_turns(flow, messages)]


def test_a_turn_is_its_request_and_its_end() -> None:
    """What an answer goes on after is left out; what is no part of one is not."""
    turn = [CREATE, CREATED, ITEM, *DELTAS, COMPLETED]
    assert list_selected(build_flow(*turn, *turn)) == [0, 6, 7, 13]
    others = [{"type": "error", "error": {}}, {"type": "ping"}, {}, [], b"{", b"\xff"]
    assert list_selected(build_flow(*others, COMPLETED)) == [0, 1, 2, 3, 4, 5, 6]


def test_what_is_going_on_is_shown_so_far() -> None:
    """The last message of all stands for an answer that has not ended, with all of it."""
    flow = build_flow(CREATE, CREATED, ITEM, *DELTAS)
    assert list_selected(flow) == [0, 5]
    reduced = reduce_to_turns(flow)
    assert len(reduced.websocket.messages) == 2
    assert len(getattr(reduced.websocket, ALL_MESSAGES)) == 6
    assert flow.websocket is not None
    assert len(flow.websocket.messages) == 6

    class Metadata:
        http_message = None
        websocket_message = reduced.websocket.messages[-1]

    Metadata.flow = reduced  # type: ignore[attr-defined]
    shown = OpenAIContentview().prettify(Metadata.websocket_message.content, Metadata)
    assert shown.endswith("--- assistant\nIt just is.")


def test_other_sockets_are_left_alone() -> None:
    """Messages of an API that is not ours are all shown."""
    assert list_selected(build_flow(CREATED, *DELTAS, COMPLETED, path="/v1/realtime")) == [
        0, 1, 2, 3, 4,
    ]  # fmt: skip
