"""Output items of a Responses stream, whatever its events call them, and what its end lacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.model.records import State
from response_store.openai_api.outcome import ParsedResponse
from response_store.openai_api.responses_stream import accumulate
from response_store.openai_api.sse import Event
from tests.harness.each import each
from tests.hypothesis_profiles import examples

Json = dict[str, Any]
CREATED = {"type": "response.created", "response": {"id": "r", "model": "m", "output": []}}


def outcome_of(*events: Json) -> ParsedResponse:
    """What events come to."""
    return accumulate(Event(b"", json.dumps(event).encode()) for event in [CREATED, *events])


def items_of(*events: Json) -> list[Json]:
    """The items of a stream that was cut behind these events."""
    output: list[Json] = json.loads(outcome_of(*events).partial or b"")["output"]
    return output


def ended(output: list[Json] | None, kind: str = "response.completed", **members: Any) -> Json:
    """A terminal event."""
    response = {"id": "r", "object": "response", "model": "m", "output": output} | members
    return {"type": kind, "response": response}


def message(text: str, item_id: str = "msg_1", **members: Any) -> Json:
    """A message that is done."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": item_id, "role": "assistant", "content": content} | members


def call(item_id: str = "fc_1", call_id: str = "call_1", arguments: str = '{"q":1}') -> Json:
    """A function call that is done."""
    names = {"id": item_id, "call_id": call_id, "name": "find"}
    return {"type": "function_call", **names, "arguments": arguments}


def added(item: Json, **where: Any) -> Json:
    """The event with which an item begins, with nothing in it."""
    empty = {k: ([] if k == "content" else "" if k == "arguments" else v) for k, v in item.items()}
    return {"type": "response.output_item.added", "item": empty} | where


def done(item: Json, **where: Any) -> Json:
    return {"type": "response.output_item.done", "item": item} | where


def delta(text: str, **where: Any) -> Json:
    return {"type": "response.output_text.delta", "delta": text} | where


M, C = message("Hi."), call()
STREAMS: dict[str, tuple[list[Json], list[tuple[str, str]]]] = {
    "no index (llama.cpp)": (
        [added(M), delta("Hi", item_id="msg_1"), added(C), delta(".", item_id="msg_1")],
        [("message", "Hi."), ("function_call", "")],
    ),
    "neither index nor id": ([added(M), delta("Hi"), delta(".")], [("message", "Hi.")]),
    "pieces alone": ([delta("Hi"), delta(".")], [("message", "Hi.")]),
    "two items of one index": (
        [
            added(M, output_index=0), delta("Hi.", output_index=0), done(M, output_index=0),
            added(C, output_index=0), done(C, output_index=0),
        ],
        [("message", "Hi."), ("function_call", '{"q":1}')],
    ),
    "two items of one index, neither of them begun": (
        [done(M, output_index=0), done(C, output_index=0)],
        [("message", "Hi."), ("function_call", '{"q":1}')],
    ),
    "done items alone": (
        [done(M), done(C), done(message("Bye.", "msg_2"))],
        [("message", "Hi."), ("function_call", '{"q":1}'), ("message", "Bye.")],
    ),
    "an id that changes with every event (Copilot)": (
        [
            added(M, output_index=0), delta("Hi", item_id="x", output_index=0),
            delta(".", item_id="y", output_index=0), done(message("Hi.", "z"), output_index=0),
            added(call("p"), output_index=1), done(call("q"), output_index=1),
        ],
        [("message", "Hi."), ("function_call", '{"q":1}')],
    ),
    "one id for all": (
        [
            added(M, output_index=0), delta("Hi.", item_id="msg_1", output_index=0),
            added(message("", "msg_1"), output_index=1),
            delta("Bye.", item_id="msg_1", output_index=1),
        ],
        [("message", "Hi."), ("message", "Bye.")],
    ),
    "done twice": ([done(M, output_index=0), done(M, output_index=0)], [("message", "Hi.")]),
    "an item that is done without its text": (
        [added(M, output_index=0), delta("Hi.", output_index=0),
         done(M | {"content": []}, output_index=0)],
        [("message", "Hi.")],
    ),
}  # fmt: skip


def said(item: Json) -> str:
    """What an item says."""
    return item.get("arguments") or "".join(p.get("text", "") for p in item.get("content", ()))


@pytest.mark.parametrize("name", STREAMS)
def test_items(name: str) -> None:
    """Each event finds its item, and nothing that came is missing."""
    events, expected = STREAMS[name]
    assert [(item["type"], said(item)) for item in items_of(*events)] == expected


