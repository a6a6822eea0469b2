"""An exchange as blocks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.format.conversation import (
    Block,
    BlockBuilder,
    BlockKind,
    Citation,
    Conversation,
    Syntax,
    build_conversation,
    find_answer,
    guess_syntax,
)
from response_store.model.records import ExchangeRow, StoredResponse
from response_store.openai_api.items import read_input_items
from response_store.queries.lookup import LookupResult
from tests.fakes.item_kinds import CODED, IMAGE_URL, INPUT, OUTPUT, message
from tests.unit.queries.stored import REQUIRED, RESPONSE, packed


def entry(
    request: dict[str, Any] | None = None, output: list[Any] | None = None, **columns: Any
) -> LookupResult:
    """What is stored of an exchange."""
    body = None if request is None else packed(json.dumps(request).encode())
    exchange = ExchangeRow(**REQUIRED | {"exchange_id": "e1", "request_body": body} | columns)
    if output is None:
        return LookupResult(exchange, None)
    answer = json.dumps({"id": "r1", "output": output})
    return LookupResult(
        exchange, StoredResponse(**RESPONSE | {"id": "r1", "response_object": answer})
    )


def build(*given: Any, **columns: Any) -> Conversation:
    return build_conversation(entry(*given, **columns))


def kinds(conversation: Conversation) -> list[str]:
    return [block.kind.value for block in conversation.blocks]


def call(call_id: str, name: str = "look") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": '{"a":1}'}


def result(call_id: str, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def test_a_conversation_in_order() -> None:
    """Instructions, what the user wrote, what the model thought, called and answered."""
    thinking = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "**Hm**"}]}
    request = {"instructions": "Be brief.", "input": [{"role": "user", "content": "Hi"}]}
    got = build(request, [thinking, call("c1"), message("Yes.")])
    assert kinds(got) == ["instructions", "user", "reasoning", "call", "answer"]
    assert [block.text for block in got.blocks] == ["Be brief.", "Hi", "**Hm**", '{"a":1}', "Yes."]
    assert [block.syntax.value for block in got.blocks] == [
        "plain", "plain", "markdown", "json", "markdown",
    ]  # fmt: skip
    assert got.blocks[3].name == "look"


def test_calls_have_their_results() -> None:
    """Two calls at once are followed by their results in either order: each finds its call."""
    given = [call("c1", "one"), call("c2", "two"), result("c2", "B"), result("c1", '["A"]')]
    got = build({"input": given})
    assert [(block.label, [one.text for one in block.results]) for block in got.blocks] == [
        ("tool call one", ['["A"]']),
        ("tool call two", ["B"]),
    ]
    assert got.blocks[0].results[0].syntax is Syntax.JSON


def test_calls_of_chats_have_their_results() -> None:
    """In Chat Completions a message has several calls, and each result is a message."""
    calls = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in ("a", "b")
    ]
    messages = [
        {"role": "assistant", "content": "Wait.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "of b"},
        {"role": "tool", "tool_call_id": "a", "content": "of a"},
    ]
    got = build({"messages": messages})
    assert [(b.kind, b.name, [r.text for r in b.results]) for b in got.blocks] == [
        (BlockKind.ANSWER, "", []),
        (BlockKind.CALL, "a", ["of a"]),
        (BlockKind.CALL, "b", ["of b"]),
    ]


def test_a_result_without_an_id_belongs_to_the_call_before_it() -> None:
    """Older clients name a function and no call."""
    messages = [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "42"},
        {"role": "function", "name": "f", "content": "43"},
    ]
    got = build({"messages": messages})
    assert kinds(got) == ["call", "result"]
    assert got.blocks[0].results[0].text == "42"


def test_a_result_whose_call_came_before() -> None:
    """A result that stands alone has the name of the call where an earlier exchange brought it."""
    builder = BlockBuilder()
    assert builder.add("", read_input_items([call("c1", "dig")]))[0].kind is BlockKind.CALL
    (alone,) = builder.add("", read_input_items([result("c1", "done")]))
    assert (alone.kind, alone.label, alone.name) == (BlockKind.RESULT, "tool result dig", "dig")
    (unknown,) = builder.add("", read_input_items([result("c9", "done")]))
    assert (unknown.label, unknown.name) == ("tool result", "")


def test_what_a_server_called_has_its_result_and_error() -> None:
    """Results in the call's own item are results of that call."""
    item = {"type": "mcp_call", "name": "ask", "arguments": "{}", "output": "A", "error": "no"}
    (block,) = build(None, [item]).blocks
    assert [(one.text, one.is_error) for one in block.results] == [("A", False), ("no", True)]


