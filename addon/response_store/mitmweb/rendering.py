"""Messages as the contentview shows them: a few facts, then the conversation.

The work is bounded (`bounds.py`), as mitmproxy does it on its event loop: of a large stream only
the end and the beginning are read, a larger object not at all. Nothing here raises; what can't be
told is shown as the JSON or the text that it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from response_store.mitmweb.answers import Told, answer_told, message_told
from response_store.mitmweb.bounds import (
    MOST_INDENTED,
    MOST_OF_ANSWER,
    MOST_SHOWN,
    is_readable,
    read,
)
from response_store.mitmweb.recognising import Kind, Recognised, is_object, is_stream
from response_store.openai_api.item_kinds import LabelledTurn
from response_store.openai_api.item_texts import as_list
from response_store.openai_api.items import (
    choose_fuller,
    find_instructions,
    join_turns,
    read_request_items,
    read_response_items,
)
from response_store.openai_api.outcome import ParsedResponse
from response_store.telling.figures import size
from response_store.telling.printable import one_line, printable
from response_store.telling.tokens import Tokens

_BEGINNING = 2000  # bytes that are shown of what is too large
_MOST_NAMES = 50
_LONGEST_FACT = 5000
_APART = "\n \n"  # mitmweb gives a line of no characters no height
_REQUEST_FACTS = {
    "type": "event",
    "model": "model",
    "stream_id": "lane",
    "previous_response_id": "previous",
    "conversation": "conversation",
    "stream": "streamed",
}


def text_of(
    data: bytes, ours: Recognised | None, before: Sequence[Any] = (), message: Any = None
) -> str:
    """Return a message as text. `before` are a socket's messages, `message` this one among them."""
    try:
        told = _told(data, ours, before, message)
    except Exception:  # noqa: BLE001 - whatever it holds, somebody wants to see it
        told = None
    return told or _plain(data)


def _told(data: bytes, ours: Recognised | None, before: Sequence[Any], message: Any) -> str | None:
    kind = ours.kind if ours else None
    if not (is_stream(data) or is_readable(data)):
        return _too_large(data)
    if kind in (Kind.REQUEST, Kind.FROM_CLIENT) or (kind is None and _asks(data)):
        return _request(data)
    if kind is Kind.FROM_SERVER:
        return _answer(message_told(data, before, message))
    if not (is_stream(data) or is_readable(data, marks=MOST_OF_ANSWER)):
        return _too_large(data)
    return _answer(answer_told(data, ours.api if ours else None))


def _request(data: bytes) -> str | None:
    body = read(data)
    if not isinstance(body, dict):
        return None
    facts = [(name, _named(body.get(key))) for key, name in _REQUEST_FACTS.items()]
    tools = body.get("tools")
    facts.append(("tools", ", ".join(_tools(tools)) if isinstance(tools, list) else ""))
    instructions = find_instructions(body)
    first = [LabelledTurn("instructions", instructions)] if instructions else []
    said = [*first, *join_turns(read_request_items(body))]
    return _laid_out(facts, said) if said or facts[1][1] else None


def _answer(told: Told | None) -> str | None:
    if told is None:
        return None
    outcome, said = told.outcome, _said(told.outcome)
    if not said and told.rest:
        said = [LabelledTurn("delta", told.rest)]
    facts = [("event", told.event), *_facts(outcome), ("note", told.note)]
    return _laid_out(facts, said) if said or any(value for _, value in facts) else None


def _facts(outcome: ParsedResponse) -> list[tuple[str, str]]:
    usage, api_error = outcome.usage, outcome.error
    counted = (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens)
    return [
        ("response", outcome.response_id or ""),
        ("model", outcome.model or ""),
        ("state", outcome.state or ""),
        ("tokens", str(Tokens(*counted))),
        (
            "error",
            ": ".join(filter(None, (api_error.code, api_error.message))) if api_error else "",
        ),
        ("previous", outcome.previous_response_id or ""),
        ("conversation", outcome.conversation_id or ""),
        ("unreadable", outcome.parse_error or ""),
    ]


def _said(outcome: ParsedResponse) -> list[LabelledTurn]:
    whole = outcome.response or outcome.partial
    body = read(whole) if whole else None
    output = body.get("output") if isinstance(body, dict) else None
    if not outcome.items or (isinstance(body, dict) and "choices" in body):
        return join_turns(read_response_items(body))
    items = [read(item) for item in outcome.items]
    return join_turns(read_response_items({"output": choose_fuller(as_list(output), items)}))


def _laid_out(facts: Iterable[tuple[str, str]], said: Iterable[LabelledTurn]) -> str:
    lines = [f"{name:<13}{one_line(value[:_LONGEST_FACT])}" for name, value in facts if value]
    blocks = list(_blocks(list(said)))
    return _APART.join(filter(None, ("\n".join(lines), *blocks)))


def _blocks(said: Sequence[LabelledTurn]) -> Iterator[str]:
    """Yield each turn; if there are many, the first ones and more of the last ones."""
    part = MOST_SHOWN // 4
    first = _fitting(said, MOST_SHOWN)
    if first < len(said):
        first = _fitting(said, part)
    last = _fitting(said[:first:-1], 3 * part)
    yield from map(_block, said[:first])
    if left_out := len(said) - first - last:
        yield f"({left_out} in between are not shown here)"
    yield from map(_block, said[len(said) - last :])


def _fitting(said: Sequence[LabelledTurn], most: int) -> int:
    """Return how many turns fit into so many characters."""
    lengths = accumulate(min(len(turn.text), MOST_SHOWN // 2) + len(turn.label) for turn in said)
    return sum(length <= most for length in lengths)


def _block(turn: LabelledTurn) -> str:
    more = len(turn.text) - MOST_SHOWN // 2
    cut = f"\n({more} more characters)" if more > 0 else ""
    return f"--- {one_line(turn.label)}\n{printable(turn.text[: MOST_SHOWN // 2])}{cut}"


def _too_large(data: bytes) -> str:
    note = f"{size(len(data))}: that is too much to be read here. It begins:"
    return f"{note}\n\n{printable(data[:_BEGINNING].decode('utf-8', 'replace'))}"


def _plain(data: bytes) -> str:
    if is_object(data) and is_readable(data, marks=MOST_INDENTED):
        try:
            text = json.dumps(json.loads(data), indent=4, ensure_ascii=False)
            if len(text) <= MOST_SHOWN:
                return printable(text)
        except (ValueError, RecursionError):
            pass
    return printable(data[: MOST_SHOWN // 2].decode("utf-8", "replace"))


def _asks(data: bytes) -> bool:
    """Return whether a body of which nothing else is known looks like a request."""
    return is_object(data) and (b'"input"' in data or b'"messages"' in data)


def _named(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, bool):
        return "yes" if value else ""
    return value if isinstance(value, str) else ""


def _tools(tools: list[object]) -> list[str]:
    told = [tool for tool in tools[:_MOST_NAMES] if isinstance(tool, dict)]
    functions = [tool.get("function") for tool in told]
    names = [
        tool.get("name") or (of.get("name") if isinstance(of, dict) else None) or tool.get("type")
        for tool, of in zip(told, functions, strict=True)
    ]
    more = [f"and {len(tools) - _MOST_NAMES} more"] if len(tools) > _MOST_NAMES else []
    return [*(name for name in names if isinstance(name, str)), *more]
