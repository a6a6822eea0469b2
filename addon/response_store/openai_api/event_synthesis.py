"""Make the stream of events that a response could have come in, of the response alone.

Texts are cut into pieces of a few words' length, between characters and never inside an escape.

First the item as it begins, then what fills it, then the item whole.

Source: the API reference, "Streaming events".

It carries what the response holds, to the letter, in the order in which the API sends it. A
response that still runs is told as far as it is, without an end.

Source: the API reference, "Streaming events".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from msgspec import Raw

from response_store import jsontext
from response_store.model.records import State
from response_store.openai_api.responses import read_response
from response_store.openai_api.sse import Event

Members = dict[str, Raw]


def read_members(text: jsontext.Text) -> Members:
    """Return the members of a JSON object; none where it is no object."""
    try:
        return jsontext.slice_all_members(text)
    except jsontext.UnreadableError:
        return {}


def get_object(members: Members, name: str) -> Members:
    """Return the members of the object that is a member; none where it is no object."""
    return read_members(members.get(name, jsontext.ABSENT))


def get_array(members: Members, name: str) -> list[Raw]:
    """Return the elements of the array that is a member; none where it is no array."""
    try:
        return jsontext.slice_elements(members.get(name, jsontext.ABSENT))
    except jsontext.UnreadableError:
        return []


def get_text(members: Members, name: str) -> str | None:
    """Return the value of the string that is a member, else None."""
    return jsontext.read_text(members.get(name, jsontext.ABSENT))


def get_string(members: Members, name: str) -> Raw | None:
    """Return the JSON string that is a member, as it came, else None."""
    text = members.get(name, jsontext.ABSENT)
    return text if bytes(memoryview(text)[:1]) == b'"' else None


def is_present(members: Members, name: str) -> bool:
    """Return whether a member is there and is not null."""
    return jsontext.is_present(members.get(name, jsontext.ABSENT))


EventFields = dict[str, Any]


class SyntheticEvent(NamedTuple):
    """An event without its number. Values of `fields` that are `Raw` are JSON text."""

    kind: str
    fields: EventFields


def number_events(events: Iterable[SyntheticEvent]) -> list[tuple[int, SyntheticEvent]]:
    """Return the events with their sequence numbers, which begin with 0."""
    return list(enumerate(events))


def encode_synthetic_event(number: int, event: SyntheticEvent) -> bytes:
    """Return the SSE frame of a synthetic event. No `Raw` in it may contain a line end."""
    data = jsontext.encode_object({"type": event.kind, "sequence_number": number, **event.fields})
    return b"event: " + event.kind.encode() + b"\ndata: " + data + b"\n\n"


def encode_event(event: Event) -> bytes:
    """Return the SSE frame of an event that was read."""
    lines = [b"event: " + event.name] if event.name else []
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return b"\n".join((*lines, b"", b""))


def remove_line_ends(text: bytes) -> bytes:
    """Return JSON text without line ends, which it has only between tokens."""
    return text.translate(None, b"\r\n")


EMPTY_TEXT, EMPTY_LIST = Raw(b'""'), Raw(b"[]")
_OUTPUT_TEXT = "response.output_text"
_SUMMARY = "response.reasoning_summary"
# The text of a part: its member, and the name of its events.
_TEXTS = {
    "output_text": ("text", _OUTPUT_TEXT),
    "refusal": ("refusal", "response.refusal"),
    "reasoning_text": ("text", "response.reasoning_text"),
}
_PIECE = 64  # characters
_PAIR = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # two escapes, one character
_pieces = re.compile(rf"(?:{_PAIR}|\\u[0-9a-fA-F]{{4}}|\\.|[^\\]){{1,{_PIECE}}}", re.DOTALL).findall


def synthesize_text_events(
    name: str, member: str, members: Members, place: EventFields
) -> Iterator[SyntheticEvent]:
    """Yield the events of the text in a member: `<name>.delta`, repeated, then `<name>.done`."""
    yield from _synthesize_deltas(name, members.get(member, jsontext.ABSENT), place)
    yield _build_done(name, member, members, place)


def synthesize_summary_part_events(part: Raw, place: EventFields) -> Iterator[SyntheticEvent]:
    """Yield the events of a part of a reasoning item's summary."""
    members = read_members(part)
    empty_part = Raw(jsontext.encode_object(members | {"text": EMPTY_TEXT}))
    yield SyntheticEvent(f"{_SUMMARY}_part.added", {**place, "part": empty_part})
    yield from synthesize_text_events(f"{_SUMMARY}_text", "text", members, place)
    yield SyntheticEvent(f"{_SUMMARY}_part.done", {**place, "part": part})


