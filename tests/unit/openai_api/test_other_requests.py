"""Requests beside the two main endpoints, and what they change of a conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.model.records import ConversationChange
from response_store.openai_api.other_requests import (
    ConversationRequest,
    OtherRequest,
    read_conversation_change,
    read_other_request,
)

BASE = "/v1/conversations"
ITEM = {"id": "msg_1", "type": "message"}


def change(method: str, path: str, answer: Any, body: Any = None) -> ConversationChange | None:
    coded = None if body is None else json.dumps(body).encode()
    request = ConversationRequest("t1", method, path, coded, 100.9)
    return read_conversation_change(request, json.dumps(answer).encode())


def items(read: ConversationChange | None) -> list[Any]:
    assert read is not None
    return [json.loads(item) for item in read.items]


@pytest.mark.parametrize(
    ("body", "path", "expected"),
    [
        (b"", f"{BASE}/conv_1", OtherRequest(None, None, "conv_1", True, None)),
        (
            b'{"model": "m", "previous_response_id": "resp_1", "store": false}',
            "/v1/responses/compact",
            OtherRequest("m", "resp_1", None, False, None),
        ),
        (
            b'{"conversation": {"id": "conv_2"}}',
            "/v1/responses/input_tokens",
            OtherRequest(None, None, "conv_2", True, None),
        ),
    ],
)
def test_what_a_request_says(body: bytes, path: str, expected: OtherRequest) -> None:
    """A path names a conversation before a body does."""
    assert read_other_request(body, path) == expected


@pytest.mark.parametrize("body", [b'{"model": ', b"\xff", b"[" * 100_000])
def test_a_body_that_cannot_be_read(body: bytes) -> None:
    """The path counts all the same, and the reason is said."""
    read = read_other_request(body, f"{BASE}/conv_1")
    assert (read.model, read.conversation_id) == (None, "conv_1")
    assert read.problem is not None
    assert read.problem.startswith("request body: ")


def test_a_conversation_begins() -> None:
    """With the items of its request, which the answer leaves out."""
    answer = {"id": "conv_1", "object": "conversation", "created_at": 5, "metadata": {"a": "b"}}
    read = change("POST", BASE, answer, {"items": [ITEM]})
    assert read is not None
    assert (read.id, read.tenant_id, read.created_at, read.begins) == ("conv_1", "t1", 5, True)
    assert (json.loads(read.metadata or ""), items(read)) == ({"a": "b"}, [ITEM])


def test_a_conversation_is_changed() -> None:
    """Its metadata is; items in that request mean nothing."""
    answer = {"id": "conv_1", "object": "conversation"}
    read = change("POST", f"{BASE}/conv_1", answer, {"items": [ITEM]})
    assert read == ConversationChange("t1", "conv_1", 100, metadata="{}")


def test_items_are_added() -> None:
    """As the answer has them, with the ids that they got; a page of them that is read adds none."""
    answer = {"object": "list", "data": [ITEM, {"id": "msg_2"}]}
    assert items(change("POST", f"{BASE}/conv_1/items", answer)) == [ITEM, {"id": "msg_2"}]
    assert change("GET", f"{BASE}/conv_1/items", answer) is None


def test_deletions() -> None:
    """Of a conversation, or of one item of it."""
    whole = change("DELETE", f"{BASE}/conv_1", {"object": "conversation.deleted"})
    assert whole == ConversationChange("t1", "conv_1", 100, deleted=True)
    item = change("DELETE", f"{BASE}/conv_1/items/msg_1", {"object": "conversation"})
    assert item == ConversationChange("t1", "conv_1", 100, removed_item="msg_1")


@pytest.mark.parametrize("answer", [{}, {"object": "conversation"}, [], "text"])
def test_an_answer_that_names_nothing(answer: Any) -> None:
    """Nothing is changed by it."""
    assert change("POST", BASE, answer) is None
