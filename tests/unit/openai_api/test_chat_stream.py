"""Chat chunks, accumulated: whatever a server says of where a piece belongs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.model.records import State
from response_store.openai_api.chat_stream import accumulate
from response_store.openai_api.outcome import ParsedResponse
from response_store.openai_api.sse import Event
from tests.harness.each import each
from tests.hypothesis_profiles import examples

Json = dict[str, Any]


def outcome_of(*choices: Json, **top: Any) -> ParsedResponse:
    """What chunks of one choice each come to, and then the mark."""
    chunks = [{"id": "c", "model": "m", "choices": [choice]} | top for choice in choices]
    data = [json.dumps(chunk).encode() for chunk in chunks]
    return accumulate(Event(b"", one) for one in [*data, b"[DONE]"])


def message_of(*deltas: Json) -> Json:
    """The message that deltas come to."""
    outcome = outcome_of(*({"index": 0, "delta": delta} for delta in deltas))
    message: Json = json.loads(outcome.partial or b"{}")["choices"][0]["message"]
    return message


def calls_of(*pieces: Json | list[Json]) -> list[Json]:
    """The calls that pieces, or lists of them, come to: id, name and arguments."""
    lists = [piece if isinstance(piece, list) else [piece] for piece in pieces]
    found = message_of(*({"tool_calls": one} for one in lists)).get("tool_calls", [])
    return [{"id": one.get("id")} | (one.get("function") or one.get("custom")) for one in found]


def piece(arguments: Any = None, name: str | None = None, **fields: Any) -> Json:
    """One piece of a function call."""
    function = {"name": name, "arguments": arguments}
    return {"function": {k: v for k, v in function.items() if v is not None}} | fields


A = {"id": "a", "name": "find", "arguments": '{"q":1}'}
B = {"id": "b", "name": "map", "arguments": '{"r":2}'}
NOW = {"name": "now", "arguments": ""}

CALLS: dict[str, tuple[list[Json | list[Json]], list[Json]]] = {
    "by index": (
        [
            piece("", "find", index=0, id="a"), piece("", "map", index=1, id="b"),
            piece('{"q"', index=0), piece('{"r":', index=1),
            piece(":1}", index=0), piece("2}", index=1),
        ],
        [A, B],
    ),
    "all of index 0 (Ollama)": (
        [piece('{"q":1}', "find", index=0, id="a"), piece('{"r":2}', "map", index=0, id="b")],
        [A, B],
    ),
    "all of index 0, in pieces (Gemini)": (
        [
            piece("", "find", index=0, id="a"), piece('{"q":1}', index=0),
            piece("", "map", index=0, id="b"), piece('{"r"', index=0), piece(":2}", index=0),
        ],
        [A, B],
    ),
    "all of index 0, in one list": (
        [[piece('{"q":1}', "find", index=0, id="a"), piece('{"r":2}', "map", index=0, id="b")]],
        [A, B],
    ),
    "no index": (
        [piece('{"q":1}', "find", id="a"), piece('{"r":', "map", id="b"), piece("2}")],
        [A, B],
    ),
    "no index, the id in each piece": (
        [piece('{"q":', "find", id="a"), piece('{"r":2}', "map", id="b"), piece("1}", id="a")],
        [A, B],
    ),
    "an index in the first piece only": (
        [piece("", "find", index=0, id="a"), piece('{"q":'), piece("1}")],
        [A],
    ),
    "an index that counts the pieces": (
        [piece("", "find", index=0, id="a"), piece('{"q":', index=1), piece("1}", index=2)],
        [A],
    ),
    "an index as text": (
        [piece("", "find", index="0", id="a"), piece('{"q":1}', index="0")],
        [A],
    ),
    "neither index nor id": (
        [piece('{"q":1}', "find"), piece('{"r":2}', "map")],
        [A | {"id": None}, B | {"id": None}],
    ),
    "one function twice, without ids": (
        [piece('{"q":1}', "find"), piece('{"q":2}', "find")],
        [A | {"id": None}, A | {"id": None, "arguments": '{"q":2}'}],
    ),
    "no arguments at all": (
        [piece("", "now", index=0, id="a"), piece("", "map", index=0, id="b"), piece('{"r":2}')],
        [NOW | {"id": "a"}, B],
    ),
    "one function twice, without arguments, in one list": (
        [[piece("", "now", id="a"), piece("", "now", id="b")]],
        [NOW | {"id": "a"}, NOW | {"id": "b"}],
    ),
    "ids that change from piece to piece": (
        [piece('{"q"', "find", index=0, id="a"), piece(":", index=0, id="x"),
         piece("1}", index=0, id="y"), piece("", index=0, id="z")],
        [A | {"id": "z"}],
    ),
    "empty names and ids": (
        [piece("", "find", index=0, id="a"), piece('{"q":1}', "", index=0, id="")],
        [A],
    ),
    "the name in pieces": (
        [piece(None, "fi", index=0, id="a"), piece(None, "nd", index=0), piece('{"q":1}', index=0)],
        [A],
    ),
    "the name repeated": (
        [piece('{"q"', "find", index=0, id="a"), piece(":1}", "find", index=0, id="a")],
        [A],
    ),
    "the name as far as it came": (
        [piece(None, "fi", index=0, id="a"), piece('{"q":1}', "find", index=0)],
        [A],
    ),
    "a name without arguments at the end": (
        [piece('{"q":1}', "find", index=0, id="a"), piece("", "find", index=0)],
        [A],
    ),
    "arguments as an object": (
        [piece({"q": 1}, "find", index=0, id="a"), piece({"r": 2}, "map", index=0, id="b")],
        [A | {"arguments": {"q": 1}}, B | {"arguments": {"r": 2}}],
    ),
    "a list that is an object": ([[piece('{"q":1}', "find", id="a")]], [A]),
}  # fmt: skip


@each("name", CALLS)
def test_calls(name: str) -> None:
    """Pieces of one call make one call, and calls of their own stay apart."""
    pieces, expected = CALLS[name]
    assert calls_of(*pieces) == expected


def test_custom_calls() -> None:
    """Custom tools grow as functions do; a new id begins another."""
    found = calls_of(
        {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sing", "input": ""}},
        {"index": 0, "custom": {"input": "tire"}},
        {"index": 0, "custom": {"input": "li"}},
        {"index": 0, "id": "b", "type": "custom", "custom": {"name": "hum", "input": "mm"}},
    )
    assert found == [
        {"id": "a", "name": "sing", "input": "tireli"},
        {"id": "b", "name": "hum", "input": "mm"},
    ]


def text(value: str) -> Json:
    return {"type": "text", "text": value}


THINKING = {"type": "thinking", "thinking": [text("hm")]}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}
CONTENTS: dict[str, tuple[list[Any], Any, str | None]] = {
    "texts": (["a", "b"], "ab", "ab"),
    "an empty text": ([""], "", ""),
    "null, then a text": ([None, "a", None, ""], "a", "a"),
    "lists": ([[text("a")], [text("b")]], [text("ab")], "ab"),
    "objects": ([text("a"), text("b")], [text("ab")], "ab"),
    "objects without a type": ([{"text": "a"}, {"text": "b"}], [{"text": "ab"}], "ab"),
    "thinking, then texts (Mistral)": (
        ["", [THINKING], [THINKING], "a", "b"],
        [{"type": "thinking", "thinking": [text("hmhm")]}, text("ab")],
        "ab",
    ),
    "a text, then a list": (["a", [THINKING], "b"], [text("a"), THINKING, text("b")], "ab"),
    "a part, then a text": ([[text("a")], "b"], [text("ab")], "ab"),
    "what does not grow": ([[IMAGE], [IMAGE]], [IMAGE, IMAGE], None),
    "texts in a list": ([["a", "b"], "c"], "abc", "abc"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_contents(name: str) -> None:
    """Texts, lists and objects are kept in the order in which they came."""
    values, content, answer = CONTENTS[name]
    outcome = outcome_of(*({"delta": {"content": value}} for value in values))
    assert json.loads(outcome.partial or b"")["choices"][0]["message"]["content"] == content
    assert outcome.output_text == answer
    assert outcome.lost is None


def test_reasoning() -> None:
    """Reasoning grows beside the text, under each name that is in use."""
    for name in ("reasoning_content", "reasoning", "thinking"):
        message = message_of({name: "a"}, {name: "b", "content": ""}, {"content": "c", name: None})
        assert (message[name], message["content"]) == ("ab", "c")


MESSAGES: dict[str, tuple[list[Json], str | None, bool]] = {
    "in the place of a delta": ([{"message": {"content": "ab"}}], "ab", False),
    "with an empty delta": ([{"delta": {}, "message": {"content": "ab"}}], "ab", False),
    "in pieces": ([{"message": {"content": "a"}}, {"message": {"content": "b"}}], "ab", False),
    "behind deltas, repeated": (
        [{"delta": {"content": "ab"}}, {"delta": {}, "message": {"content": "ab"}}],
        "ab",
        False,
    ),
    "behind a role": (
        [{"delta": {"role": "assistant"}}, {"message": {"content": "ab"}}],
        "ab",
        False,
    ),
    "behind deltas, with more": (
        [{"delta": {"reasoning": "r"}}, {"message": {"content": "ab"}}],
        "ab",
        False,
    ),
    "behind deltas, another": (
        [{"delta": {"content": "ab"}}, {"message": {"content": "xy"}}],
        "ab",
        True,
    ),
    "null": ([{"delta": None, "message": None}], None, False),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    """A choice without a delta gives its message; what that says besides is known to be lost."""
    choices, answer, is_lost = MESSAGES[name]
    outcome = outcome_of(*choices)
    assert outcome.output_text == answer
    assert (outcome.lost is not None) == is_lost


def test_what_is_empty_replaces_nothing() -> None:
    """An empty string or null leaves the id, the model, the reason and the role as they were."""
    chunks = [
        {"id": "c", "model": "m", "choices": [{"delta": {"role": "assistant", "content": "a"}}]},
        {"id": "c", "model": "m", "choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"id": "", "model": None, "choices": [{"delta": {"role": ""}, "finish_reason": ""}]},
    ]
    outcome = accumulate(Event(b"", json.dumps(chunk).encode()) for chunk in chunks)
    assert (outcome.response_id, outcome.model, outcome.state) == ("c", "m", State.COMPLETED)
    (choice,) = json.loads(outcome.partial or b"")["choices"]
    assert (choice["finish_reason"], choice["message"]["role"]) == ("stop", "assistant")


@pytest.mark.parametrize(("reason", "state"), [("", None), (None, None), ("stop", State.COMPLETED)])
def test_an_empty_finish_reason(reason: str | None, state: State | None) -> None:
    """It is none: without the mark the stream was cut."""
    chunk = {"id": "c", "choices": [{"delta": {"content": "a"}, "finish_reason": reason}]}
    assert accumulate([Event(b"", json.dumps(chunk).encode())]).state is state


def test_a_choice_that_finished_with_an_error() -> None:
    """It has failed, also where nothing says of what."""
    outcome = outcome_of({"delta": {"content": "a"}, "finish_reason": "error"})
    assert (outcome.state, outcome.error and outcome.error.code) == (State.FAILED, "error")


def test_an_empty_value_replaces_null() -> None:
    """It is more than that; between the two nothing is lost."""
    outcome = outcome_of({"delta": {"content": "a"}}, {"delta": {}}, system_fingerprint="")
    assert json.loads(outcome.partial or b"")["system_fingerprint"] == ""


def test_an_empty_model_is_none() -> None:
    """Where no chunk names a model, the row names none."""
    assert outcome_of({"delta": {"content": "a"}}, model="").model is None


def test_what_can_not_be_read_is_known_to_be_lost() -> None:
    """Words between the chunks are in no column; pings, marks and a cut end are no loss."""
    chunk = Event(b"", b'{"choices":[{"delta":{"content":"a"}}]}')
    for filler in (b"", b": ping", b"PING", b"null", b'{"cut'):
        assert accumulate([chunk, Event(b"", filler)]).lost is None
    assert accumulate([chunk, Event(b"ping", b"ok")]).lost is None
    assert accumulate([chunk, Event(b"", b"the queue is long")]).lost is not None


# Properties: how a dialect splits an answer, and in which order its pieces come, changes nothing.


def split(draw: st.DrawFn, value: str) -> list[str]:
    """A text in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(value)), max_size=4)))
    return [value[start:end] for start, end in zip([0, *cuts], [*cuts, len(value)], strict=True)]


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, str, list[Json]]:
    """A text, its reasoning, and calls."""
    words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
    names = st.sampled_from(["find", "map", "now"])
    arguments = st.dictionaries(st.sampled_from("qrs"), words, max_size=2).map(json.dumps)
    made = draw(st.lists(st.tuples(names, arguments), max_size=3))
    calls = [{"id": f"call_{at}", "name": n, "arguments": a} for at, (n, a) in enumerate(made)]
    return draw(words), draw(words), calls


