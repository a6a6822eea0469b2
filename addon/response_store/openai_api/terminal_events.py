"""Which events end a response. Read on the event loop, so nothing heavy is imported here.

Source: the API reference, "Streaming events"; `[DONE]` ends the chunks of Chat Completions.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api.outline import outline_if_large
from response_store.openai_api.sse import Event
from response_store.store.records import State

TERMINAL = {
    "response.completed": State.COMPLETED,
    "response.incomplete": State.INCOMPLETE,
    "response.failed": State.FAILED,
    "response.cancelled": State.CANCELLED,
    "response.done": State.COMPLETED,  # OpenRouter, Codex's sockets
}
DONE = b"[DONE]"


class _Data(msgspec.Struct):
    type: Raw = ABSENT


def is_terminal(event: Event) -> bool:
    """Return whether an event ends its response: its data says so, or else its name does."""
    try:
        data = json_text.slice_members(outline_if_large(event.data), _Data)
    except json_text.UnreadableError:
        return False
    return determine_type(event, data.type) in TERMINAL


def determine_type(event: Event, stated: Raw) -> str:
    """Return the type that the event's data states, else the event's name."""
    return json_text.read_text(stated) or event.name.decode(errors="replace")