PIECES: dict[str, tuple[list[Json], Json]] = {
    "text, done": ([{"type": "response.output_text.done", "text": "Hi"}], {"text": "Hi"}),
    "text, both": (
        [delta("H"), {"type": "response.output_text.done", "text": "Hi"}],
        {"text": "Hi"},
    ),
    "text, done with nothing": (
        [delta("Hi"), {"type": "response.output_text.done", "text": ""}],
        {"text": "Hi"},
    ),
    "a part's pieces (OpenRouter)": (
        [{"type": "response.content_part.delta", "delta": p} for p in "Hi"],
        {"text": "Hi"},
    ),
    "a part's pieces within an object": (
        [{"type": "response.content_part.delta", "delta": {"type": "t", "text": p}} for p in "Hi"],
        {"text": "Hi"},
    ),
    "a part, done": (
        [{"type": "response.content_part.done", "part": {"type": "output_text", "text": "Hi"}}],
        {"text": "Hi"},
    ),
    "a refusal, done": (
        [{"type": "response.refusal.done", "refusal": "No"}],
        {"type": "refusal", "refusal": "No"},
    ),
    "a transcript": (
        [{"type": "response.audio.transcript.delta", "delta": p} for p in "Hi"],
        {"type": "output_audio", "transcript": "Hi"},
    ),
}


@pytest.mark.parametrize("name", PIECES)
def test_content(name: str) -> None:
    """Texts count as pieces and as what they are when they are done."""
    events, expected = PIECES[name]
    (item,) = items_of(*events)
    (part,) = item["content"]
    assert part | expected == part


MEMBERS: dict[str, tuple[str, str, list[str], Json]] = {
    "function": ("function_call_arguments", "arguments", ["{}"], {"arguments": "{}"}),
    "MCP": ("mcp_call_arguments", "arguments", ["{", "}"], {"arguments": "{}"}),
    "custom": ("custom_tool_call_input", "input", ["a", "b"], {"input": "ab"}),
    "code": ("code_interpreter_call_code", "code", ["a", "b"], {"code": "ab"}),
    "patch": (
        "apply_patch_call_operation_diff",
        "diff",
        ["+a", "-b"],
        {"operation": {"path": "f", "diff": "+a-b"}},
    ),
    "shell": ("shell_call_command", "command", ["l", "s"], {"action": {"commands": ["ls"]}}),
}


@pytest.mark.parametrize("ends", ["delta", "done"])
@pytest.mark.parametrize("name", MEMBERS)
def test_members(name: str, ends: str) -> None:
    """What a tool is called with grows, or comes when it is done, within its object."""
    kind, member, texts, expected = MEMBERS[name]
    start: Json = {"type": "any", "id": "i", "status": "in_progress"}
    start |= {"operation": {"path": "f"}} if name == "patch" else {}
    events = [{"type": f"response.{kind}.delta", "item_id": "i", "delta": text} for text in texts]
    if ends == "done":
        events = [{"type": f"response.{kind}.done", "item_id": "i", member: "".join(texts)}]
    assert items_of(added(start), *events) == [start | expected]


def test_commands() -> None:
    """A shell call has several commands."""
    event = {"type": "response.shell_call_command.delta", "output_index": 0}
    events = [event | {"command_index": at, "delta": text} for at, text in enumerate(["ls", "pwd"])]
    assert items_of(*events) == [{"type": "shell_call", "action": {"commands": ["ls", "pwd"]}}]


def test_summaries() -> None:
    """Parts of a summary count as pieces, or when they are done."""
    kind = "response.reasoning_summary_text"
    events = [{"type": f"{kind}.delta", "summary_index": 0, "delta": text} for text in "ab"]
    events.append({"type": f"{kind}.done", "summary_index": 1, "text": "cd"})
    (item,) = items_of(*events)
    assert [part["text"] for part in item["summary"]] == ["ab", "cd"]


R = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
ENDS: dict[str, tuple[list[Json], list[Json] | None, list[Json], bool]] = {
    "all of it": ([R, M, C], [R, M, C], [R, M, C], False),
    "nothing": ([R, M, C], [], [R, M, C], False),
    "null": ([R, M], None, [R, M], False),
    "the first alone": ([R, M], [R], [R, M], False),
    "the last alone": ([R, M], [M], [R, M], False),
    "the middle alone": ([R, M, C], [M], [R, M, C], False),
    "other ids, all of it": ([M, C], [message("Hi.", "z"), call("y")], [], False),
    "other ids, one missing": (
        [M, message("Bye.", "msg_2")],
        [message("Bye.", "z")],
        [M, message("Bye.", "z")],
        False,
    ),
    "a call by its call_id": ([call("a"), call("b", "call_2")], [call("z", "call_2")], [], False),
    "calls that are alike": ([call("a", "c1"), call("b", "c2")], [call("a", "c1")], [], False),
    "poorer": ([M], [M | {"content": []}], [M], False),
    "without its arguments": ([C], [C | {"arguments": ""}], [C], False),
    "richer": ([M], [message("Hi. And more.")], [message("Hi. And more.")], True),
    "other words": ([M], [message("Bye.", "z")], [message("Bye.", "z")], True),
    "annotated": (
        [M],
        [message("Hi.", status="completed")],
        [message("Hi.", status="completed")],
        False,
    ),
    "an item that did not stream": ([M], [R, M], [R, M], False),
}


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.done"])
@each("name", ENDS)
def test_ends(name: str, kind: str) -> None:
    """Items that were done and that the end lacks are kept, or it is known that they are lost."""
    items, output, expected, is_lost = ENDS[name]
    events = [done(item, output_index=at) for at, item in enumerate(items)]
    outcome = outcome_of(*events, ended(output, kind))
    found = [json.loads(item) for item in outcome.items]
    if expected:
        assert found == expected
    else:  # as many as there were, each said once
        assert sorted(map(said, found)) == sorted(map(said, items))
    assert (outcome.lost is not None, outcome.terminal) == (is_lost, True)


def test_columns_that_the_end_lacks() -> None:
    """Model, id and time come from what was created where the last object is without them."""
    created = {"type": "response.created", "response": {"id": "r", "model": "m", "created_at": 5}}
    last = {"type": "response.done", "response": {"object": "response", "status": "completed"}}
    outcome = outcome_of(created, delta("Hi"), last)
    assert (outcome.response_id, outcome.model, outcome.created_at) == ("r", "m", 5)
    assert (outcome.state, outcome.output_text) == (State.COMPLETED, "Hi")


def test_deltas_of_no_known_type() -> None:
    """Where no last object has them, it is known that they are lost."""
    odd = {"type": "response.of_tomorrow.delta", "delta": "x"}
    assert outcome_of(odd).lost is not None
    assert outcome_of(odd, ended([M])).lost is None
    assert outcome_of(odd, ended([])).lost is not None


# Properties


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Json], list[Json]]:
    """The events of some items, interleaved, and the items."""
    words = st.text("ab c", min_size=1, max_size=8)
    items = []
    for at in range(draw(st.integers(1, 4))):
        text = draw(words)
        is_call = draw(st.booleans())
        items.append(
            call(f"fc_{at}", f"call_{at}", text) if is_call else message(text, f"msg_{at}")
        )
    lanes = []
    by_index, is_done = draw(st.booleans()), draw(st.booleans())
    for at, item in enumerate(items):
        where = {"output_index": at} if by_index else {}
        kind = "function_call_arguments" if "arguments" in item else "output_text"
        cut = draw(st.integers(0, len(said(item))))
        pieces = [said(item)[:cut], said(item)[cut:]]
        named = where | {"item_id": item["id"], "type": f"response.{kind}.delta"}
        lane = [added(item, **where), *({"delta": piece} | named for piece in pieces)]
        lanes.append([*lane, *([done(item, **where)] if is_done else [])])
    events = [lane.pop(0) for lane in lanes]  # they begin in order
    while any(lanes):
        events.append(draw(st.sampled_from([lane for lane in lanes if lane])).pop(0))
    return events, items


@settings(max_examples=examples(150), deadline=None)
@given(stream=streams(), data=st.data())
def test_any_split_and_order(stream: tuple[list[Json], list[Json]], data: st.DataObject) -> None:
    """However items are split and interleaved, and whichever the end lacks, none is missing."""
    events, items = stream
    expected = [(item["type"], said(item)) for item in items]
    assert [(one["type"], said(one)) for one in items_of(*events)] == expected
    kept = data.draw(st.lists(st.sampled_from(items), unique_by=lambda item: item["id"]))
    output = [item for item in items if item in kept]
    outcome = outcome_of(*events, ended(output))
    found = [json.loads(item) for item in outcome.items]
    assert [(one["type"], said(one)) for one in found] == expected
    assert outcome.lost is None