@st.composite
def deltas_of(draw: st.DrawFn, answer: tuple[str, str, list[Json]]) -> list[Json]:
    """The deltas of an answer, as a dialect may send it: lanes of pieces, interleaved."""
    said, thought, calls = answer
    lanes = [
        [{"content": part} for part in split(draw, said)],
        [{"reasoning_content": part} for part in split(draw, thought)],
    ]
    by_index = draw(st.booleans())
    pieces = []
    for at, call in enumerate(calls):
        where = {"index": at} if by_index else draw(st.sampled_from([{}, {"index": 0}]))
        first = piece("", call["name"], id=call["id"], type="function", **where)
        rest = [piece(part, **where) for part in split(draw, call["arguments"])]
        pieces.append([{"tool_calls": [one]} for one in [first, *rest]])
    lanes += pieces if by_index else [[delta for lane in pieces for delta in lane]]
    deltas = []
    while any(lanes):
        lane = draw(st.sampled_from([lane for lane in lanes if lane]))
        deltas.append(lane.pop(0))
    return deltas


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data(), answer=answers())
def test_any_split_and_order(data: st.DataObject, answer: tuple[str, str, list[Json]]) -> None:
    """However an answer is split and its pieces interleaved, the row is the same."""
    said, thought, calls = answer
    deltas = data.draw(deltas_of(answer))
    outcome = outcome_of(*({"index": 0, "delta": delta} for delta in deltas))
    message = json.loads(outcome.partial or b"")["choices"][0]["message"]
    assert (outcome.output_text or "") == said
    assert message.get("reasoning_content", "") == thought
    found = [{"id": one["id"]} | one["function"] for one in message.get("tool_calls", [])]
    assert found == calls
    assert outcome.lost is None