def synthesize_content_part_events(part: Raw, place: EventFields) -> Iterator[SyntheticEvent]:
    """Yield the events of a part of an item's content; what is not text comes whole."""
    members = read_members(part)
    member, name = _TEXTS.get(get_text(members, "type") or "", ("", ""))
    empty_part = members | {member: EMPTY_TEXT} if name else members
    if name == _OUTPUT_TEXT:
        empty_part |= {"annotations": EMPTY_LIST, "logprobs": EMPTY_LIST}
    shown = Raw(jsontext.encode_object(empty_part)) if name else part
    yield SyntheticEvent("response.content_part.added", {**place, "part": shown})
    if name == _OUTPUT_TEXT:
        yield from _synthesize_output_text(members, place)
    elif name:
        yield from synthesize_text_events(name, member, members, place)
    yield SyntheticEvent("response.content_part.done", {**place, "part": part})


def _synthesize_output_text(members: Members, place: EventFields) -> Iterator[SyntheticEvent]:
    """Yield the events of a text with its annotations; its log probabilities come with the end."""
    no_logprobs = {**place, "logprobs": EMPTY_LIST}
    yield from _synthesize_deltas(_OUTPUT_TEXT, members.get("text", jsontext.ABSENT), no_logprobs)
    for index, annotation in enumerate(get_array(members, "annotations")):
        fields = {**place, "annotation_index": index, "annotation": annotation}
        yield SyntheticEvent(f"{_OUTPUT_TEXT}.annotation.added", fields)
    known = members["logprobs"] if is_present(members, "logprobs") else EMPTY_LIST
    yield _build_done(_OUTPUT_TEXT, "text", members, {**place, "logprobs": known})


def _synthesize_deltas(name: str, text: Raw, place: EventFields) -> Iterator[SyntheticEvent]:
    for piece in _pieces(jsontext.strip_quotes(text).decode()):
        yield SyntheticEvent(f"{name}.delta", {**place, "delta": Raw(f'"{piece}"'.encode())})


def _build_done(name: str, member: str, members: Members, place: EventFields) -> SyntheticEvent:
    return SyntheticEvent(
        f"{name}.done", {**place, member: get_string(members, member) or EMPTY_TEXT}
    )


_NULL = Raw(jsontext.NULL)
# How items begin: what fills up later, where it is there at all.
_BEGINNING: dict[str, Members] = {
    "message": {"content": EMPTY_LIST},
    "reasoning": {"summary": EMPTY_LIST, "content": EMPTY_LIST},
    "function_call": {"arguments": EMPTY_TEXT},
    "mcp_call": {"arguments": EMPTY_TEXT, "output": _NULL, "error": _NULL},
    "mcp_list_tools": {"tools": EMPTY_LIST},
    "custom_tool_call": {"input": EMPTY_TEXT},
    "code_interpreter_call": {"code": EMPTY_TEXT, "outputs": _NULL},
    "file_search_call": {"results": _NULL},
    "image_generation_call": {"result": _NULL},
}
# The text of an item: its member, and the name of its events.
_ITEM_TEXTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
    "code_interpreter_call": ("code", "response.code_interpreter_call_code"),
}
# The steps of the API's own tools: before their text, and after it.
_BEFORE = {
    "web_search_call": ("in_progress", "searching"),
    "file_search_call": ("in_progress", "searching"),
    "image_generation_call": ("in_progress", "generating"),
    "code_interpreter_call": ("in_progress",),
    "mcp_call": ("in_progress",),
    "mcp_list_tools": ("in_progress",),
}
_AFTER = {"code_interpreter_call": ("interpreting",)}
_CAN_FAIL = ("mcp_call", "mcp_list_tools")


