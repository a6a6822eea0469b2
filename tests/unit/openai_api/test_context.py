"""What an exchange continues is known by its content, and what is new in it is its question."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.limits import LARGE_TEXT
from response_store.openai_api.context import (
    Context,
    continue_digest,
    read_answer,
    read_input,
    slice_messages,
)
from response_store.openai_api.question import SEARCHED_CHARS, shorten_question
from tests.harness.each import each

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
SHELL = {
    "type": "shell_call", "call_id": "s1", "status": "completed",
    "action": {"commands": ["ls"], "timeout_ms": None},
}  # fmt: skip
SHELL_OUTPUT = {
    "type": "shell_call_output", "call_id": "s1",
    "output": [{"stdout": "a.py", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
}  # fmt: skip
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}


def beginnings(items: object) -> tuple[str, ...]:
    return read_input(json.dumps(items).encode()).beginnings


def read(items: object, *answer: object) -> Context:
    context = read_input(json.dumps(items).encode())
    return read_answer(context, [json.dumps(item).encode() for item in answer])


def digest(items: object, *answer: object) -> str:
    return read(items, *answer).digest


def question(*items: object) -> str | None:
    return read_input(json.dumps(items).encode()).question


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
    assert digest(HELLO, THOUGHT) == digest(HELLO)


@pytest.mark.parametrize("kind", ["local_shell", "shell", "apply_patch", "computer"])
def test_tools_of_the_client(kind: str) -> None:
    """A call of one is an answer, known by its id, and what the client did is a result."""
    call = {"type": f"{kind}_call", "call_id": "x1", "action": {"type": "a", "more": None}}
    output = {"type": f"{kind}_call_output", "call_id": "x1", "output": "done"}
    first = digest(HELLO, call)
    assert first not in (digest(HELLO), digest(HELLO, call | {"call_id": "x2"}))
    again = [*HELLO, call | {"action": {"type": "a"}, "id": "other"}, output]
    assert beginnings([*again, said("Done.")]) == (digest(again, said("Done.")), first)
    screen = {"type": "computer_screenshot", "image_url": "data:"}
    assert digest([*HELLO, call, output]) != digest([*HELLO, call, output | {"output": screen}])


def test_a_compaction_begins_anew() -> None:
    """Whatever stands before it, one that is known by what it holds."""
    compaction = {"type": "compaction", "encrypted_content": "gAAA"}
    after = digest([*HELLO, compaction])
    assert after == digest([], compaction) == digest([said("<env/>", "user"), compaction])
    assert beginnings([said("other", "user"), compaction, *HELLO])[0] == after
    assert digest([*HELLO, {"type": "compaction"}]) != digest([{"type": "compaction"}])
    assert digest([compaction, *HELLO]) != digest([compaction | {"encrypted_content": "g"}, *HELLO])


def test_a_digest_that_goes_on() -> None:
    """What has only what is new is digested behind what it continues, as the whole is."""
    first = digest(HELLO, said("Yes"))
    more = read([said("Go on", "user")], CALL_ITEM)
    assert not more.rooted
    whole = [*HELLO, said("Yes"), said("Go on", "user")]
    assert continue_digest(first, more.pieces) == digest(whole, CALL_ITEM)
    assert continue_digest(first, ()) == first
    assert continue_digest(digest(HELLO), read([], said("Yes")).pieces) == first
    assert read([], {"type": "compaction", "encrypted_content": "g"}).rooted


@each(
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
        ([said("<env>x</env><x-y z='1'>2</x-y> Why? <b> <c>1</c>", "user")], "Why? <b>"),
        ([said("Make <b>this</b> bold", "user")], "Make <b>this</b> bold"),
        ([said("<b>This</b> is <i>it</i>", "user")], "<b>This</b> is <i>it</i>"),
        ([said("Look: <env>x</env> there", "user")], "Look: <env>x</env> there"),
        ([said("Why?\n\n<env a='b'>\nx <env>\n</env>", "user")], "Why? <env a='b'> x"),
        ([SHELL, SHELL_OUTPUT], "→ shell: a.py"),
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
    message = json.dumps([{"role": "user", "content": "abc " * 10_000}]).encode()
    line = read_input(message, SEARCHED_CHARS).question
    assert line is not None
    assert len(line) == SEARCHED_CHARS - 1
    assert shorten_question(line) == shorten_question(read_input(message).question or "")
    assert shorten_question(line) == line[:299] + "…"
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
    one, other = (read_input(text) for _ in range(2))
    assert one == other
    assert read_answer(one, [text]) == read_answer(other, [text])


def test_a_text_of_megabytes() -> None:
    """It counts as it is spelled, without being decoded, and is named in the question."""
    long = {"role": "user", "content": "\U0001f600" * (LARGE_TEXT // 4)}
    assert question(long) == "[long text]"
    assert beginnings([long, CALLED, RESULT]) == (digest([long], CALLED),)
    assert digest([long], CALLED) != digest([long | {"content": long["content"] + "x"}], CALLED)
    assert question({**long, "role": "system"}, *HELLO) == "Look at a.py"
