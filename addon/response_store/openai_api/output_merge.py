"""The output of a response: what its terminal object has, and what only its stream had."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api.output_items import read_members

Match = dict[int, int]
_UNSTABLE = ("id", "status", "annotations", "logprobs", "phase", "encrypted_content")
_CONTENT_MEMBERS = ("content", "summary", "arguments", "input", "code", "action", "operation")
_LARGE = 1 << 20  # bytes above which values are compared as they came


def merge_output(
    final: Sequence[bytes], streamed: Sequence[bytes]
) -> tuple[tuple[bytes, ...], bool]:
    """Return the items of both, JSON text each, and whether anything streamed is in none of them.

    Items are the same by id or call_id, else by what they say, else by type and position. The
    final one counts, unless it is poorer: it says nothing where the streamed one did.
    """
    if not final:
        return tuple(streamed), False
    match = _match_items([_Seen(item) for item in final], [_Seen(item) for item in streamed])
    merged = list(final)
    has_lost = False
    for at, other in match.items():
        mine, theirs = _Seen(final[other]).content_key, _Seen(streamed[at]).content_key
        if theirs and not mine:
            merged[other] = streamed[at]
        elif theirs and theirs != mine:
            has_lost = True
    return tuple(_insert_missing(merged, streamed, match)), has_lost


def _insert_missing(merged: list[bytes], streamed: Sequence[bytes], match: Match) -> list[bytes]:
    """Return the items with the streamed ones that have no match, each behind the one before."""
    following: dict[int, list[bytes]] = {}
    last = -1
    for at, item in enumerate(streamed):
        if at in match:
            last = match[at]
        else:
            following.setdefault(last, []).append(item)
    result = following.get(-1, [])
    for at, item in enumerate(merged):
        result += [item, *following.get(at, [])]
    return result


class _Seen:
    """What an item can be known by."""

    def __init__(self, item: bytes) -> None:
        members = read_members(item)
        self.type = json_text.read_text(members.get("type", ABSENT))
        self.id = json_text.read_text(members.get("id", ABSENT))
        self.call_id = json_text.read_text(members.get("call_id", ABSENT))
        self.content_key = _build_comparison_text(
            {name: members[name] for name in _CONTENT_MEMBERS if name in members}
        )


def _match_items(final: list[_Seen], streamed: list[_Seen]) -> Match:
    match: Match = {}
    taken: set[int] = set()

    def pair(how: Any) -> None:
        for at, item in enumerate(streamed):
            if at in match:
                continue
            for other, candidate in enumerate(final):
                if other not in taken and item.type == candidate.type and how(item, candidate):
                    match[at] = other
                    taken.add(other)
                    break

    places = {id(item): at for seen in (final, streamed) for at, item in enumerate(seen)}
    pair(lambda a, b: a.id is not None and a.id == b.id and a.content_key == b.content_key)
    pair(lambda a, b: a.call_id is not None and a.call_id == b.call_id)
    pair(lambda a, b: a.id is not None and a.id == b.id and a.call_id == b.call_id)
    pair(lambda a, b: a.content_key == b.content_key and a.call_id == b.call_id)
    pair(lambda a, b: places[id(a)] == places[id(b)] and a.call_id == b.call_id)
    return match


def _build_comparison_text(members: dict[str, Any]) -> str:
    """Return what an item says as a text to compare; empty where it says nothing."""
    if sum(len(memoryview(value)) for value in members.values()) > _LARGE:
        return hashlib.sha256(b"".join(map(bytes, members.values()))).hexdigest()
    try:
        decoded = {name: json.loads(bytes(value)) for name, value in members.items()}
    except (ValueError, RecursionError):
        return repr(members)
    values = {name: kept for name, value in decoded.items() if (kept := _drop_unstable(value))}
    return json.dumps(values, sort_keys=True) if values else ""


def _drop_unstable(value: Any) -> Any:
    """Return a value without what changes between events, and without what is empty."""
    if isinstance(value, list):
        return [kept for one in value if (kept := _drop_unstable(one))]
    if not isinstance(value, dict):
        return value
    kept = {k: _drop_unstable(v) for k, v in value.items() if k not in _UNSTABLE}
    kept = {k: v for k, v in kept.items() if v}
    return kept if kept.keys() - {"type"} else {}
