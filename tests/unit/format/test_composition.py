"""What a request is made of."""

from __future__ import annotations

from typing import Any

import pytest

from response_store.format.composition import Composition, measure, weigh_request


def test_each_part_has_its_weight() -> None:
    """Instructions, tools, messages, thoughts, calls and results are weighed by themselves."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "c", "output": "x" * 100}
    thinking = {"type": "reasoning", "summary": [], "encrypted_content": "g" * 50}
    system, user = {"role": "developer", "content": "B"}, {"role": "user", "content": "Hé"}
    request = {
        "model": "m",
        "instructions": "Be brief.",
        "tools": [{"type": "web_search"}],
        "input": [system, user, thinking, call, result],
    }
    assert weigh_request(request) == Composition(
        system=len('"Be brief."') + measure(system),
        tools=len('[{"type":"web_search"}]'),
        messages=len('{"role":"user","content":"Hé"}'.encode()),
        reasoning=measure(thinking),
        calls=measure(call),
        results=measure(result),
        settings=len('model"m"'),
    )


def test_chats_have_the_same_parts() -> None:
    """A message with calls is a call, one of a tool a result."""
    calls = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}
    result = {"role": "tool", "tool_call_id": "a", "content": "42"}
    weights = weigh_request({"messages": [calls, result, {"role": "system", "content": "S"}]})
    assert (weights.calls, weights.results) == (measure(calls), measure(result))
    assert weights.system == measure({"role": "system", "content": "S"})
    assert weights.total == sum(weights)


@pytest.mark.parametrize(
    ("request_", "messages"),
    [({}, 0), ({"input": "Hi"}, 4), ({"prompt": ["a", "bc"]}, 3), ({"input": [None, 7]}, 0)],
)
def test_odd_requests(request_: dict[str, Any], messages: int) -> None:
    """Texts count as messages, and what is no item weighs nothing."""
    assert weigh_request(request_).messages == messages


def test_what_can_not_be_written_as_utf8() -> None:
    """Lone surrogates and depth are weighed somehow."""
    assert measure("\ud83d") == 8
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert measure(deep) == 0
    while deep:  # its end would go as deep
        deep = deep[0]
