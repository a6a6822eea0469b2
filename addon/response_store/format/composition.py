"""Weigh what a request is made of: how many bytes are instructions, tools, messages, results.

What a `previous_response_id` or a conversation carries is not in the request, and not weighed.
Bytes are those of compact JSON in UTF-8, which is about what was sent.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import msgspec

from response_store.openai_api.item_kinds import CALL, ERROR, REASONING, RESULT
from response_store.openai_api.item_texts import Fields, as_name
from response_store.openai_api.items import TurnItem, read_input_items

CONTENTS = ("input", "prompt", "messages", "items")
"""Members of a request that hold what was said."""
_TOOLS = ("tools", "functions")
_SOURCES = {
    "system": "system",
    "developer": "system",
    CALL: "calls",
    RESULT: "results",
    ERROR: "results",
    REASONING: "reasoning",
}


class Composition(NamedTuple):
    """Bytes of a request, by what they are."""

    system: int = 0
    tools: int = 0
    messages: int = 0
    reasoning: int = 0
    calls: int = 0
    results: int = 0
    settings: int = 0

    @property
    def total(self) -> int:
        """Return the bytes of all."""
        return sum(self)


def weigh_request(request: Fields) -> Composition:
    """Return what a request is made of; nothing where it could not be read."""
    weights = dict.fromkeys(Composition._fields, 0)
    for name, value in request.items():
        if name in _TOOLS:
            weights["tools"] += measure(value)
        elif name == "instructions":
            weights["system"] += measure(value)
        elif name not in CONTENTS:
            weights["settings"] += measure(value) + len(name)
        elif isinstance(value, list):
            for item in read_input_items(value):
                weights[classify_item(item)] += _measure_item(item)
        else:
            weights["messages"] += measure(value)
    return Composition(**weights)


def classify_item(item: TurnItem) -> str:
    """Return what an item is of a request, as `Composition` names it."""
    sources = [turn.source for turn in item.turns if not turn.aside]
    if not sources and as_name(item.fields.get("type")) == REASONING:
        return REASONING
    return next((_SOURCES[source] for source in sources if source in _SOURCES), "messages")


def measure(value: object) -> int:
    """Return the bytes of a value as compact JSON."""
    try:
        return len(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        try:
            return len(json.dumps(value, separators=(",", ":")))
        except (TypeError, ValueError, RecursionError):
            return 0


def _measure_item(item: TurnItem) -> int:
    return measure(item.fields) if item.fields else sum(len(turn.text) for turn in item.turns)
