"""Chunks of a chat completion come to the completion that they are cut from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from response_store.model.records import State
from response_store.openai_api.chat_completions import is_completion, read_completion
from response_store.openai_api.chat_stream import accumulate
from response_store.openai_api.outcome import ApiError, ParsedResponse, Usage
from response_store.openai_api.sse import Event
from tests.fakes import bodies
from tests.harness.each import each
from tests.hypothesis_profiles import examples
from tests.unit.openai_api.odd_json import objects

Json = dict[str, Any]
DONE = Event(b"", b"[DONE]")


def outcome_of(chunks: list[Json], *, done: bool = True) -> ParsedResponse:
    events = [Event(b"", json.dumps(chunk).encode()) for chunk in chunks]
    return accumulate([*events, DONE] if done else events)


def whole(outcome: ParsedResponse) -> Json:
    assert outcome.response is None
    completion: Json = json.loads(outcome.partial or b"")
    return completion


def chunk(delta: Any, index: int = 0, **choice: Any) -> Json:
    return {"id": "c1", "choices": [{"index": index, "delta": delta, **choice}]}


def message_of(deltas: list[Any]) -> Json:
    completion = whole(outcome_of([chunk(delta) for delta in deltas]))
    message: Json = completion["choices"][0]["message"]
    return message


def test_recorded() -> None:
    """A recorded stream gives the completion that the same server sends whole."""
    asked = {"model": "gpt-5", "stream_options": {"include_usage": True}}
    outcome = outcome_of(bodies.chat_chunks(asked))
    expected = bodies.chat_completion(asked)
    found = whole(outcome)
    for call in found["choices"][0]["message"]["tool_calls"]:
        del call["index"]
    same = ("choices", "model", "object", "usage", "system_fingerprint")
    assert {name: found[name] for name in same} == {name: expected[name] for name in same}
    assert outcome.state is State.COMPLETED
    assert outcome.output_text == bodies.TEXT
    assert outcome.usage == Usage(31, 8, 17, 5, 48)
    assert outcome.response_id == found["id"]
    assert outcome.created_at == found["created"]


MESSAGES: dict[str, tuple[list[Any], Json]] = {
    "a text": (
        [{"role": "assistant", "content": ""}, {"content": "Hel"}, {"content": "lo"}, {}],
        {"role": "assistant", "content": "Hello"},
    ),
    "a text after null": (
        [{"role": "assistant", "content": None}, {"content": "a"}, {"content": None}],
        {"role": "assistant", "content": "a"},
    ),
    "no text": ([{"role": "assistant", "content": None}], {"role": "assistant", "content": None}),
    "a refusal": (
        [{"refusal": "I "}, {"refusal": "can't"}, {"refusal": None}],
        {"refusal": "I can't"},
    ),
    "a role in every chunk": (
        [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}],
        {"role": "assistant", "content": "ab"},
    ),
    "a role that fades": (
        [{"role": "assistant"}, {"role": ""}, {"role": None}],
        {"role": "assistant"},
    ),
    "reasoning": (
        [{"reasoning_content": "be"}, {"reasoning_content": "cause", "content": "x"}],
        {"reasoning_content": "because", "content": "x"},
    ),
    "an extra that is no text": ([{"extra": {"a": 1}}, {"extra": {"b": 2}}], {"extra": {"b": 2}}),
    "tool calls": (
        [
            {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]},
            {"tool_calls": [{"index": 1, "function": {"arguments": "[]"}}]},
            {"tool_calls": [{"index": 0, "id": "", "function": {"name": None, "arguments": "}"}}]},
        ],
        {
            "tool_calls": [
                {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
                {"index": 1, "id": "b", "function": {"name": "g", "arguments": "[]"}},
            ]
        },
    ),
    "tool calls without an index": (
        [{"tool_calls": [{"id": "a"}]}, {"tool_calls": [{"id": "b"}]}, {"tool_calls": []}],
        {"tool_calls": [{"id": "a"}, {"id": "b"}]},
    ),
    "a function call of old": (
        [
            {"function_call": {"name": "f", "arguments": ""}},
            {"function_call": {"arguments": '{"a"'}},
            {"function_call": {"arguments": ":1}"}},
        ],
        {"function_call": {"name": "f", "arguments": '{"a":1}'}},
    ),
    "speech": (
        [
            {"audio": {"id": "x", "transcript": "he"}},
            {"audio": {"transcript": "y", "expires_at": 5}},
        ],
        {"audio": {"id": "x", "transcript": "hey", "expires_at": 5}},
    ),
    "a pair in two deltas": ([{"content": "\ud83d"}, {"content": "\ude00"}], {"content": "😀"}),
    "a null delta": ([None, {"content": "a"}], {"content": "a"}),
}


@each("name", MESSAGES)
def test_message(name: str) -> None:
    """Deltas come to the message that they are cut from."""
    deltas, expected = MESSAGES[name]
    assert message_of(deltas) == expected


def test_choices() -> None:
    """Several choices are kept apart; the first one's text is the answer's."""
    chunks = [chunk({"content": "b"}, 1), chunk({"content": "a"}), chunk({"content": "B"}, 1)]
    chunks += [chunk({}, 1, finish_reason="length"), chunk({}, 0, finish_reason="stop")]
    outcome = outcome_of(chunks)
    choices = whole(outcome)["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert [choice["message"]["content"] for choice in choices] == ["a", "bB"]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "length"]
    assert outcome.output_text == "a"


def test_logprobs() -> None:
    """The log probabilities of all chunks are kept, in order."""
    chunks = [chunk({"content": t}, logprobs={"content": [{"token": t}]}) for t in "ab"]
    choice = whole(outcome_of([*chunks, chunk({}, logprobs=None)]))["choices"][0]
    assert choice["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_extras() -> None:
    """What a vendor adds to its chunks is kept; null takes nothing away."""
    chunks = [
        chunk({"content": "a"}) | {"provider": "p", "usage": {"total_tokens": 1, "cost": 0.5}},
        {"choices": [], "usage": None, "obfuscation": "x"},
        {"cost": 1.250},
    ]
    found = whole(outcome_of(chunks))
    assert (found["provider"], found["cost"]) == ("p", 1.25)
    assert found["usage"] == {"total_tokens": 1, "cost": 0.5}


ENDS: list[tuple[list[Json], bool, State | None, bool]] = [
    ([chunk({"content": "a"})], True, State.COMPLETED, True),
    ([chunk({"content": "a"})], False, None, False),
    ([chunk({"content": "a"}), chunk({}, finish_reason="stop")], False, State.COMPLETED, False),
    ([chunk({}, 1), chunk({}, finish_reason="stop")], False, None, False),
    ([], True, State.COMPLETED, True),
    ([], False, None, False),
    (
        [chunk({"content": "a"}), {"error": {"code": 400, "message": "no"}}],
        True,
        State.FAILED,
        True,
    ),
]


@pytest.mark.parametrize(("chunks", "done", "state", "terminal"), ENDS)
def test_state(chunks: list[Json], done: bool, state: State | None, terminal: bool) -> None:
    """A stream is complete with its mark, or when each choice has said why it finished."""
    outcome = outcome_of(chunks, done=done)
    assert (outcome.state, outcome.terminal) == (state, terminal)


def test_error_in_a_chunk() -> None:
    """An error within the stream is told, number and all."""
    outcome = outcome_of([chunk({"content": "a"}), {"error": {"code": 400, "message": "no"}}])
    assert (outcome.error, outcome.output_text) == (ApiError("400", "no"), "a")


def test_broken_chunk() -> None:
    """A chunk that can't be read is named, and loses no other."""
    events = [b'{"choices":[{"delta":{"content":"a"}}]}', b'{"choices":{]}', b": ping", b'{"ch']
    outcome = accumulate([*(Event(b"", data) for data in events), DONE])
    assert outcome.output_text == "a"
    assert (outcome.parse_error or "").startswith("event: ")


