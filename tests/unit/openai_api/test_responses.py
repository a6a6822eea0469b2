"""The response object: every member may be missing, or of any type."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from response_store.jsontext import UnreadableError
from response_store.model.records import State
from response_store.openai_api.outcome import ApiError, ParsedResponse, Usage
from response_store.openai_api.responses import is_response, read_response
from tests.fakes import bodies
from tests.hypothesis_profiles import examples
from tests.unit.openai_api.odd_json import objects


def outcome_of(**fields: Any) -> ParsedResponse:
    return read_response(json.dumps(fields).encode())


def test_whole() -> None:
    """A whole response fills every column, and its text is kept to the letter."""
    asked = {"model": "gpt-5", "previous_response_id": "resp_0"}
    value = bodies.whole_response(asked, conversation={"id": "conv_1"})
    text = json.dumps(value, indent=3).encode()
    outcome = read_response(text)
    assert outcome.response == text
    assert outcome == ParsedResponse(
        state=State.COMPLETED,
        response_id=value["id"],
        model="gpt-5-2025-08-07",
        created_at=value["created_at"],
        response=text,
        items=outcome.items,
        output_text=bodies.TEXT,
        usage=Usage(31, 8, 17, 5, 48),
        previous_response_id="resp_0",
        conversation_id="conv_1",
    )
    assert [json.loads(item) for item in outcome.items] == value["output"]
    assert all(item in text for item in outcome.items)


STATES = ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


@pytest.mark.parametrize("status", STATES)
def test_states(status: str) -> None:
    """Each status is a state."""
    assert outcome_of(status=status).state is State(status)


@pytest.mark.parametrize("status", ["odd", "open", "refused", "", None, 5])
def test_no_states(status: Any) -> None:
    """A status that the API does not have is none; ours are not the API's."""
    assert outcome_of(status=status).state is None


CREATED = [(1741476542, 1741476542), (1741476542.75, 1741476542), ("1741476542", 1741476542)]
CREATED += [(1741476542750, 1741476542), ("2025-03-08T23:29:02Z", 1741476542), ("now", None)]
CREATED += [(None, None), (10**30, None), (-5, -5), ({}, None)]  # type: ignore[list-item]


@pytest.mark.parametrize(("sent", "seconds"), CREATED)
def test_created_at(sent: Any, seconds: int | None) -> None:
    """A time is whole seconds, or none."""
    assert outcome_of(created_at=sent).created_at == seconds


def test_huge_id() -> None:
    """An id of any length is kept; an empty one, or one that is no text, is none."""
    assert outcome_of(id="resp_" + "x" * 100_000).response_id == "resp_" + "x" * 100_000
    assert outcome_of(id="").response_id is None
    assert outcome_of(id=5).response_id is None


FAULTS = [
    ({"error": {"code": "c", "message": "m"}}, ApiError("c", "m")),
    ({"error": {"type": "t", "message": "m"}}, ApiError("t", "m")),
    ({"error": {"code": 429, "message": "m"}}, ApiError("429", "m")),
    ({"error": {"code": None, "type": "t"}}, ApiError("t", None)),
    ({"error": "it broke"}, ApiError(None, "it broke")),
    ({"error": [1]}, ApiError(None, "[1]")),
    ({"error": None}, None),
    ({"incomplete_details": {"reason": "max_output_tokens"}}, ApiError("max_output_tokens")),
    ({"incomplete_details": "x"}, None),
    ({"error": {"code": "c"}, "incomplete_details": {"reason": "r"}}, ApiError("c")),
]


@pytest.mark.parametrize(("fields", "api_error"), FAULTS)
def test_faults(fields: dict[str, Any], api_error: ApiError | None) -> None:
    """An error is read in whatever shape it comes."""
    assert outcome_of(**fields).error == api_error


def test_output_text() -> None:
    """The texts of all messages are joined; what is no text of a message is not."""
    parts = [{"type": "output_text", "text": t} for t in ("a", "b")]
    output = [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "no"}]},
        {"type": "message", "content": [parts[0], {"type": "refusal", "refusal": "no"}, parts[1]]},
        {"type": "message", "content": "no"},
        {"type": "message"},
        {"type": "message", "content": [None, 5]},
        "no",
        {"type": "message", "content": [{"type": "output_text", "text": "c"}]},
    ]
    outcome = outcome_of(output=output)
    assert outcome.output_text == "abc"
    assert len(outcome.items) == len(output)
    assert outcome_of(output=[]).output_text is None
    assert outcome_of(output="x").items == ()


KINDS = [
    ({"object": "response"}, True),
    ({"object": "response.compaction"}, True),
    ({"object": "chat.completion", "id": "x", "output": []}, False),
    ({"id": "x", "output": []}, True),
    ({"id": "x"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("fields", "is_one"), KINDS)
def test_kind(fields: dict[str, Any], is_one: bool) -> None:
    """A response is one by what it says of itself, or by what it holds."""
    assert is_response(json.dumps(fields).encode()) is is_one


@pytest.mark.parametrize("text", [b"", b"[]", b'"x"', b"{", b"null"])
def test_no_object(text: bytes) -> None:
    """What is no object is refused."""
    with pytest.raises(UnreadableError):
        read_response(text)


NAMES = ["type", "id", "object", "created_at", "model", "status", "output", "usage", "error"]
NAMES += ["incomplete_details", "conversation", "input_tokens", "input_tokens_details", "content"]


@settings(max_examples=examples(80), deadline=None)
@given(objects(NAMES, ["message", "output_text"]))
def test_any_object(text: bytes) -> None:
    """Whatever its members hold, an object is read, and kept as it is."""
    outcome = read_response(text)
    assert outcome.response == text
    is_response(text)
