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

from response_store.mitmweb.answers import ShownAnswer, read_answer, read_message
from response_store.mitmweb.bounds import (
    MAX_INDENTED,
    MAX_OF_ANSWER,
    MAX_SHOWN,
    is_readable,
    parse_shortened,
)
from response_store.mitmweb.recognising import MessageKind, RecognizedMessage, is_object, is_stream
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
from response_store.telling.figures import format_size
from response_store.telling.printable import escape_controls, put_on_one_line
from response_store.telling.tokens import Tokens

_BEGINNING = 2000  # bytes that are shown of what is too large
_MAX_NAMES = 50
_MAX_FACT_LENGTH = 5000
_APART = "\n \n"  # mitmweb gives a line of no characters no height
_REQUEST_FACTS = {
    "type": "event",
    "model": "model",
    "stream_id": "lane",
    "previous_response_id": "previous",
    "conversation": "conversation",
    "stream": "streamed",
}


def render_message(
    data: bytes, ours: RecognizedMessage | None, before: Sequence[Any] = (), message: Any = None
) -> str:
    """Return a message as text. `before` are a socket's messages, `message` this one among them."""
    try:
        answer = _render_known(data, ours, before, message)
    except Exception:  # noqa: BLE001 - whatever it holds, somebody wants to see it
        answer = None
    return answer or _render_plain(data)


def _render_known(
    data: bytes, ours: RecognizedMessage | None, before: Sequence[Any], message: Any
) -> str | None:
    kind = ours.kind if ours else None
    if not (is_stream(data) or is_readable(data)):
        return _render_too_large(data)
    if kind in (MessageKind.REQUEST, MessageKind.FROM_CLIENT) or (
        kind is None and _is_request(data)
    ):
        return _render_request(data)
    if kind is MessageKind.FROM_SERVER:
        return _render_answer(read_message(data, before, message))
    if not (is_stream(data) or is_readable(data, marks=MAX_OF_ANSWER)):
        return _render_too_large(data)
    return _render_answer(read_answer(data, ours.api if ours else None))


def _render_request(data: bytes) -> str | None:
    body = parse_shortened(data)
    if not isinstance(body, dict):
        return None
    facts = [(name, _get_name(body.get(key))) for key, name in _REQUEST_FACTS.items()]
    tools = body.get("tools")
    facts.append(("tools", ", ".join(_list_tools(tools)) if isinstance(tools, list) else ""))
    instructions = find_instructions(body)
    first = [LabelledTurn("instructions", instructions)] if instructions else []
    turns = [*first, *join_turns(read_request_items(body))]
    return _lay_out(facts, turns) if turns or facts[1][1] else None


def _render_answer(answer: ShownAnswer | None) -> str | None:
    if answer is None:
        return None
    outcome, turns = answer.outcome, _list_turns(answer.outcome)
    if not turns and answer.rest:
        turns = [LabelledTurn("delta", answer.rest)]
    facts = [("event", answer.event), *_list_facts(outcome), ("note", answer.note)]
    return _lay_out(facts, turns) if turns or any(value for _, value in facts) else None


def _list_facts(outcome: ParsedResponse) -> list[tuple[str, str]]:
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


def _list_turns(outcome: ParsedResponse) -> list[LabelledTurn]:
    whole = outcome.response or outcome.partial
    body = parse_shortened(whole) if whole else None
    output = body.get("output") if isinstance(body, dict) else None
    if not outcome.items or (isinstance(body, dict) and "choices" in body):
        return join_turns(read_response_items(body))
    items = [parse_shortened(item) for item in outcome.items]
    return join_turns(read_response_items({"output": choose_fuller(as_list(output), items)}))


def _lay_out(facts: Iterable[tuple[str, str]], turns: Iterable[LabelledTurn]) -> str:
    lines = [
        f"{name:<13}{put_on_one_line(value[:_MAX_FACT_LENGTH])}" for name, value in facts if value
    ]
    blocks = list(_render_turns(list(turns)))
    return _APART.join(filter(None, ("\n".join(lines), *blocks)))


def _render_turns(turns: Sequence[LabelledTurn]) -> Iterator[str]:
    """Yield each turn; if there are many, the first ones and more of the last ones."""
    part = MAX_SHOWN // 4
    first = _count_fitting(turns, MAX_SHOWN)
    if first < len(turns):
        first = _count_fitting(turns, part)
    last = _count_fitting(turns[:first:-1], 3 * part)
    yield from map(_render_turn, turns[:first])
    if left_out := len(turns) - first - last:
        yield f"({left_out} in between are not shown here)"
    yield from map(_render_turn, turns[len(turns) - last :])


def _count_fitting(turns: Sequence[LabelledTurn], limit: int) -> int:
    """Return how many turns fit into so many characters."""
    lengths = accumulate(min(len(turn.text), MAX_SHOWN // 2) + len(turn.label) for turn in turns)
    return sum(length <= limit for length in lengths)


def _render_turn(turn: LabelledTurn) -> str:
    more = len(turn.text) - MAX_SHOWN // 2
    cut = f"\n({more} more characters)" if more > 0 else ""
    return f"--- {put_on_one_line(turn.label)}\n{escape_controls(turn.text[: MAX_SHOWN // 2])}{cut}"


def _render_too_large(data: bytes) -> str:
    note = f"{format_size(len(data))}: that is too much to be read here. It begins:"
    return f"{note}\n\n{escape_controls(data[:_BEGINNING].decode('utf-8', 'replace'))}"


def _render_plain(data: bytes) -> str:
    if is_object(data) and is_readable(data, marks=MAX_INDENTED):
        try:
            text = json.dumps(json.loads(data), indent=4, ensure_ascii=False)
            if len(text) <= MAX_SHOWN:
                return escape_controls(text)
        except (ValueError, RecursionError):
            pass
    return escape_controls(data[: MAX_SHOWN // 2].decode("utf-8", "replace"))


def _is_request(data: bytes) -> bool:
    """Return whether a body of which nothing else is known looks like a request."""
    return is_object(data) and (b'"input"' in data or b'"messages"' in data)


def _get_name(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, bool):
        return "yes" if value else ""
    return value if isinstance(value, str) else ""


def _list_tools(tools: list[object]) -> list[str]:
    answer = [tool for tool in tools[:_MAX_NAMES] if isinstance(tool, dict)]
    functions = [tool.get("function") for tool in answer]
    names = [
        tool.get("name") or (of.get("name") if isinstance(of, dict) else None) or tool.get("type")
        for tool, of in zip(answer, functions, strict=True)
    ]
    more = [f"and {len(tools) - _MAX_NAMES} more"] if len(tools) > _MAX_NAMES else []
    return [*(name for name in names if isinstance(name, str)), *more]