def synthesize_item_events(index: int, item: bytes) -> Iterator[SyntheticEvent]:
    """Yield the events of an output item (JSON text)."""
    members = read_members(item)
    kind = get_text(members, "type") or ""
    empty_item = Raw(_empty_item(kind, members) if members else item)
    yield SyntheticEvent("response.output_item.added", {"output_index": index, "item": empty_item})
    place = {"item_id": _get_item_id(index, members), "output_index": index}
    yield from _synthesize_steps(kind, _BEFORE.get(kind, ()), place)
    yield from _synthesize_content(kind, members, place)
    yield from _synthesize_steps(kind, _choose_last_steps(kind, members), place)
    yield SyntheticEvent("response.output_item.done", {"output_index": index, "item": Raw(item)})


def _empty_item(kind: str, members: Members) -> bytes:
    beginning = {"status": jsontext.encode_string("in_progress"), **_BEGINNING.get(kind, {})}
    return jsontext.encode_object(
        members | {name: value for name, value in beginning.items() if name in members}
    )


def _get_item_id(index: int, members: Members) -> Raw:
    """Return the id of an item, or a name that is unique in this response."""
    return get_string(members, "id") or jsontext.encode_string(f"item_{index}")


def _synthesize_steps(
    kind: str, steps: tuple[str, ...], place: EventFields
) -> Iterator[SyntheticEvent]:
    for step in steps:
        yield SyntheticEvent(f"response.{kind}.{step}", place)


def _synthesize_content(
    kind: str, members: Members, place: EventFields
) -> Iterator[SyntheticEvent]:
    if kind in _ITEM_TEXTS:
        member, name = _ITEM_TEXTS[kind]
        *deltas, done = synthesize_text_events(name, member, members, place)
        yield from deltas
        # Some versions of the SDK want to know the function here.
        named = {"name": members["name"]} if kind == "function_call" and "name" in members else {}
        yield done._replace(fields={**done.fields, **named})
    if kind == "reasoning":
        for index, part in enumerate(get_array(members, "summary")):
            yield from synthesize_summary_part_events(part, {**place, "summary_index": index})
    if kind in ("reasoning", "message"):
        for index, part in enumerate(get_array(members, "content")):
            yield from synthesize_content_part_events(part, {**place, "content_index": index})


def _choose_last_steps(kind: str, members: Members) -> tuple[str, ...]:
    """Return the last steps of a tool; an end without an event of its own shows in its item."""
    if kind not in _BEFORE:
        return ()
    status = get_text(members, "status")
    failed = status == "failed" or is_present(members, "error")
    if kind in _CAN_FAIL and failed:
        return ("failed",)
    after = _AFTER.get(kind, ())
    return (*after, "completed") if status in ("completed", None) else after


# There is no event for a response that was cancelled; its object says what it is.
_TERMINAL = {
    State.COMPLETED: "response.completed",
    State.INCOMPLETE: "response.incomplete",
    State.CANCELLED: "response.incomplete",
    State.FAILED: "response.failed",
}
# Not known before the end.
_LATER = ("usage", "error", "incomplete_details", "completed_at")


def synthesize_events(text: bytes) -> Iterator[SyntheticEvent]:
    """Yield the events in which a response (JSON text) could have come. Raises UnreadableError."""
    text = remove_line_ends(text)
    outcome = read_response(text)
    whole = {"response": Raw(text)}
    state = outcome.state or (State.FAILED if outcome.error else State.COMPLETED)
    if not state.is_final:
        yield SyntheticEvent("response.created", whole)
        yield SyntheticEvent(f"response.{state.value}", whole)
        return
    created = {"response": _empty_response(text)}
    yield SyntheticEvent("response.created", created)
    yield SyntheticEvent("response.in_progress", created)
    for index, item in enumerate(outcome.items):
        yield from synthesize_item_events(index, item)
    yield SyntheticEvent(_TERMINAL[state], whole)


def _empty_response(text: bytes) -> Raw:
    """Return the response as it was before any output."""
    members = jsontext.slice_all_members(text)
    known = {name: Raw(jsontext.NULL) for name in _LATER if name in members}
    start = {"status": jsontext.encode_string("in_progress"), "output": Raw(b"[]")}
    return Raw(jsontext.encode_object(members | known | start))
