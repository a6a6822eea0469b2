"""Synthetic events for one output item.

First the item as it begins, then what fills it, then the item whole.

Source: the API reference, "Streaming events".
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from response_store import json_text
from response_store.serving.events import EventFields, SyntheticEvent
from response_store.serving.made_parts import (
    EMPTY_LIST,
    EMPTY_TEXT,
    synthesize_content_part_events,
    synthesize_summary_part_events,
    synthesize_text_events,
)
from response_store.serving.slices import (
    Members,
    get_array,
    get_string,
    get_text,
    is_present,
    read_members,
)

_NULL = Raw(json_text.NULL)
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
_TEXTS = {
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
    begun = Raw(_empty_item(kind, members) if members else item)
    yield SyntheticEvent("response.output_item.added", {"output_index": index, "item": begun})
    place = {"item_id": _get_item_id(index, members), "output_index": index}
    yield from _synthesize_steps(kind, _BEFORE.get(kind, ()), place)
    yield from _synthesize_content(kind, members, place)
    yield from _synthesize_steps(kind, _choose_last_steps(kind, members), place)
    yield SyntheticEvent("response.output_item.done", {"output_index": index, "item": Raw(item)})


def _empty_item(kind: str, members: Members) -> bytes:
    beginning = {"status": json_text.encode_string("in_progress"), **_BEGINNING.get(kind, {})}
    return json_text.encode_object(
        members | {name: value for name, value in beginning.items() if name in members}
    )


def _get_item_id(index: int, members: Members) -> Raw:
    """Return the id of an item, or a name that is unique in this response."""
    return get_string(members, "id") or json_text.encode_string(f"item_{index}")


def _synthesize_steps(
    kind: str, steps: tuple[str, ...], place: EventFields
) -> Iterator[SyntheticEvent]:
    for step in steps:
        yield SyntheticEvent(f"response.{kind}.{step}", place)


def _synthesize_content(
    kind: str, members: Members, place: EventFields
) -> Iterator[SyntheticEvent]:
    if kind in _TEXTS:
        member, name = _TEXTS[kind]
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
