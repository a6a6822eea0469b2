"""What an exchange continues is known by its content, and what is new in it is its question."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.limits import LARGE_TEXT
from response_store.openai_api.context import ContextReader, shorten_question, slice_messages

HELLO: list[Any] = [{"role": "user", "content": "Look at a.py"}]
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"a":1,"b":2}'}}
    ],
}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "print(1)"}
CALL_ITEM = {
    "type": "function_call", "id": "fc_1", "status": "completed", "call_id": "c1", "name": "read",
    "arguments": '{"b": 2, "a": 1}',
}  # fmt: skip
RESULT_ITEM = {"type": "function_call_output", "call_id": "c1", "output": "print(1)"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}


def beginnings(items: object) -> tuple[str, ...]:
    return ContextReader().read_input(json.dumps(items).encode()).beginnings


def digest(items: object, *answer: object) -> str | None:
    reader = ContextReader()
    reader.read_input(json.dumps(items).encode())
    return reader.read_answer([json.dumps(item).encode() for item in answer])


def question(*items: object) -> str | None:
    return ContextReader().read_input(json.dumps(items).encode()).question


def said(text: str, role: str = "assistant") -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def test_what_continues_an_answer() -> None:
    """An input that begins with another one and its answer has that one's digest, in both APIs."""
    chat, items = digest(HELLO, CALLED), digest(HELLO, THOUGHT, CALL_ITEM)
    assert chat == items
    assert beginnings([*HELLO, CALLED, RESULT]) == (chat,)
    assert beginnings([said("Look at a.py", "user"), CALL_ITEM, RESULT_ITEM]) == (chat,)


def test_each_place_where_an_answer_may_have_ended() -> None:
    """The longest beginning comes first; an end with an answer is one as well."""
    whole = [*HELLO, CALLED, RESULT, said("It prints 1."), said("Thanks", "user"), said("Sure")]
    assert beginnings(whole) == (
        digest(whole[:-1], whole[-1]),
        digest([*HELLO, CALLED, RESULT], said("It prints 1.")),
        digest(HELLO, CALLED),
    )
    many = [message for n in range(200) for message in (said(f"q{n}", "user"), said(f"a{n}"))]
    assert len(beginnings([*many, *HELLO])) == 64
    assert beginnings([*many, *HELLO])[0] == digest(many[:-1], many[-1])


def test_what_does_not_count() -> None:
    """Instructions change with each turn, and clients leave out what the server alone needs."""
    system = {"role": "system", "content": "It is 12:00"}
    annotated = said(" It prints 1.\n") | {"id": "msg_1", "status": "completed"}
    plain = {"role": "assistant", "content": "It prints 1."}
    assert digest([system, *HELLO], THOUGHT, annotated) == digest(HELLO, plain)
    assert digest(HELLO, said("It prints 2.")) != digest(HELLO, plain)
    assert digest(HELLO, CALL_ITEM) != digest(HELLO, CALL_ITEM | {"name": "write"})
    assert digest(HELLO, THOUGHT) is None


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        (HELLO, "Look at a.py"),
        ([said("First", "user"), said("Done."), said("Then\n  this", "user")], "Then this"),
        ([*HELLO, CALLED, RESULT], "→ read: print(1)"),
        ([RESULT_ITEM], "→ result: print(1)"),
        ([*HELLO, CALLED, RESULT, said("and?", "user")], "and?"),
        ([*HELLO, said("Done.")], None),
        ([], None),
        ([said("<env>x <b>y</b></env>", "user"), *HELLO], "Look at a.py"),
        ([*HELLO, said("<system-reminder>be brief</system-reminder>", "user")], "Look at a.py"),
        ([said("<a>x</a> Why? <b> <c>1</c>", "user")], "Why? <b>"),
        ([said("<env>only</env>", "user")], "<env>only</env>"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "data:"}]}], "[image]"),
        ([{"role": "user", "content": "\ud83d\u0000"}], "\ufffd\ufffd"),
        ([{"role": "user", "content": {"odd": 1}}, 5, None, [1]], '{"odd": 1}'),
    ],
)
def test_the_question(items: list[Any], expected: str | None) -> None:
    """It is the user's last text behind the last answer, else the last result, in one line."""
    assert question(*items) == expected


def test_a_long_question() -> None:
    """Its beginning is read, and shortened when secrets have been looked for in it."""
    read = question({"role": "user", "content": "ab " * 10_000})
    assert read is not None
    assert len(read) == 8_000
    assert shorten_question(read) == read[:299] + "…"
    assert shorten_question("x" * 300) == "x" * 300


def test_tags_without_an_end() -> None:
    """They cost no more than the text is long."""
    text = "".join(f"<t{n % 3}>" for n in range(4_900)) + "</x>"
    assert question({"role": "user", "content": text})


def test_messages_of_a_completion() -> None:
    """The first choice is what a client goes on from; what is no completion has none."""
    completion = {"choices": [{"index": 0, "message": CALLED}, {"index": 1, "message": RESULT}]}
    assert [json.loads(bytes(one)) for one in slice_messages(json.dumps(completion).encode())] == [
        CALLED
    ]
    assert slice_messages(b'{"choices": 5}') == slice_messages(b"") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["type", "role", "content", "tool_calls", "function", "arguments"]),
        inner,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON, st.sampled_from(["", "[", "]", "\x00", '"\\ud83d"']))
def test_anything(value: object, broken: str) -> None:
    """Nothing raises, and reading twice gives the same."""
    text = (json.dumps(value) + broken).encode()
    one, other = (ContextReader().read_input(text) for _ in range(2))
    assert one == other
    assert ContextReader().read_answer([text]) == ContextReader().read_answer([text])


def test_a_text_of_megabytes() -> None:
    """It counts as it is spelled, without being decoded, and is named in the question."""
    long = {"role": "user", "content": "\U0001f600" * (LARGE_TEXT // 4)}
    assert question(long) == "[long text]"
    assert beginnings([long, CALLED, RESULT]) == (digest([long], CALLED),)
    assert digest([long], CALLED) != digest([long | {"content": long["content"] + "x"}], CALLED)
    assert question({**long, "role": "system"}, *HELLO) == "Look at a.py"
