"""Streams that are made of a stored response."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from response_store.openai_api.responses_stream import accumulate
from response_store.openai_api.sse import TERMINAL, parse_stream
from response_store.serving.request import ServedResponse
from tests.fakes import bodies
from tests.harness.each import each
from tests.hypothesis_profiles import examples
from tests.unit.serving.outputs import OUTPUTS
from tests.unit.serving.responses import AT, found, get, response

STREAM = f"{AT}?stream=true"


def stream(stored: ServedResponse, query: str = "") -> list[dict[str, Any]]:
    """The events of a stream, as a client reads them."""
    answer = get(STREAM + query, stored)
    assert answer.status == 200
    assert dict(answer.headers)["content-type"] == "text/event-stream; charset=utf-8"
    events = list(parse_stream(answer.body))
    data = [json.loads(event.data) for event in events]
    assert [event.name.decode() for event in events] == [told["type"] for told in data]
    return data


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_text_comes_as_the_api_sends_it() -> None:
    """Created, in progress, the item, its part, its text in pieces, and the end of each."""
    made = kinds(stream(found(response(bodies.message("x" * 100, item_id="msg_1")))))
    assert made == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


def test_the_numbers_have_no_gap() -> None:
    """Events are numbered from 0."""
    made = stream(found(response(*OUTPUTS.values())))
    assert [event["sequence_number"] for event in made] == list(range(len(made)))


def test_the_end_carries_the_response_to_the_letter() -> None:
    """The terminal event holds the stored text, numbers and escapes as they came."""
    text = '{"id": "resp_x",\r\n "output": [],\n "n": 1.50e400, "x": "\\ud83d\\u00e9"}'
    body = get(STREAM, ServedResponse(response_object=text)).body
    assert text.replace("\r\n", "").replace("\n", "").encode() in body.split(b"\n\n")[-2]


@pytest.mark.parametrize("indent", [None, 2], ids=["compact", "indented"])
@each("name", OUTPUTS)
def test_every_item_can_be_put_together_of_its_events(name: str, indent: int | None) -> None:
    """Who reads only the increments, or only what is done, gets the stored item."""
    item = OUTPUTS[name]
    made = stream(found(response(item), indent=indent))
    done = [event["item"] for event in made if event["type"] == "response.output_item.done"]
    assert done == [item]
    assert assembled(made) == [item]


@each("name", OUTPUTS)
def test_an_item_begins_with_its_own_members(name: str) -> None:
    """An item that is announced has the members of the whole one, and no others."""
    item = OUTPUTS[name]
    made = stream(found(response(item)))
    (begun,) = (e["item"] for e in made if e["type"] == "response.output_item.added")
    assert set(begun) == set(item)
    assert begun.get("status", "in_progress") == "in_progress"


def test_the_end_of_a_call_names_its_function() -> None:
    """Older versions of the SDK declare the name there."""
    made = stream(found(response(OUTPUTS["function call"])))
    (done,) = (e for e in made if e["type"] == "response.function_call_arguments.done")
    assert done["name"] == "get_weather"


def assembled(events: list[dict[str, Any]]) -> list[Any]:
    """The texts of an item's increments, put into the item as it began, against its end."""
    items: dict[int, Any] = {}
    for event in events:
        if event["type"] == "response.output_item.added":
            items[event["output_index"]] = event["item"]
        elif "item_id" in event:
            fill(items[event["output_index"]], event)
    ends = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    # What has no increments of its own is known at the end: status, results.
    told = ("content", "summary", "arguments", "input", "code")
    return [
        end | {name: items[at][name] for name in told if name in end} for at, end in enumerate(ends)
    ]


def fill(item: dict[str, Any], event: dict[str, Any]) -> None:
    """Put one increment into an item."""
    *_, what, step = event["type"].split(".")
    if what.endswith("part") and step == "added":
        where = "summary" if "summary_index" in event else "content"
        item[where].append(event["part"])
    elif step == "delta" and what.endswith(("text", "refusal")):
        part = (
            item["summary"][event["summary_index"]]
            if "summary_index" in event
            else (item["content"][event["content_index"]])
        )
        part["refusal" if what == "refusal" else "text"] += event["delta"]
    elif step == "delta":
        item[what.rpartition("_")[2]] += event["delta"]
    elif step == "added":
        item["content"][event["content_index"]]["annotations"].append(event["annotation"])
    elif what == "output_text" and event["logprobs"]:
        item["content"][event["content_index"]]["logprobs"] = event["logprobs"]
    elif step == "done" and what.endswith("part") and "logprobs" not in event["part"]:
        parts = item["content"] if "content_index" in event else []
        for part in parts[-1:]:
            part.pop("logprobs", None)


STEPS = {
    "web search": ["in_progress", "searching", "completed"],
    "file search": ["in_progress", "searching", "completed"],
    "image": ["in_progress", "generating", "completed"],
    "mcp call": ["in_progress", "completed"],
    "failed mcp call": ["in_progress", "failed"],
    "mcp tools": ["in_progress", "completed"],
    "code interpreter": ["in_progress", "interpreting", "completed"],
}


