"""Synthetic events for a whole response.

It carries what the response holds, to the letter, in the order in which the API sends it. A
response that still runs is told as far as it is, without an end.

Source: the API reference, "Streaming events".
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw

from response_store import json_text
from response_store.openai_api.response_object import read_response
from response_store.serving.events import SyntheticEvent, remove_line_ends
from response_store.serving.made_items import synthesize_item_events
from response_store.store.records import State

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
    begun = {"response": _empty_response(text)}
    yield SyntheticEvent("response.created", begun)
    yield SyntheticEvent("response.in_progress", begun)
    for index, item in enumerate(outcome.items):
        yield from synthesize_item_events(index, item)
    yield SyntheticEvent(_TERMINAL[state], whole)


def _empty_response(text: bytes) -> Raw:
    """Return the response as it was before any output."""
    members = json_text.slice_all_members(text)
    known = {name: Raw(json_text.NULL) for name in _LATER if name in members}
    start = {"status": json_text.encode_string("in_progress"), "output": Raw(b"[]")}
    return Raw(json_text.encode_object(members | known | start))