def test_deep() -> None:
    """Nesting without end raises nothing, and keeps its text."""
    for depth in (5, 20, 400, 5000):
        inner = b'{"content":"x"}'
        for _ in range(depth):
            inner = b'{"index":0,"a":[' + inner + b"]}"
        data = b'{"choices":[{"delta":' + inner + b"}]}"
        outcome = accumulate([Event(b"", data), DONE])
        assert outcome.parse_error or inner[-20:] in (outcome.partial or b"")


def test_whole() -> None:
    """A completion sent whole is kept as it came."""
    value = bodies.chat_completion({"model": "gpt-5"})
    text = json.dumps(value, indent=2).encode()
    outcome = read_completion(text)
    assert is_completion(text)
    assert outcome.partial == text
    assert (outcome.state, outcome.output_text) == (State.COMPLETED, bodies.TEXT)
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert (
        read_completion(
            json.dumps({"choices": [{"message": {"content": parts}}]}).encode()
        ).output_text
        == "ab"
    )


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (b'{"object":"chat.completion"}', True),
        (b'{"choices":[]}', True),
        (b'{"object":"response","choices":[]}', False),
        (b'{"error":{}}', False),
    ],
)
def test_kind(text: bytes, is_one: bool) -> None:
    """A completion is one by what it says of itself, or by what it holds."""
    assert is_completion(text) is is_one


NAMES = ["type", "choices", "index", "delta", "content", "tool_calls", "function", "arguments"]
NAMES += ["usage", "error", "finish_reason", "id", "created", "logprobs", "message", "name"]


@settings(max_examples=examples(70), deadline=None)
@given(st.lists(objects(NAMES, ["function", "text"]), max_size=5), st.booleans())
def test_any_chunks(chunks: list[bytes], done: bool) -> None:
    """Whatever the members hold, folding raises nothing, and what comes out is JSON."""
    events = [Event(b"", data) for data in chunks]
    outcome = accumulate([*events, DONE] if done else events)
    if outcome.partial is not None:
        json.loads(outcome.partial)
    for data in chunks:
        read_completion(data)


@pytest.mark.parametrize(
    ("reason", "state", "api_error"),
    [
        ("stop", State.COMPLETED, None),
        ("tool_calls", State.COMPLETED, None),
        ("length", State.INCOMPLETE, ApiError("max_output_tokens")),
        ("content_filter", State.INCOMPLETE, ApiError("content_filter")),
        (None, State.COMPLETED, None),
        (7, State.COMPLETED, None),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_is_cut_short(
    reason: Any, state: State, api_error: ApiError | None, streamed: bool
) -> None:
    """What ran into its limit is incomplete, with the reason that Responses has for it."""
    if streamed:
        outcome = outcome_of([chunk({"content": "a"}), chunk({}, finish_reason=reason)])
    else:
        choice = {"index": 0, "message": {"content": "a"}, "finish_reason": reason}
        outcome = read_completion(json.dumps({"id": "c1", "choices": [choice]}).encode())
    assert (outcome.state, outcome.error, outcome.output_text) == (state, api_error, "a")


def test_a_cut_stream_is_not_incomplete() -> None:
    """Where the end is missing it stays unknown, whatever the reason says."""
    two = [chunk({"content": "a"}, finish_reason="length"), chunk({"content": "b"}, 1)]
    assert outcome_of(two, done=False).state is None
