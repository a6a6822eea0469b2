"""Texts that a stream carries in pieces: joined, they may hold a secret that no piece holds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from response_store.json_text import check_values
from response_store.openai_api.sse import Event, parse_stream

_PLACES = ("type", "item_id", "output_index", "content_index", "summary_index", "index")


def join_deltas(stream: bytes) -> list[bytes]:
    """Return the texts that the deltas of a stream add up to, each on its own.

    Some servers name each event's item anew, so that they are also joined without regard to what
    changes from event to event. Raises TooManyValuesError.
    """
    pieces: dict[Any, list[str]] = defaultdict(list)
    for event in parse_stream(stream):
        for place, piece in _find_deltas(_decode(event), ()):
            pieces[place].append(piece)
            pieces[_drop_indexes(place)].append(piece)
    return ["".join(each).encode(errors="replace") for each in pieces.values()]


def _drop_indexes(place: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what stays of a place where items and indexes change: the type, and names of
    members.
    """
    return ("kind", place[0], *(name for name in place[len(_PLACES) :] if not name.isdigit()))


def _decode(event: Event) -> Any:
    if b"delta" not in event.data:
        return None
    check_values(event.data)
    try:
        return msgspec.json.decode(event.data)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return json.loads(event.data)
    except (ValueError, RecursionError):
        return None


def _find_deltas(value: Any, place: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], str]]:
    """Yield the texts under `delta`, each with what tells it from the others."""
    if not isinstance(value, dict):
        return
    here = (*place, *(str(value.get(name)) for name in _PLACES))
    if "delta" in value:
        yield from _find_leaves(value["delta"], here)
    for choice in value.get("choices") or () if isinstance(value.get("choices"), list) else ():
        yield from _find_deltas(choice, here)


def _find_leaves(value: Any, place: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _find_leaves(member, (*place, name))
    elif isinstance(value, list):
        for at, member in enumerate(value):
            number = member.get("index", at) if isinstance(member, dict) else at
            yield from _find_leaves(member, (*place, str(number)))
