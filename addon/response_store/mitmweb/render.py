"""Render messages as the contentview shows them: a few facts, then the conversation, within
bounds.

The work is bounded (`mitmweb/render.py`), as mitmproxy does it on its event loop: of a large stream
only the end and the beginning are read, a larger object not at all. Nothing here raises; what can't
be told is shown as the JSON or the text that it is.

What a body costs depends less on its size than on how much is in it: a picture of 4 MiB is read in
two milliseconds, as many bytes of empty lists in a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate as running_totals
from typing import Any

import msgspec

from response_store import jsontext
from response_store.format.bodies import Tokens, parse_document
from response_store.format.text import escape_controls, format_size, put_on_one_line
from response_store.mitmweb.recognise import MessageKind, RecognizedMessage, is_object, is_stream
from response_store.model.records import Api, Transport
from response_store.openai_api.chat_completions import is_completion
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
from response_store.openai_api.response_bodies import read_any
from response_store.openai_api.responses_stream import accumulate, read_terminal
from response_store.openai_api.sse import DONE, FRAME_END, Event, is_terminal, parse_stream

MAX_BYTES = 4 << 20
"""Bytes of an object."""
MAX_EVENTS = 640 << 10
"""Bytes of events that are put together, of a stream or a socket."""
MAX_SHOWN = 256 << 10
"""Characters of all that is shown."""
MAX_INDENTED = 20_000
"""Marks of an object that is shown as JSON."""
MAX_OF_ANSWER = 60_000
"""Marks of an answer, which is looked at more closely than what asks for it."""
_MAX_MARKS = 200_000
_MAX_FRAMES = 5_000
_MAX_ITEMS = 2_000
_LISTS = ("input", "prompt", "messages", "output", "choices")


def is_readable(data: bytes, *, marks: int = _MAX_MARKS) -> bool:
    """Return whether an object is small enough to parse: by its
    size, and by its brackets and commas.
    """
    return len(data) <= MAX_BYTES and sum(map(data.count, (b",", b"[", b"{"))) <= marks


def take_beginning(stream: bytes) -> bytes:
    """Return the part of a stream's beginning that is read."""
    begins = stream[:MAX_EVENTS]
    frames = begins.split(FRAME_END, _MAX_FRAMES)
    return begins[: -len(frames[-1])] if len(frames) > _MAX_FRAMES and frames[-1] else begins


def parse_shortened(data: bytes) -> object:
    """Return the value of JSON, long lists without their middle; None where it is not read."""
    if not is_readable(data):
        return None
    text = data.decode("utf-8", "replace")
    try:
        body: Any = json.loads(text, strict=False)  # a third of what `parse_document` takes
    except (ValueError, RecursionError):
        body = parse_document(text)
    if isinstance(body, dict):
        body.update({name: _shorten(body[name]) for name in _LISTS if name in body})
    return body


def _shorten(items: object) -> object:
    if not isinstance(items, list) or len(items) <= _MAX_ITEMS:
        return items
    half = _MAX_ITEMS // 2
    left_out = {"type": "left out", "items": len(items) - _MAX_ITEMS}
    return [*items[:half], left_out, *items[-half:]]


_LAST = 8  # events at the end of a stream among which the terminal one is looked for


class _StreamMembers(msgspec.Struct):
    stream_id: msgspec.Raw = jsontext.ABSENT


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """What an answer says. `rest` is the text of a piece that makes no sense alone."""

    outcome: ParsedResponse
    event: str = ""
    rest: str = ""
    note: str = ""


def read_answer(data: bytes, api: Api | None) -> ShownAnswer | None:
    """Read the body of an answer; None where it is neither an object nor a stream."""
    if is_stream(data):
        return _read_stream(data, api or _guess_api(data))
    try:
        return ShownAnswer(read_any(api or _guess_api(data), Transport.HTTP, data))
    except jsontext.UnreadableError:
        return None


def read_message(data: bytes, messages: Sequence[Any], message: Any) -> ShownAnswer:
    """Read a message of a socket; the end of a response may need those before it.

    So does the last message of all, which says how far a response has come.
    """
    body = parse_shortened(data)
    if body is None:
        return ShownAnswer(accumulate([]))
    event = Event(b"", data)
    outcome = accumulate([event])
    is_last = len(messages) > 0 and message is messages[-1]
    is_end = not outcome.items if is_terminal(event) else is_last
    if is_end and isinstance(body, dict):
        outcome = accumulate(
            [*_list_events_before(messages, message, body.get("stream_id")), event]
        )
    event_fields = body if isinstance(body, dict) else {}
    kind, delta = event_fields.get("type"), event_fields.get("delta")
    return ShownAnswer(
        outcome,
        event=kind if isinstance(kind, str) else "",
        rest=delta if isinstance(delta, str) else "",
    )


def _read_stream(data: bytes, api: Api) -> ShownAnswer | None:
    """Read a stream: its terminal event, where that says all, else what comes first."""
    if api is Api.RESPONSES and (outcome := _read_ending(data)) is not None:
        return ShownAnswer(outcome)
    begins = take_beginning(data)
    try:
        outcome = read_any(api, Transport.SSE, begins)
    except jsontext.UnreadableError:
        return None
    cut = len(begins) < len(data)
    note = (
        f"of {format_size(len(data))} the first {format_size(len(begins))} are read" if cut else ""
    )
    return ShownAnswer(outcome, note=note)


def _read_ending(data: bytes) -> ParsedResponse | None:
    end = data[-MAX_BYTES:]
    end = end.replace(b"\r\n", b"\n") if end.endswith(b"\r\n") else end
    last = end.rsplit(FRAME_END, _LAST)[-_LAST:]
    for frame in reversed(last):
        for event in parse_stream(frame):
            if is_terminal(event) and is_readable(event.data, marks=MAX_OF_ANSWER):
                return read_terminal(event)
    return None


def _list_events_before(messages: Sequence[Any], message: Any, lane: object) -> list[Event]:
    """Return the events of a response before its terminal
    message, as far as they are still held.
    """
    events: list[Event] = []
    for content in _list_messages_of_stream(messages, message, lane):
        events.append(Event(b"", content))
        if b'"response.created"' in content[:200]:
            break
    return events[::-1]


def _list_messages_of_stream(
    messages: Sequence[Any], message: Any, lane: object
) -> Iterator[bytes]:
    """Yield the server's messages of one stream before this one, the newest first."""
    at = next((i for i, one in enumerate(messages) if one is message), 0)
    so_far = 0
    for one in reversed(messages[:at]):
        so_far += len(one.content)
        if so_far > MAX_EVENTS:
            return
        if not one.from_client and _read_stream_id(one.content) == lane:
            yield one.content


def _read_stream_id(content: bytes) -> str | None:
    try:
        return jsontext.read_text(jsontext.slice_members(content, _StreamMembers).stream_id)
    except jsontext.UnreadableError:
        return None


def _guess_api(data: bytes) -> Api:
    """Return the API of a body of which nothing else is known."""
    if is_stream(data):
        chunks = DONE in data[-_LAST * 10 :] or b'"chat.completion.chunk"' in data[:1000]
        return Api.CHAT_COMPLETIONS if chunks else Api.RESPONSES
    try:
        return Api.CHAT_COMPLETIONS if is_completion(data) else Api.RESPONSES
    except jsontext.UnreadableError:
        return Api.RESPONSES


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
    lengths = running_totals(
        min(len(turn.text), MAX_SHOWN // 2) + len(turn.label) for turn in turns
    )
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
