"""The list of what a response was asked with.

Items go out as they came in, but for messages in the short form that only requests may have: the
API lists them written out, and the SDK reads nothing else.

Clients page by the last item's id, so each object has one, and no two have the same: an item that
has none, or one that an item before it has, gets one that is made of the response's id and the
item's place. It is the same each time.

Items are sliced, and only their ids are read; of a long list only the page is looked at closer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.capture import request as creation
from response_store.json_text import ABSENT
from response_store.serving.paging import number_cursor, place_after
from response_store.serving.request import InputItems, Order

_BLANK = b" \t\r\n"
_LOST = "\ufffd"  # for what a URL can't say
_ASKED = {"type": "input_text"}
_SAID = {"type": "output_text", "annotations": []}


class _Item(msgspec.Struct):
    id: Raw = ABSENT
    type: Raw = ABSENT
    role: Raw = ABSENT
    content: Raw = ABSENT


class _Named(NamedTuple):
    """An item with the id that it goes out with; None where it is no object and can have none."""

    text: Raw
    id: str | None
    is_made: bool


def items_of(text: str) -> list[Raw]:
    """The items in a stored input. Raises UnreadableError.

    It is an array where we have written it; other programs also write what the request said.
    """
    given = text.encode(errors="replace").strip(_BLANK)
    if given.startswith(b"["):
        return json_text.elements(given)
    slices = json_text.elements(b"[" + given + b"]")
    if len(slices) != 1:
        raise json_text.UnreadableError("not one JSON value")
    if not json_text.present(slices[0]):
        return []
    array = creation.input_items(slices[0])
    return slices if array is None else json_text.elements(array)


def item_list(asked: InputItems, items: Sequence[Raw]) -> bytes:
    """A page of items as the API's list object. Raises CursorError."""
    named = _named(items, asked.id)
    if asked.order is Order.DESCENDING:
        named.reverse()
    names = [item.id for item in named]
    start = place_after(asked.after, names, asked.limit)
    page = named[start : start + asked.limit]
    has_more = start + len(page) < len(named) and bool(page)
    last = page[-1].id if page else None
    if last is None and has_more:
        last = number_cursor(start + len(page), names)
    return json_text.object_of(
        {
            "object": "list",
            "data": [_shown(item) for item in page],
            "first_id": _string(page[0].id if page else None),
            "last_id": _string(last),
            "has_more": has_more,
        }
    )


def _named(items: Sequence[Raw], response_id: str) -> list[_Named]:
    own = [_own_id(item) for item in items]
    taken, seen = set(own), set[str]()
    whose = hashlib.sha256(response_id.encode()).hexdigest()[:24]
    named = []
    for place, (item, name) in enumerate(zip(items, own, strict=True)):
        if name is None or (name and name not in seen):
            named.append(_Named(item, name, is_made=False))
        else:
            named.append(_Named(item, _made_id(whose, place, taken), is_made=True))
        seen.add(name or "")
    return named


def _own_id(item: Raw) -> str | None:
    """The id of an item, empty where it has none of use; None for what is no object."""
    if not _is_object(item):
        return None
    name = json_text.as_text(json_text.members(item, _Item).id) or ""
    return "" if _LOST in name else name


def _made_id(whose: str, place: int, taken: set[str | None]) -> str:
    made = f"item_{whose}_{place}"
    while made in taken:
        made += "_"
    return made


def _shown(item: _Named) -> Raw:
    """An item as it goes out: with its id, and written out where it came in the short form."""
    if item.id is None:
        return item.text
    more = _written_out(json_text.members(item.text, _Item))
    if item.is_made:
        more = {"id": json_text.string(item.id), **more}
    if not more:
        return item.text
    return Raw(json_text.object_of(more | json_text.all_members(item.text) | more))


def _written_out(seen: _Item) -> dict[str, Raw]:
    """What a message lacks: it may come without its type, and with a text in place of parts."""
    kind = json_text.as_text(seen.type)
    if kind not in ("message", None) or not json_text.present(seen.role):
        return {}
    more = {} if kind else {"type": json_text.string("message")}
    if bytes(memoryview(seen.content)[:1]) == b'"':
        part = _SAID if json_text.as_text(seen.role) == "assistant" else _ASKED
        content = json_text.array([json_text.object_of({**part, "text": seen.content})])
        more["content"] = Raw(content)
    return more


def _is_object(item: Raw) -> bool:
    return bytes(memoryview(item)[:1]) == b"{"


def _string(text: str | None) -> Raw | None:
    return None if text is None else json_text.string(text)
