"""List what a response was asked with, in pages.

Where every name is different, a cursor means one place, and each page begins where the one before
has ended: so paging comes to an end, and no item comes twice.

Items go out as they came in, but for messages in the short form that only requests may have: the
API lists them written out, and the SDK reads nothing else.

Clients page by the last item's id, so each object has one, and no two have the same: an item that
has none, or one that an item before it has, gets one that is made of the response's id and the
item's place. It is the same each time.

Items are sliced, and only their ids are read; of a long list only the page is looked at closer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.openai_api.request_input import read_input_items
from response_store.serving.request import GetInputItems, Order, parse_digits

_MAX = 2**64 - 1


class CursorError(ValueError):
    """A cursor means no place in a list. The message is the one that the client gets."""


def find_page_start(cursor: str | None, names: Sequence[str | None], limit: int) -> int:
    """Return the index at which the page begins in a list with these ids; it may be beyond the end.

    `cursor` is an id or, if it is none of them, the number of items to skip. Raises CursorError.
    """
    if cursor is None:
        return 0
    if cursor in names:
        return names.index(cursor) + 1
    if not (cursor.isascii() and cursor.isdigit()):
        raise CursorError("Invalid value for 'after': invalid input_items cursor.")
    number = parse_digits(cursor, _MAX - limit)
    if number is None:
        raise CursorError("Invalid value for 'after': invalid input_items cursor: offset overflow.")
    return number


def number_cursor(place: int, names: Collection[str | None]) -> str:
    """Return the cursor of an index, written so that it equals no id."""
    cursor = str(place)
    while cursor in names:
        cursor = f"0{cursor}"
    return cursor


_BLANK = b" \t\r\n"
_LOST = "\ufffd"  # for what a URL can't say
_ASKED = {"type": "input_text"}
_SAID = {"type": "output_text", "annotations": []}


class _InputItem(msgspec.Struct):
    id: Raw = jsontext.ABSENT
    type: Raw = jsontext.ABSENT
    role: Raw = jsontext.ABSENT
    content: Raw = jsontext.ABSENT


class _ItemId(msgspec.Struct):
    id: str | None = None


_decode_ids = msgspec.json.Decoder(list[_ItemId]).decode


class _ItemNames(NamedTuple):
    """The ids that items go out with, None where one is no object and can have none.

    `generated` are the places of those that are not the item's own.
    """

    ids: list[str | None]
    generated: set[int]


def split_items(text: str) -> list[Raw]:
    """Return the items of a stored input. Raises UnreadableError.

    It is an array where we have written it; other programs also write what the request said.
    """
    data = text.encode(errors="replace").strip(_BLANK)
    jsontext.check_values(data)
    if data.startswith(b"["):
        return jsontext.slice_elements(data)
    slices = jsontext.slice_elements(b"[" + data + b"]")
    if len(slices) != 1:
        raise jsontext.UnreadableError("not one JSON value")
    if not jsontext.is_present(slices[0]):
        return []
    array = read_input_items(slices[0])
    return slices if array is None else jsontext.slice_elements(array)


def build_item_list(request: GetInputItems, items: Sequence[Raw]) -> bytes:
    """Return a page of items as the API's list object. Raises CursorError."""
    names = _name_items(items, request.id)
    step = -1 if request.order is Order.DESCENDING else 1
    ids = names.ids[::step]
    start = find_page_start(request.after, ids, request.limit)
    page = range(len(ids))[::step][start : start + request.limit]
    has_more = start + len(page) < len(ids) and bool(page)
    last = names.ids[page[-1]] if page else None
    if last is None and has_more:
        last = number_cursor(start + len(page), ids)
    return jsontext.encode_object(
        {
            "object": "list",
            "data": [
                _complete_item(items[at], names.ids[at], at in names.generated) for at in page
            ],
            "first_id": _encode_string(names.ids[page[0]] if page else None),
            "last_id": _encode_string(last),
            "has_more": has_more,
        }
    )


def _name_items(items: Sequence[Raw], response_id: str) -> _ItemNames:
    own = _read_ids(items)
    taken, seen, generated = set(own), set[str | None](), set[int]()
    if len(taken) == len(own) and "" not in taken:
        return _ItemNames(own, generated)
    digest = hashlib.sha256(response_id.encode()).hexdigest()[:24]
    for place, name in enumerate(own):
        if name == "" or (name is not None and name in seen):
            own[place] = _build_id(digest, place, taken)
            generated.add(place)
        seen.add(name)
    return _ItemNames(own, generated)


def _read_ids(items: Sequence[Raw]) -> list[str | None]:
    """Return the ids that the items bring, all decoded at once where every one is as expected."""
    try:
        decoded = _decode_ids(jsontext.encode_array(items))
    except (msgspec.MsgspecError, RecursionError):
        return [_read_id(item) for item in items]
    return [_drop_unspeakable(jsontext.replace_unstorable(item.id or "")) for item in decoded]


def _read_id(item: Raw) -> str | None:
    """Return the id of an item, empty where it has no usable one; None for what is no object."""
    if not _is_object(item):
        return None
    return _drop_unspeakable(jsontext.read_text(jsontext.slice_members(item, _InputItem).id) or "")


def _drop_unspeakable(name: str) -> str:
    return "" if _LOST in name else name


def _build_id(digest: str, place: int, taken: set[str | None]) -> str:
    name = f"item_{digest}_{place}"
    while name in taken:
        name += "_"
    return name


def _complete_item(item: Raw, name: str | None, is_generated: bool) -> Raw:
    """Return an item as it is sent: with its id, and expanded where it came in the short form."""
    if name is None:
        return item
    more = _expand_short_form(jsontext.slice_members(item, _InputItem))
    if is_generated:
        more = {"id": jsontext.encode_string(name), **more}
    if not more:
        return item
    return Raw(jsontext.encode_object(more | jsontext.slice_all_members(item) | more))


def _expand_short_form(seen: _InputItem) -> dict[str, Raw]:
    """Return the members that a message in the short form lacks: its type, its text as parts."""
    kind = jsontext.read_text(seen.type)
    if kind not in ("message", None) or not jsontext.is_present(seen.role):
        return {}
    more = {} if kind else {"type": jsontext.encode_string("message")}
    if bytes(memoryview(seen.content)[:1]) == b'"':
        part = _SAID if jsontext.read_text(seen.role) == "assistant" else _ASKED
        content = jsontext.encode_array([jsontext.encode_object({**part, "text": seen.content})])
        more["content"] = Raw(content)
    return more


def _is_object(item: Raw) -> bool:
    return bytes(memoryview(item)[:1]) == b"{"


def _encode_string(text: str | None) -> Raw | None:
    return None if text is None else jsontext.encode_string(text)
