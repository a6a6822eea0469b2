"""Read the input of a Responses API request, as the columns `input` and `messages` have it.

It is read when the request comes, and again where the columns were left empty: then the stored body
is all that there is of it. Both go by the same rules, so that both give the same to the letter.

A socket's message may hold its members in `response`. A request that steering messages amount to
has these one after the other.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.openai_api.websocket_messages import STEER

EMPTY_ARRAY = b"[]"


class _Request(msgspec.Struct):
    type: Raw = jsontext.ABSENT
    input: Raw = jsontext.ABSENT
    response: Raw = jsontext.ABSENT


class _Steer(msgspec.Struct):
    input: Raw = jsontext.ABSENT


S = TypeVar("S", bound=msgspec.Struct)


def slice_request(body: bytes, fields: type[S]) -> S:
    """Return members of a request, `response` among them, in which a socket's may have the others.

    Raises UnreadableError.
    """
    seen = jsontext.slice_members(body, fields)
    nested = getattr(seen, "response", jsontext.ABSENT)
    if bytes(memoryview(nested)[:1]) != b"{":
        return seen
    inner = jsontext.slice_members(nested, fields)
    for name in fields.__struct_fields__:
        if getattr(seen, name) is not jsontext.ABSENT:
            setattr(inner, name, getattr(seen, name))
    return inner


def read_input_items(text: Raw) -> bytes | None:
    """Return the input as a JSON array of items; a string is one message of the user.

    None where it is neither an array nor a string.
    """
    if not jsontext.is_present(text):
        return None
    start = bytes(memoryview(text)[:1])
    if start == b"[":
        return bytes(text)
    if start == b'"':
        content = jsontext.encode_array(
            [jsontext.encode_object({"type": "input_text", "text": text})]
        )
        message = {"type": "message", "role": "user", "content": Raw(content)}
        return jsontext.encode_array([jsontext.encode_object(message)])
    return None


def read_steering_items(message: bytes) -> bytes:
    """Return the items of a steering message, separated by commas; empty where there are none."""
    try:
        items = read_input_items(jsontext.slice_members(message, _Steer).input)
    except jsontext.UnreadableError:
        return b""
    return jsontext.strip_brackets(items) if items is not None else b""


def join_steering(messages: list[bytes]) -> bytes | None:
    """Return the items of steering messages as a JSON array; None where there are none."""
    items = [items for message in messages if (items := read_steering_items(message))]
    return jsontext.encode_array(items) if items else None


def read_stored_input(body: bytes) -> bytes:
    """Return what the column `input` holds of a request with this body. Never raises."""
    try:
        jsontext.check_readable(body)
        return _read_whole(jsontext.check_utf8(body)) or EMPTY_ARRAY
    except jsontext.UnreadableError:
        return EMPTY_ARRAY


def _read_whole(body: bytes) -> bytes | None:
    try:
        seen = slice_request(body, _Request)
        is_steering = jsontext.read_text(seen.type) == STEER
        return join_steering([body]) if is_steering else read_input_items(seen.input)
    except jsontext.UnreadableError:
        return join_steering([bytes(message) for message in jsontext.slice_values(body)])


def join_messages(items: bytes, output: tuple[bytes, ...]) -> bytes:
    """Return what the column `messages` holds: input items, then output items, as one array."""
    inner = jsontext.strip_brackets(items)
    parts = [part for item in ((inner, *output) if inner else output) for part in (b",", item)]
    return b"".join((b"[", *parts[1:], b"]"))
