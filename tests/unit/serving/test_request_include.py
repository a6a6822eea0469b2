"""`include` values that are met, and those that only the API can meet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.serving.request import INCLUDE_UNSUPPORTED, ServedResponse
from tests.fakes import bodies
from tests.harness.each import each
from tests.unit.serving.responses import AT, found, get, message, response


def saying(**part: Any) -> dict[str, Any]:
    """A message with one text."""
    said = bodies.message("hi", item_id="msg_1")
    said["content"][0] |= part
    return said


REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
SEARCH = {"type": "web_search_call", "id": "ws_1"}
FILES = {"type": "file_search_call", "id": "fs_1"}
CODE = {"type": "code_interpreter_call", "id": "ci_1"}
SCREEN = {"type": "computer_call_output", "id": "co_1"}

MET = [
    ("reasoning.encrypted_content", REASONING | {"encrypted_content": "gAAA"}),
    ("message.output_text.logprobs", saying(logprobs=[{"token": "hi"}])),
    ("message.output_text.logprobs", saying(text="", logprobs=[])),
    ("web_search_call.action.sources", SEARCH | {"action": {"type": "search", "sources": []}}),
    ("web_search_call.action.sources", SEARCH | {"action": {"type": "open_page"}}),
    ("web_search_call.results", SEARCH | {"results": []}),
    ("file_search_call.results", FILES | {"results": []}),
    ("code_interpreter_call.outputs", CODE | {"outputs": []}),
    ("computer_call_output.output.image_url", SCREEN | {"output": {"image_url": "data:"}}),
    ("message.input_image.image_url", saying()),
]
UNMET = [
    ("reasoning.encrypted_content", REASONING),
    ("reasoning.encrypted_content", REASONING | {"encrypted_content": None}),
    ("message.output_text.logprobs", saying(logprobs=[])),
    ("message.output_text.logprobs", saying(logprobs=None)),
    ("web_search_call.action.sources", SEARCH | {"action": {"type": "search"}}),
    ("web_search_call.results", SEARCH),
    ("file_search_call.results", FILES | {"results": None}),
    ("code_interpreter_call.outputs", CODE | {"outputs": None}),
    ("computer_call_output.output.image_url", SCREEN | {"output": {}}),
    ("message.input_image.image_url", saying(type="input_image", file_id="file_1")),
]


@pytest.mark.parametrize(("name", "item"), MET)
def test_what_is_there_is_included(name: str, item: dict[str, Any]) -> None:
    """A value is accepted where the items that it is about hold it."""
    assert get(f"{AT}?include[]={name}", found(response(item))).status == 200


@pytest.mark.parametrize(("name", "item"), UNMET)
def test_what_is_not_there_is_refused(name: str, item: dict[str, Any]) -> None:
    """A value is refused where an item lacks it, whatever else is there."""
    answer = get(f"{AT}?include[]={name}", found(response(MET[0][1], item)))
    assert (answer.status, message(answer)) == (400, INCLUDE_UNSUPPORTED)


@pytest.mark.parametrize("output", [None, {}, "text", [], ["text", None, {}, {"type": 7}]])
@each("name", sorted({name for name, _ in MET}))
def test_nothing_to_include(name: str, output: Any) -> None:
    """Where there is no item that a value is about, it is met."""
    answer = get(f"{AT}?include={name}", found(response() | {"output": output}))
    assert answer.status == 200


def test_input_items_are_looked_at_too() -> None:
    """An image that was given by its file is known to the API alone."""
    path = f"{AT}/input_items?include=message.input_image.image_url"
    image = saying(type="input_image", file_id="file_1")
    assert get(path, ServedResponse(input=json.dumps([image]))).status == 400
    assert get(path, ServedResponse(input=json.dumps([saying()]))).status == 200
