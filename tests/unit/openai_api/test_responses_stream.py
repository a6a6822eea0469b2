"""Events of the Responses API come to what the terminal event would say, as far as they came."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.model.records import State
from response_store.openai_api.outcome import ApiError, ParsedResponse, Usage
from response_store.openai_api.responses_stream import accumulate, read_terminal
from response_store.openai_api.sse import Event, is_terminal
from tests.fakes import bodies
from tests.harness.each import each
from tests.hypothesis_profiles import examples
from tests.unit.openai_api.odd_json import objects

Json = dict[str, Any]


def event(fields: Json) -> Event:
    return Event(b"", json.dumps(fields).encode())


def outcome_of(events: list[Json]) -> ParsedResponse:
    return accumulate(map(event, events))


def partial_of(events: list[Json]) -> Json:
    outcome = outcome_of(events)
    assert outcome.response is None
    assert outcome.partial is not None
    partial: Json = json.loads(outcome.partial)
    return partial


def delta(kind: str, text: str, at: int = 0, part: int = 0) -> Json:
    return {
        "type": f"response.{kind}.delta",
        "output_index": at,
        "content_index": part,
        "summary_index": part,
        "delta": text,
        "obfuscation": "padding",
    }


def added(item: Json, at: int = 0) -> Json:
    return {"type": "response.output_item.added", "output_index": at, "item": item}


def done(item: Json, at: int = 0) -> Json:
    return {"type": "response.output_item.done", "output_index": at, "item": item}


def terminal(kind: str = "completed", **fields: Any) -> Json:
    response = {"id": "resp_1", "object": "response", "status": kind} | fields
    return {"type": f"response.{kind}", "response": response}


def test_terminal_is_the_truth() -> None:
    """Where a terminal event has output, the increments say nothing, and its text is kept."""
    events = bodies.stream_events({"model": "gpt-5"})
    written = json.dumps(events[-1]["response"], indent=1)
    last = Event(b"", b'{"type":"response.completed",\n"response": ' + written.encode() + b" }")
    outcome = accumulate([*map(event, [*events[:-1], delta("output_text", "not this")]), last])
    assert outcome.state is State.COMPLETED
    assert outcome.terminal
    assert outcome.response == written.encode()
    assert outcome.partial is None
    assert outcome.output_text == bodies.TEXT
    assert outcome.usage == Usage(31, 8, 17, 5, 48)
    assert read_terminal(last) == outcome


def test_cut_before_its_end() -> None:
    """A stream without its terminal event gives the object as far as it came."""
    events = bodies.stream_events({"model": "gpt-5"})
    for length in range(len(events)):
        outcome = outcome_of(events[:length])
        assert (outcome.state, outcome.terminal, outcome.response) == (None, False, None)
        came = [one["delta"] for one in events[:length] if "delta" in one]
        assert (outcome.output_text or "") == "".join(came)
        if length:
            partial = json.loads(outcome.partial or b"")
            assert partial | {"output": []} == events[0]["response"] | {"output": []}
            assert outcome.response_id == partial["id"]
            assert outcome.model == "gpt-5-2025-08-07"


MESSAGE = {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant"}
REASSEMBLED: dict[str, tuple[list[Json], list[Json]]] = {
    "a text": (
        [added(MESSAGE | {"content": []}), delta("output_text", "Hel"), delta("output_text", "lo")],
        [MESSAGE | {"content": [{"type": "output_text", "text": "Hello"}]}],
    ),
    "two parts": (
        [added(MESSAGE), delta("output_text", "b", part=1), delta("output_text", "a")],
        [MESSAGE | {"content": [{"type": "output_text", "text": t} for t in ("a", "b")]}],
    ),
    "a refusal": (
        [added(MESSAGE), delta("refusal", "I "), delta("refusal", "can't")],
        [MESSAGE | {"content": [{"type": "refusal", "refusal": "I can't"}]}],
    ),
    "arguments": (
        [
            added({"type": "function_call", "name": "f", "arguments": ""}),
            delta("function_call_arguments", '{"a":'),
            delta("function_call_arguments", '"\\"é"}'),
        ],
        [{"type": "function_call", "name": "f", "arguments": '{"a":"\\"é"}'}],
    ),
    "arguments of a server": (
        [added({"type": "mcp_call"}), delta("mcp_call_arguments", "{}")],
        [{"type": "mcp_call", "arguments": "{}"}],
    ),
    "input of a custom tool": (
        [added({"type": "custom_tool_call"}), delta("custom_tool_call_input", "ls")],
        [{"type": "custom_tool_call", "input": "ls"}],
    ),
    "code": (
        [added({"type": "code_interpreter_call"}), delta("code_interpreter_call_code", "1+1")],
        [{"type": "code_interpreter_call", "code": "1+1"}],
    ),
    "a reasoning summary": (
        [
            added({"type": "reasoning", "summary": []}),
            delta("reasoning_summary_text", "first"),
            delta("reasoning_summary_text", "sec", part=1),
            delta("reasoning_summary_text", "ond", part=1),
        ],
        [
            {
                "type": "reasoning",
                "summary": [
                    {"type": "summary_text", "text": "first"},
                    {"type": "summary_text", "text": "second"},
                ],
            }
        ],
    ),
    "reasoning as text": (
        [delta("reasoning_text", "why")],
        [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": "why"}]}],
    ),
    "several items, interleaved": (
        [
            added(MESSAGE, at=1),
            delta("output_text", "a", at=1),
            added({"type": "function_call", "name": "f"}, at=0),
            delta("output_text", "b", at=1),
            delta("function_call_arguments", "{}", at=0),
        ],
        [
            {"type": "function_call", "name": "f", "arguments": "{}"},
            MESSAGE | {"content": [{"type": "output_text", "text": "ab"}]},
        ],
    ),
    "an item that was done": (
        [added(MESSAGE), delta("output_text", "x"), done(MESSAGE | {"status": "completed"})],
        [MESSAGE | {"status": "completed", "content": [{"type": "output_text", "text": "x"}]}],
    ),
    "the tail of a resumed stream": (
        [delta("output_text", "lo")],
        [{"type": "message", "content": [{"type": "output_text", "text": "lo"}]}],
    ),
    "items that are none": (
        [added(None), done(None), done("x"), {"type": "response.output_item.done"}],  # type: ignore[arg-type]
        [{}],
    ),
    "steps without an item": (
        [{"type": "response.web_search_call.searching", "output_index": 3}],
        [],
    ),
    "deltas that are none": (
        [added(MESSAGE), delta("output_text", 5), delta("output_text", "a")],  # type: ignore[arg-type]
        [MESSAGE | {"content": [{"type": "output_text", "text": "a"}]}],
    ),
}


@each("name", REASSEMBLED)
def test_reassembly(name: str) -> None:
    """Increments come to the items that a terminal event would have."""
    events, items = REASSEMBLED[name]
    created = {"type": "response.created", "response": {"id": "resp_1", "output": []}}
    assert partial_of([created, *events])["output"] == items
    backend = outcome_of([created, *events, terminal(output=[])])
    assert [json.loads(item) for item in backend.items] == items
    assert json.loads(backend.response or b"")["output"] == []
    assert (backend.state, backend.terminal) == (State.COMPLETED, True)


@settings(max_examples=examples(60), deadline=None)
@given(st.text(st.characters(exclude_categories=[]), max_size=20), st.data())
def test_any_text(text: str, data: st.DataObject) -> None:
    """A text cut anywhere, also inside a surrogate pair, comes back whole."""
    units = text.encode("utf-16-le", "surrogatepass")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(units) // 2), max_size=5)))
    marks = [0, *cuts, len(units) // 2]
    pieces = [
        units[2 * a : 2 * b].decode("utf-16-le", "surrogatepass")
        for a, b in itertools.pairwise(marks)
    ]
    (item,) = partial_of([delta("output_text", piece) for piece in pieces])["output"]
    expected = json.loads(json.dumps(text))
    assert item["content"][0]["text"] == expected


def test_pair_in_two_deltas() -> None:
    """The halves of a character make one; a half alone is kept as it came."""
    pair = [delta("output_text", "\ud83d"), delta("output_text", "\ude00")]
    assert outcome_of(pair).output_text == "😀"
    alone = outcome_of([delta("output_text", "a\ud83d"), delta("output_text", "b")])
    assert rb"a\ud83db" in (alone.partial or b"")
    assert alone.output_text == "a\ufffdb"


@pytest.mark.parametrize("kind", ["completed", "incomplete", "failed"])
def test_empty_output(kind: str) -> None:
    """Whatever a response came to: the text that arrived stands in for output it leaves out."""
    events = [done(bodies.message("Hi", item_id="msg_1")), terminal(kind, output=[])]
    outcome = outcome_of(events)
    assert (outcome.state, outcome.output_text) == (State(kind), "Hi")
    assert read_terminal(event(events[-1])) is None


FLAT = {"type": "error", "code": "rate_limit_exceeded", "message": "Slow down."}
NESTED = {"type": "error", "error": {"type": "requests", **FLAT, "param": None}}
SAID = ApiError("rate_limit_exceeded", "Slow down.")


@pytest.mark.parametrize("error", [FLAT, NESTED, {"error": NESTED["error"]}])
def test_error(error: Json) -> None:
    """An error event, flat or nested, fails the response; what came before is kept."""
    outcome = outcome_of([error])
    assert (outcome.state, outcome.error, outcome.terminal) == (State.FAILED, SAID, False)
    outcome = outcome_of([delta("output_text", "Hi"), error])
    assert (outcome.state, outcome.error, outcome.output_text) == (State.FAILED, SAID, "Hi")


def test_error_then_failed() -> None:
    """The terminal event's own error counts more than the one before it."""
    failed = terminal("failed", error={"code": "server_error", "message": "Oh."})
    assert outcome_of([FLAT, failed]).error == ApiError("server_error", "Oh.")
    assert outcome_of([FLAT, terminal("failed")]).error == SAID
    assert outcome_of([FLAT, terminal("failed")]).terminal


