"""The rows that must be there, worked out from what the model server sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.fakes import bodies
from tests.fakes.dialects import BOM
from tests.harness.clients import QUESTION

if TYPE_CHECKING:
    from tests.harness.database import Row

TOKENS = {
    "input_tokens": 31,
    "cached_tokens": 8,
    "output_tokens": 17,
    "reasoning_tokens": 5,
    "total_tokens": 48,
}


def facts(row: Row, *names: str) -> dict[str, Any]:
    """Some columns of a row."""
    return {name: row[name] for name in names}


def assert_holds(row: Row, expected: dict[str, Any]) -> None:
    """The row has these values; the message shows all that differ at once."""
    assert facts(row, *expected) == expected


def assert_completed(row: Row, *, streamed: bool, model: str, text: str = bodies.TEXT) -> None:
    """The exchange ended well, and every column that a good end fills is filled."""
    assert_holds(
        row,
        {
            "api": "responses",
            "transport": "sse" if streamed else "http",
            "state": "completed",
            "ended_by": "terminal_event" if streamed else "body",
            "status_code": 200,
            "error_code": None,
            "error_message": None,
            "requested_model": model,
            "model": bodies.dated(model),
            "method": "POST",
            "path": "/v1/responses",
            "output_text": text,
            "result": None,
            "raw_response": None,
        }
        | TOKENS,
    )
    assert row["response_id"].startswith("resp_")
    assert row["upstream_request_id"].startswith("req_")
    assert 0 < row["duration_ms"] < 60_000
    if streamed:
        assert 0 < row["first_event_ms"] <= row["duration_ms"]


def assert_response(stored: Row, response: dict[str, Any]) -> None:
    """The stored response is this object, with the question before its output."""
    assert json.loads(stored["response_object"]) == response
    assert stored["id"] == response["id"]
    assert stored["created_at"] == int(response["created_at"])
    assert stored["model"] == response["model"]
    question = json.loads(stored["input"])
    assert [item["role"] for item in question] == ["user"]
    assert QUESTION in json.dumps(question, ensure_ascii=False)
    assert json.loads(stored["messages"]) == question + response["output"]


def events_in(body: bytes) -> list[dict[str, Any]]:
    """The JSON of the events in a plain stream, read without any code under test."""
    lines = body.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events: list[dict[str, Any]] = []
    data: list[bytes] = []
    for line in [*lines, b""]:
        if line.startswith(b"data:"):
            data.append(line.removeprefix(b"data:").removeprefix(b" "))
        elif not line and data:
            text = b"\n".join(data)
            events += [json.loads(text)] if text.startswith(b"{") else []
            data = []
    return events


def response_in(body: bytes) -> dict[str, Any]:
    """The last Response object in a plain stream."""
    found = [event["response"] for event in events_in(body) if "response" in event]
    response: dict[str, Any] = found[-1]
    return response
