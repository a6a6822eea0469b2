"""Messages as other servers send them: several in one, binary, and ids that change."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.openai_api.websocket_messages import (
    decode_binary,
    read_client,
    read_server,
    split_message,
)

DELTA = {"type": "response.output_text.delta", "delta": "x"}
DONE = {"type": "response.done", "response": {"id": "r"}}
TEXTS = [json.dumps(DELTA).encode(), json.dumps(DONE).encode()]
MESSAGES = {
    "two values": b"".join(TEXTS),
    "two lines": b"\n".join(TEXTS),
    "frames of a stream": b"".join(b"data: " + text + b"\n\n" for text in TEXTS),
    "frames with names": b"".join(b"event: x\ndata: " + text + b"\n\n" for text in TEXTS),
    "frames with one line end": b"".join(b"data: " + text + b"\n" for text in TEXTS),
    "frames, and the mark": b"".join(b"data: " + t + b"\n\n" for t in TEXTS) + b"data: [DONE]\n\n",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_apart(name: str) -> None:
    """What several messages were put into is taken apart."""
    assert list(split_message(MESSAGES[name])) == TEXTS


@pytest.mark.parametrize("content", [b"", b"hello", b"[1]", b"7", b'{"cut', b"\xff"])
def test_what_is_none(content: bytes) -> None:
    """What is no message gives none."""
    assert list(split_message(content)) == []


def test_binary() -> None:
    """A binary message may be text."""
    assert decode_binary("Köln".encode()) == "Köln".encode()
    assert decode_binary(b"\xff\xfe") is None


def test_members_in_response() -> None:
    """A request may have its members in `response`."""
    inner: dict[str, Any] = {"previous_response_id": "r1", "model": "m"}
    found = read_client(json.dumps({"type": "response.create", "response": inner}).encode())
    assert (found.type, found.previous_response_id) == ("response.create", "r1")


def test_what_begins_a_response() -> None:
    """Only `response.created` begins one; other events may be of the one that runs."""
    kinds = ("response.created", "response.in_progress", "response.completed")
    texts = [json.dumps({"type": kind, "response": {"id": "r"}}).encode() for kind in kinds]
    assert [read_server(text).begins for text in texts] == [True, False, False]
