"""A conversation out of the items of an API call: what each side said, in order.

Items come as the APIs define them, but also odd, partial or from other servers: whatever is not
as expected is shown by its type or left out, and nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_TEXT_PARTS = {"text", "input_text", "output_text", "summary_text", "reasoning_text"}
_SOURCES = ("filename", "file_id", "file_url", "image_url", "name")
_LONGEST_SOURCE = 60
_LONGEST_UNKNOWN = 500
_UNTOLD = {"id", "type", "status", "encrypted_content", "object"}

Fields = Mapping[str, object]


class Turn(NamedTuple):
    """Who or what speaks, and the text."""

    label: str
    text: str


def asked(request: object) -> list[Turn]:
    """The turns of a request body: instructions, then input, prompt or messages."""
    body = _fields(request)
    turns = [Turn("instructions", _text(body.get("instructions")))]
    for name in ("input", "prompt", "messages"):
        turns.extend(spoken(body.get(name)))
    return [turn for turn in turns if turn.text]


def answered(result: object) -> list[Turn]:
    """The turns of an answer: a response's output items or a chat completion's choices."""
    body = _fields(result)
    turns = list(_items(body.get("output"), "assistant"))
    for choice in _list(body.get("choices")):
        turns.extend(_turns(_fields(_fields(choice).get("message")), "assistant"))
    return turns


def spoken(content: object) -> list[Turn]:
    """The turns of an input: a plain text is the user's."""
    if isinstance(content, str):
        return [Turn("user", content)]
    return list(_items(content, "user"))


def _items(items: object, speaker: str) -> Iterator[Turn]:
    for item in _list(items):
        if isinstance(item, str):
            yield Turn(speaker, item)
        yield from _turns(_fields(item), speaker)


def _turns(item: Fields, speaker: str) -> Iterator[Turn]:
    kind = str(item.get("type") or ("message" if item else ""))
    if kind == "message":
        yield from _message(item, speaker)
    elif kind == "reasoning":
        yield from _reasoning(item)
    elif kind.endswith("_call_output"):
        yield Turn("tool result", _text(item.get("output")))
    elif kind in ("function_call", "custom_tool_call", "mcp_call"):
        yield from _call(item)
    elif kind:
        yield Turn(kind.replace("_", " "), _unknown(item))


def _message(item: Fields, speaker: str) -> Iterator[Turn]:
    role = str(item.get("role") or speaker)
    text = "\n".join(filter(None, (_text(item.get("content")), _refusal(item.get("refusal")))))
    if text:
        yield Turn("tool result" if role == "tool" else role, text)
    for call in _list(item.get("tool_calls")):
        told = _fields(call)
        yield from _call(_fields(told.get("function") or told.get("custom")))


def _reasoning(item: Fields) -> Iterator[Turn]:
    summary = _text(item.get("summary")) or _text(item.get("content"))
    if summary:
        yield Turn("reasoning", summary)


def _call(item: Fields) -> Iterator[Turn]:
    arguments = item.get("arguments", item.get("input"))
    yield Turn(f"tool call {item.get('name') or '(unnamed)'}", _text(arguments))
    if item.get("output") is not None:
        yield Turn("tool result", _text(item["output"]))


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, (_part(part) for part in content)))
    return _compact(content) if content else ""


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    told = _fields(part)
    kind = told.get("type")
    if kind in _TEXT_PARTS:
        return _text(told.get("text"))
    if kind == "refusal":
        return _refusal(told.get("refusal"))
    return _attachment(told) if told else ""


def _refusal(reason: object) -> str:
    return f"(refused) {reason}" if isinstance(reason, str) else ""


def _attachment(part: Fields) -> str:
    kind = str(part.get("type") or "part")
    nested = _fields(part.get(kind))
    for source in (part.get(name) or nested.get(name) for name in (*_SOURCES, "url")):
        if isinstance(source, str):
            return f"[{kind} {_shortened(source, _LONGEST_SOURCE)}]"
    return f"[{kind}]"


def _unknown(item: Fields) -> str:
    told = {name: value for name, value in item.items() if name not in _UNTOLD and value}
    return _shortened(_compact(told), _LONGEST_UNKNOWN) if told else ""


def _compact(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "(nested too deeply to show)"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def _fields(value: object) -> Fields:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