TERMINALS = {
    "no status": (terminal(status=None), State.COMPLETED),
    "a status that was not brought up to date": (terminal(status="in_progress"), State.COMPLETED),
    "another status": (terminal(status="incomplete"), State.INCOMPLETE),
    "a status of its own": (terminal("failed", status="odd"), State.FAILED),
    "cancelled": (terminal("cancelled"), State.CANCELLED),
    "no object": ({"type": "response.completed"}, State.COMPLETED),
    "a text for an object": ({"type": "response.failed", "response": "x"}, State.FAILED),
}


@pytest.mark.parametrize("name", TERMINALS)
def test_state(name: str) -> None:
    """The object says how it ended; where it does not, the event's name does."""
    last, state = TERMINALS[name]
    outcome = outcome_of([delta("output_text", "Hi"), last])
    assert (outcome.state, outcome.terminal, outcome.output_text) == (state, True, "Hi")
    assert is_terminal(event(last))


def test_first_terminal_counts() -> None:
    """What follows a terminal event changes nothing."""
    last = terminal(output=[bodies.message("Hi", item_id="msg_1")])
    assert outcome_of([last, terminal("failed")]) == outcome_of([last])


def test_incomplete() -> None:
    """An incomplete response says why."""
    outcome = outcome_of(bodies.incomplete_events())
    assert (outcome.state, outcome.error) == (State.INCOMPLETE, ApiError("max_output_tokens"))


