"""A conversation out of the items of an API call: what each side said, in order.

Items come as the APIs define them, but also odd, partial or from other servers: whatever is not
as expected is shown by its type or left out, and nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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


@dataclass(frozen=True)
class Item:
    """An item of an input or an output: what it says, and the call that it is of.

    Items are equal that say the same of the same call: a client that sends an answer back leaves
    out ids, states and annotations.
    """

    turns: tuple[Turn, ...]
    call: str | None = None
    identifier: str | None = field(default=None, compare=False)
    refers: bool = field(default=False, compare=False)  # to the item that has the identifier


def turns(items: Iterable[Item]) -> list[Turn]:
    """What items say, in their order."""
    return [turn for item in items for turn in item.turns]


def instructed(request: object) -> str:
    """The instructions of a request body."""
    return _text(_fields(request).get("instructions"))


def asked(request: object) -> list[Item]:
    """The items of a request body: input, prompt or messages."""
    body = _fields(request)
    items = [item for name in ("input", "prompt", "messages") for item in spoken(body.get(name))]
    told = [replace(item, turns=tuple(turn for turn in item.turns if turn.text)) for item in items]
    return [item for item in told if item.turns]


def answered(result: object) -> list[Item]:
    """The items of an answer: a response's output or a chat completion's choices."""
    body = _fields(result)
    choices = (_fields(choice).get("message") for choice in _list(body.get("choices")))
    messages = (_item(_fields(message), "assistant") for message in choices)
    return [*_items(body.get("output"), "assistant"), *messages]


def spoken(content: object) -> list[Item]:
    """The items of an input: a plain text is the user's."""
    if isinstance(content, str):
        return [Item((Turn("user", content),))]
    return list(_items(content, "user"))


def _items(items: object, speaker: str) -> Iterator[Item]:
    for item in _list(items):
        if isinstance(item, str):
            yield Item((Turn(speaker, item),))
        else:
            yield _item(_fields(item), speaker)


def _item(item: Fields, speaker: str) -> Item:
    return Item(
        turns=tuple(_turns(item, speaker)),
        call=_name(item.get("call_id")),
        identifier=_name(item.get("id")),
        refers=item.get("type") == "item_reference",
    )


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


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
    elif kind == "item_reference":
        yield Turn("item reference", _text(item.get("id")))
    elif kind:
        yield Turn(kind.replace("_", " "), _unknown(item))


def _message(item: Fields, speaker: str) -> Iterator[Turn]:
    role = str(item.get("role") or speaker)
    heard = _text(_fields(item.get("audio")).get("transcript"))
    said = (_text(item.get("content")), heard, _refusal(item.get("refusal")))
    text = "\n".join(filter(None, said))
    if text:
        yield Turn("tool result" if role in ("tool", "function") else role, text)
    if function := _fields(item.get("function_call")):  # before there were tools
        yield from _call(function)
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
    if item.get("error"):
        yield Turn("tool error", _text(item["error"]))


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