def test_citations_are_of_the_answer() -> None:
    """Citations of URLs and of files, each once; a chat has them one level deeper."""
    notes = [
        {"type": "url_citation", "url": "https://a.example", "title": "A"},
        {"type": "url_citation", "url": "https://a.example", "title": "A"},
        {"type": "file_citation", "file_id": "file_1", "filename": "a.md"},
        {"type": "url_citation", "url_citation": {"url": "https://b.example", "title": "B"}},
    ]
    (block,) = build(None, [message("So.", annotations=notes)]).blocks
    assert block.citations == (
        Citation("A", "https://a.example"),
        Citation("a.md", "file_1"),
        Citation("B", "https://b.example"),
    )


def test_pictures_come_with_their_block() -> None:
    """A picture that was sent is one of the user's, one that a tool gave is one of its result."""
    picture = {"type": "input_image", "image_url": IMAGE_URL}
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "See"}, picture]},
        call("c1"),
        result("c1", [picture]),
    ]
    user, shot = build({"input": given}).blocks
    assert [image.data for image in user.images] == [CODED]
    assert user.images[0].media_type == "image/png"
    assert shot.results[0].images == user.images
    assert not shot.images


def test_an_end_that_was_none() -> None:
    """Errors, and states that are no regular end, stand behind the rest."""
    got = build({"input": "Hi"}, state="failed", error_code="oops", error_message="Broke.")
    assert kinds(got) == ["user", "error"]
    assert got.blocks[1].text == "oops: Broke."
    assert kinds(build({"input": "Hi"}, state="refused")) == ["user", "cut off"]
    cut = build({"input": "Hi"}, state="interrupted", ended_by="client", output_text="Hal")
    assert (cut.blocks[1].text, cut.blocks[2].label) == ("Hal", "interrupted, ended by client")
    limit = '{"incomplete_details":{"reason":"max_output_tokens"}}'
    (end,) = build(None, state="incomplete", result=limit).blocks
    assert end.label == "incomplete, max_output_tokens"


def test_tools_and_settings() -> None:
    """What the request offers and asks for stands beside the blocks."""
    got = build({"input": "Hi", "tools": [{"type": "web_search"}], "temperature": 0.5})
    assert (got.tools, got.settings) == (("web_search",), (("temperature", "0.5"),))


def test_the_answer_alone() -> None:
    """The answer is what was said last, without what earlier turns had answered."""
    given = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "old"}]
    got = build({"input": [*given, {"role": "user", "content": "B"}]}, [message("x"), message("y")])
    assert find_answer(got) == "x\n\ny"
    assert find_answer(Conversation((Block(BlockKind.USER, "user", "Hi"),))) == ""


@pytest.mark.parametrize(
    ("text", "syntax"),
    [
        ('{"a": 1}', Syntax.JSON),
        (" [1]\n", Syntax.JSON),
        ("{a}", Syntax.PLAIN),
        ("12", Syntax.PLAIN),
        ("*** Begin Patch\n", Syntax.DIFF),
        ("", Syntax.PLAIN),
    ],
)
def test_how_a_text_is_to_be_read(text: str, syntax: Syntax) -> None:
    """Objects and lists are JSON, patches are diffs, the rest is as it is."""
    assert guess_syntax(text) is syntax


@pytest.mark.parametrize("side", ["input", "output"])
def test_every_kind_of_item_is_a_block(side: str) -> None:
    """No kind of item is lost, and what is shown of it is what `show` has in a pipe."""
    for name, case in (INPUT if side == "input" else OUTPUT).items():
        got = build({"input": [case.item]}) if side == "input" else build(None, [case.item])
        texts = [
            text
            for block in got.blocks
            for text in (block.label, block.text, *(one.text for one in block.results))
        ]
        cited = [" ".join(one) for block in got.blocks for one in block.citations]
        lines = "\n".join([*texts, *cited])
        wanted = [line for line in case.shown if not line.startswith("--- ")]
        assert [line for line in wanted if line not in lines] == [], name
        assert got.blocks, name


@pytest.mark.parametrize(
    "odd",
    [None, 7, "text", [None, 1, [], {}, {"type": None}, {"type": 7}], {"annotations": 3},
     [{"type": "message", "content": [{"annotations": [1, {"type": 2}]}], "tool_calls": [3]}]],
)  # fmt: skip
def test_odd_items_are_blocks_somehow(odd: Any) -> None:
    """Whatever stands in a request or an answer, nothing raises."""
    got = build({"input": odd, "messages": odd, "tools": odd}, odd)
    assert all(isinstance(block.text, str) for block in got.blocks)
