"""The input of a stored request: the same as it was read when it came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.ingest.request_reader import read_request, read_steering
from response_store.openai_api.request_input import join_messages, read_stored_input
from tests.unit.ingest.drafts import request

MESSAGE = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    "body",
    [
        {"input": [MESSAGE]},
        {"input": "a \ud83d question"},
        {"input": None},
        {"input": 7},
        {},
        {"response": {"input": [MESSAGE]}},
        {"response": {"input": [MESSAGE]}, "input": "outside"},
        {"tools": [{"type": "mcp", "authorization": "secret"}], "input": "masked"},
        b'\xef\xbb\xbf{"input": [ 1 , {"a" :2}]}',
        b'{"input": "\xff"}',
        b'{"input": [1, 2',
        b"no JSON",
        b'{"input": [' + b"0," * 500_000 + b"0]}",
    ],
)
def test_as_when_it_came(body: Any) -> None:
    """Whatever its body looks like, what is made of it later is what was read at first."""
    read = read_request(request(body))
    assert read_stored_input(read.body or b"") == read.input


@pytest.mark.parametrize("count", [1, 2, 3])
def test_steering(count: int) -> None:
    """Steering messages, each on a line of its own, have their items one after the other."""
    messages = [
        json.dumps(
            {"type": "response.steer", "input": [MESSAGE | {"number": number}]}, indent=2
        ).encode()
        for number in range(count)
    ]
    read = read_steering([*messages, b'{"input": 1}'][: count + (count > 1)], None, stored=False)
    assert read_stored_input(read.body or b"") == read.input
    assert [item["number"] for item in json.loads(read.input)] == [*range(count)]


def test_messages_are_input_and_output() -> None:
    """Either may be empty."""
    assert join_messages(b"[1, 2]", (b"3", b"4")) == b"[1, 2,3,4]"
    assert join_messages(b"[]", (b"3",)) == b"[3]"
    assert join_messages(b"[ 1 ]", ()) == b"[1]"
    assert join_messages(b"[]", ()) == b"[]"