@pytest.mark.parametrize("name", STEPS)
def test_tools_go_step_by_step(name: str) -> None:
    """The API's own tools are told step by step, the last one being how they ended."""
    kind = OUTPUTS[name]["type"]
    made = kinds(stream(found(response(OUTPUTS[name]))))
    assert [k.split(".")[1] for k in made if k.startswith(f"{kind}.")] == STEPS[name]


def test_an_error_is_a_failure() -> None:
    """A call with an error has failed, whatever its status."""
    item = OUTPUTS["mcp call"] | {"error": "no dice"}
    assert "mcp_call.failed" in kinds(stream(found(response(item))))


def test_a_tool_that_did_not_end_is_not_said_to() -> None:
    """An item that stayed incomplete comes without an end of its run."""
    item = OUTPUTS["web search"] | {"status": "incomplete"}
    made = kinds(stream(found(response(item, status="incomplete"))))
    assert "web_search_call.completed" not in made
    assert made[-1] == "incomplete"


ENDS = [
    ({"status": "completed"}, "response.completed"),
    ({"status": "incomplete", "incomplete_details": {"reason": "x"}}, "response.incomplete"),
    ({"status": "failed", "error": {"code": "x", "message": "y"}}, "response.failed"),
    ({"status": "cancelled"}, "response.incomplete"),
    ({"status": None}, "response.completed"),
    ({"status": None, "error": {"code": "x", "message": "y"}}, "response.failed"),
]


@pytest.mark.parametrize(("members", "kind"), ENDS)
def test_the_end_is_what_the_status_says(members: dict[str, Any], kind: str) -> None:
    """Each status has its terminal event; one that is missing counts as success or failure."""
    whole = response() | members
    created, in_progress, *_, last = stream(found(whole))
    assert (last["type"], last["response"]) == (kind, whole)
    assert kind in TERMINAL
    assert created["response"] == in_progress["response"]
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    assert created["response"] == begun | {"error": None, "incomplete_details": None}


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_runs_has_no_end(status: str) -> None:
    """What still runs is told as far as it is known."""
    whole = response(bodies.message("so far", item_id="msg_1"), status=status)
    first, last = stream(found(whole))
    assert (first["type"], last["type"]) == ("response.created", f"response.{status}")
    assert first["response"] == last["response"] == whole


def test_going_on_after_an_event() -> None:
    """After any event comes the rest; after the last one nothing does."""
    stored = found(response(*OUTPUTS.values()))
    made = stream(stored)
    for at in (0, 7, len(made) - 2):
        assert stream(stored, f"&starting_after={at}") == made[at + 1 :]
    assert stream(stored, f"&starting_after={len(made) - 1}") == []


@pytest.mark.parametrize("after", [1000, 2**53 - 1])
def test_numbers_of_another_stream(after: int) -> None:
    """Who counts by a stream that was longer gets the end, which they wait for."""
    stored = found(response())
    (only,) = stream(stored, f"&starting_after={after}")
    assert only == stream(stored)[-1] | {"sequence_number": after + 1}


def test_nothing_is_padded() -> None:
    """There is no obfuscation that one would have to switch off."""
    stored = found(response(*OUTPUTS.values()))
    padded, plain = (
        get(f"{STREAM}&include_obfuscation={value}", stored).body for value in ("true", "false")
    )
    assert padded == plain
    assert b"obfuscation" not in plain


ODD = [
    {},
    {"type": 7, "id": 7},
    {"type": "message"},
    {"type": "message", "content": "text"},
    {"type": "message", "content": ["text", None, {"type": "new"}]},
    {"type": "function_call", "arguments": {"a": 1}},
    {"type": "reasoning", "summary": {}},
    "text",
    None,
    [],
]


@pytest.mark.parametrize("item", ODD)
def test_odd_items_come_whole(item: Any) -> None:
    """What doesn't look like the API's comes as it is, at least once."""
    made = stream(found(response() | {"output": [item]}))
    assert [e["item"] for e in made if e["type"] == "response.output_item.done"] == [item]
    assert made[-1]["response"]["output"] == [item]


def pieces(text: str) -> Iterator[str]:
    stored = found(response(bodies.message(text, item_id="msg_1")), ensure_ascii=True)
    for event in stream(stored):
        if event["type"] == "response.output_text.delta":
            yield event["delta"]


@settings(max_examples=examples(200))
@given(st.text(max_size=300), st.booleans())
@example("🌍" * 100, True)
@example("\\" * 129 + '"' * 70, True)
@example("\ud83d" * 70, True)
def test_texts_are_cut_between_characters(text: str, ascii_only: bool) -> None:
    """The pieces are the text, each at most 64 characters and none with half a character."""
    whole = response(bodies.message(text, item_id="msg_1"))
    stored = found(whole, ensure_ascii=ascii_only or "\ud83d" in text)
    cut = [e["delta"] for e in stream(stored) if e["type"] == "response.output_text.delta"]
    assert "".join(cut) == text
    assert all(0 < len(piece) <= 64 for piece in cut)


def test_capture_reads_what_is_made() -> None:
    """Captured again, the stream is the response that it was made of."""
    whole = response(*OUTPUTS.values())
    outcome = accumulate(parse_stream(get(STREAM, found(whole)).body))
    assert outcome.terminal
    assert json.loads(outcome.response or b"") == whole
    assert Counter(map(bytes, outcome.items)) == Counter(
        json.dumps(item).encode() for item in OUTPUTS.values()
    )