def test_what_is_no_event() -> None:
    """Pings, marks and unknown events change nothing; an event that is broken is named."""
    passed = [Event(b"", data) for data in (b": ping", b"[DONE]", b"", b"null", b'{"a')]
    passed += [event({"type": "response.of.tomorrow", "x": 1}), event({})]
    assert accumulate(passed) == ParsedResponse()
    broken = Event(b"", b'{"type":"response.output_text.delta",{]}')
    outcome = accumulate([broken, event(delta("output_text", "Hi"))])
    assert outcome.output_text == "Hi"
    assert (outcome.parse_error or "").startswith("event: not JSON")
    whole = event(terminal(output=[bodies.message("Hi", item_id="msg_1")]))
    assert accumulate([broken, whole]).parse_error is None


def test_nested_too_deep() -> None:
    """An item that is too deep to look into loses no other."""
    deep = b"[" * 400_000 + b"]" * 400_000
    odd = b'{"type":"response.output_item.done","output_index":0,"item":{"a":' + deep + b"}}"
    outcome = accumulate([Event(b"", odd), event(delta("output_text", "Hi", at=1))])
    assert outcome.output_text == "Hi"
    assert outcome.parse_error


NAMES = ["type", "response", "output_index", "content_index", "summary_index", "item", "delta"]
NAMES += ["error", "code", "message", "output", "status", "usage", "content", "id", "text"]
KINDS = [
    "response.created",
    "response.completed",
    "response.failed",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.refusal.delta",
    "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta",
    "error",
]


@settings(max_examples=examples(70), deadline=None)
@given(st.lists(objects(NAMES, KINDS), max_size=5))
def test_any_events(events: list[bytes]) -> None:
    """Whatever the members hold, folding raises nothing, and what comes out is JSON."""
    outcome = accumulate([Event(b"", data) for data in events])
    for text in (outcome.response, outcome.partial, *outcome.items):
        if text is not None:
            json.loads(text)
    if outcome.output_text is not None:
        outcome.output_text.encode()
    for data in events:
        is_terminal(Event(b"", data))
        read_terminal(Event(b"x", data))


def test_rate_limits() -> None:
    """What Codex's backend says of limits is kept as it came; the last counts."""
    limits = [{"type": "codex.rate_limits", "rate_limits": {"primary": n}} for n in (1, 2)]
    outcome = outcome_of([limits[0], *bodies.stream_events({"model": "gpt-5"}), limits[1]])
    assert json.loads(outcome.rate_limits or b"") == limits[1]
    assert (outcome.state, outcome.lost) == (State.COMPLETED, None)
    assert outcome_of([limits[0]]).rate_limits is not None
