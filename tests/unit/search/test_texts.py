"""What of an exchange is indexed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from response_store.search import texts as module
from response_store.search.texts import Row, Text, extract_texts
from tests.harness.each import each
from tests.unit.queries.stored import packed


def texts(request: Any = None, **columns: Any) -> list[tuple[str, str]]:
    """What is indexed of an exchange with this request."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    row = Row("e", "t", 1.0, "completed", request_body=packed(body), **columns)
    return [tuple(text) for text in extract_texts(row).texts]


def message(role: str, text: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text}


CALL = {"type": "function_call", "name": "look", "arguments": '{"at":"sky"}', "call_id": "c"}
RESULT = {"type": "function_call_output", "call_id": "c", "output": "blue"}
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


@each(
    ("request_", "found"),
    [
        ({"input": "hello"}, [("user", "hello")]),
        ({"input": [{"role": "user", "content": "hi"}]}, [("user", "hi")]),
        (
            {"input": [message("user", [{"type": "input_text", "text": "what"}, IMAGE])]},
            [("user", "what\n[input_image PNG, 3 B]")],
        ),
        (
            {
                "input": [
                    message("user", "old"),
                    message("assistant", "said"),
                    message("user", "new"),
                ]
            },
            [("user", "new")],
        ),
        ({"input": [message("user", "old"), CALL, RESULT]}, [("tool result", "blue")]),
        (
            {"input": [CALL, CALL, RESULT, {**RESULT, "output": [{"text": "red"}]}]},
            [("tool result", "blue"), ("tool result", "red")],
        ),
        ({"instructions": "be", "input": [message("developer", "do")]}, []),
        (
            {
                "messages": [
                    {"role": "system", "content": "be"},
                    {"role": "user", "content": "old"},
                    {"role": "assistant", "content": None, "tool_calls": []},
                    {"role": "tool", "content": "found"},
                ]
            },
            [("tool result", "found")],
        ),
        (
            b'{"input":"a"}\n{"input":[{"role":"user","content":"b"}]}',
            [("user", "a"), ("user", "b")],
        ),
        (b'{"input":[{"content":"\\ud83d x","n":1e400}]}', [("user", "\ud83d x")]),
        (b"not json", []),
        (b"[]", []),
        ([], []),
        ({"input": ["bare", 7, None, {}, [[]]]}, [("user", "bare")]),
        (b'{"input":' + b"[" * 5000 + b"]" * 5000 + b"}", []),
    ],
)
def test_what_is_new_in_a_request(request_: Any, found: list[tuple[str, str]]) -> None:
    """Behind the last thing that the model has said: texts of the user and of tools, no files."""
    assert texts(request_) == found


def test_an_answer() -> None:
    """Text, calls, reasoning and refusals; the text once, where it stands in two places."""
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Think."}]},
        CALL,
        {"type": "web_search_call", "action": {"type": "search", "query": "moon"}},
        {"type": "code_interpreter_call", "code": "print(1)"},
        message("assistant", [{"type": "output_text", "text": "Sunny."}]),
    ]
    document = json.dumps({"output": output})
    shared = [
        ("reasoning", "Think."),
        ("tool call", 'look {"at":"sky"}'),
        ("tool call", "web_search_call moon"),
        ("tool call", "code_interpreter_call print(1)"),
    ]
    assert texts(response_object=document, output_text="Sunny.") == [("answer", "Sunny."), *shared]
    assert texts(response_object=document) == [*shared, ("answer", "Sunny.")]


def test_a_chat_completion() -> None:
    """Calls stand in its message; a legacy error has its text."""
    call = {"function": {"name": "wave", "arguments": "{}"}}
    result = {
        "choices": [{"message": {"role": "assistant", "content": "Hi", "tool_calls": [call]}}]
    }
    found = texts(result=json.dumps(result), output_text="Hi", error_message="Oh")
    assert found == [("answer", "Hi"), ("error", "Oh"), ("tool call", "wave {}")]


def test_a_damaged_row_has_what_can_be_read() -> None:
    """A frame that is none, or an answer that is no JSON, costs that text alone."""
    row = Row("e", "t", 1.0, "failed", request_body=b"\x00", result="{", output_text="kept")
    assert extract_texts(row).texts == (Text("answer", "kept"),)


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the bound is counted, and a body that unpacks to too much is left."""
    monkeypatch.setattr(module, "MAX_CHARACTERS", 10)
    row = Row("e", "t", 1.0, "completed", output_text="123456", error_message="abcdefgh")
    assert extract_texts(row) == ((Text("answer", "123456"), Text("error", "abcd")), 10, 4)
    monkeypatch.setattr(module, "_MAX_BYTES", 20)
    assert texts({"input": "x" * 30}) == []
