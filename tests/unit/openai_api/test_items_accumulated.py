"""What streamed, where the answer's last object lacks it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.openai_api.items import complete_output, read_accumulated, slice_accumulated

CALL = {"type": "function_call", "name": "find", "arguments": "{}", "call_id": "c"}


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": text}]}


def completed(output: Any, items: list[Any]) -> Any:
    """The output of a response after it was completed."""
    body = {"id": "r", "n": 1.50} if output is None else {"id": "r", "output": output, "n": 1.50}
    slices = read_accumulated(f",{json.dumps(items)[1:]}")
    return json.loads(complete_output(json.dumps(body).encode(), slices)).get("output")


@pytest.mark.parametrize("empty", [[], None, "", {}, 7])
def test_an_empty_output(empty: Any) -> None:
    """Where there is no output at all, it is what streamed."""
    assert completed(empty, [message("Hi"), CALL]) == [message("Hi"), CALL]


@pytest.mark.parametrize(
    "poorer", [[message("Hi")], [CALL], [message(""), CALL], [{"type": "message"}, CALL]]
)
def test_a_poorer_output(poorer: list[Any]) -> None:
    """Fewer items, or less text in as many, give way to what streamed."""
    assert completed(poorer, [message("Hi"), CALL]) == [message("Hi"), CALL]


@pytest.mark.parametrize(
    "output", [[message("Hi"), CALL], [message("Hi there"), CALL], [message("Hi"), CALL, CALL]]
)
def test_a_whole_output_stays(output: list[Any]) -> None:
    """Where the object holds as much, it is the truth, to the letter."""
    body = json.dumps({"output": output}, indent=2).encode()
    slices = read_accumulated(f",{json.dumps([message('Hi'), CALL])[1:]}")
    assert complete_output(body, slices) == body


@pytest.mark.parametrize(
    ("input_", "messages", "items"),
    [
        ("[]", '[{"a":1}]', 1),
        ("[]", "[]", 0),
        ('[{"a":1}]', '[{"a":1},{"b":2}]', 1),
        ('[{"a":1}]', '[{"a":1}]', 0),
        ('[ {"a":1}\n]', '[{"a":1},{"b":2},{"c":3}]', 2),
        ('"a string"', '[{"b":2}]', 0),
        ('[{"a":1}]', '[{"x":1},{"b":2}]', 0),
        ("", "[1]", 0),
        ("[]", "[not json", 0),
        ("[]", "", 0),
    ],
)
def test_what_stands_behind_the_input(input_: str, messages: str, items: int) -> None:
    """The items behind those of the input are the output's; other texts have none."""
    assert len(read_accumulated(slice_accumulated(input_, messages))) == items
