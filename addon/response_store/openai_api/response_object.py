"""The Responses API's object: read what the columns need, keep the text.

Source: the API reference, "The response object"; dialects of vLLM, Azure and others leave
members out or give them other types, so every member is optional and of any type here.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api.api_error import read_error_value
from response_store.openai_api.outcome import ApiError, ParsedResponse
from response_store.openai_api.plain_response import COMMENTARY, STATES, read_plain
from response_store.openai_api.timestamps import read_seconds
from response_store.openai_api.usage import read_usage

_ENVELOPES = ("response", "data", "result", "body")


class _Response(msgspec.Struct):
    object: Raw = ABSENT
    id: Raw = ABSENT
    created_at: Raw = ABSENT
    model: Raw = ABSENT
    status: Raw = ABSENT
    output: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT
    incomplete_details: Raw = ABSENT
    previous_response_id: Raw = ABSENT
    conversation: Raw = ABSENT


class _Incomplete(msgspec.Struct):
    reason: Raw = ABSENT


class _Named(msgspec.Struct):
    id: Raw = ABSENT


class _Item(msgspec.Struct):
    type: Raw = ABSENT
    content: Raw = ABSENT
    phase: Raw = ABSENT


class _Part(msgspec.Struct):
    type: Raw = ABSENT
    text: Raw = ABSENT


def read_response(text: json_text.Text, more_items: tuple[bytes, ...] = ()) -> ParsedResponse:
    """Read a response object; `more_items` stand in where its own `output` is empty.

    Raises UnreadableError when `text` is no JSON object.
    """
    plain = read_plain(text)
    if plain is not None and (plain.items or not more_items):
        return plain
    return read_carefully(text, more_items)


def read_carefully(text: json_text.Text, more_items: tuple[bytes, ...] = ()) -> ParsedResponse:
    """Read a response object of any shape, as `read_response` does."""
    seen = json_text.slice_members(text, _Response)
    items = _slice_items(seen.output) or more_items
    return ParsedResponse(
        state=STATES.get(json_text.read_text(seen.status) or ""),
        response_id=json_text.read_text(seen.id) or None,
        model=json_text.read_text(seen.model) or None,
        created_at=read_seconds(seen.created_at),
        response=bytes(text),
        items=items,
        output_text=join_output_text(items),
        usage=read_usage(seen.usage),
        error=read_error_value(seen.error) or _read_incomplete(seen.incomplete_details),
        previous_response_id=json_text.read_text(seen.previous_response_id),
        conversation_id=read_conversation(seen.conversation),
    )


def is_response(text: json_text.Text) -> bool:
    """Return whether a JSON object is a response, by what it says of itself or by what it holds."""
    seen = json_text.slice_members(text, _Response)
    kind = json_text.read_text(seen.object)
    if kind is not None:
        return kind.startswith("response")
    return json_text.is_present(seen.id) and json_text.is_present(seen.output)


def unwrap_response(members: dict[str, Raw]) -> Raw | None:
    """Return the response in an envelope; None where the members are no envelope of one."""
    if "output" in members or "id" in members:
        return None
    for name in _ENVELOPES:
        value = members.get(name, ABSENT)
        if bytes(memoryview(value)[:1]) == b"{" and is_response(value):
            return value
    return None


def read_conversation(text: json_text.Text) -> str | None:
    """Read `conversation`: an id, or an object with one."""
    if not json_text.is_present(text):
        return None
    try:
        return json_text.read_text(json_text.slice_members(text, _Named).id)
    except json_text.UnreadableError:
        return json_text.read_text(text)


def join_output_text(items: tuple[bytes, ...] | list[bytes]) -> json_text.LongText | None:
    """Return the texts of all messages, as the SDK's `output_text`; None where there is none.

    What the model marks as commentary stands behind its answer, with an empty line before.
    """
    texts: list[json_text.LongText] = []
    comments: list[json_text.LongText] = []
    for item in items:
        seen, parts = _read_item_texts(item)
        if parts and json_text.read_text(seen.phase) == COMMENTARY:
            comments.append(json_text.joined_text(parts))
        else:
            texts += parts
    if not (texts or comments):
        return None
    parted: list[json_text.LongText] = []
    for block in (json_text.joined_text(texts), *comments):
        if block:
            parted += ["\n\n", block] if parted else [block]
    return json_text.joined_text(parted)


def _slice_items(output: Raw) -> tuple[bytes, ...]:
    if not json_text.is_present(output):
        return ()
    try:
        return tuple(bytes(item) for item in json_text.slice_elements(output))
    except json_text.UnreadableError:
        return ()


def _read_item_texts(item: bytes) -> tuple[_Item, list[json_text.LongText]]:
    """Return a message and its texts; none where it is no message."""
    try:
        seen = json_text.slice_members(item, _Item)
        if json_text.read_text(seen.type) != "message" or not json_text.is_present(seen.content):
            return _Item(), []
        parts = [
            json_text.slice_members(part, _Part) for part in json_text.slice_elements(seen.content)
        ]
    except json_text.UnreadableError:
        return _Item(), []
    shown = (part for part in parts if json_text.read_text(part.type) == "output_text")
    texts = (json_text.as_long_text(part.text) for part in shown)
    return seen, [text for text in texts if text is not None]


def _read_incomplete(text: Raw) -> ApiError | None:
    if not json_text.is_present(text):
        return None
    try:
        return ApiError(json_text.read_text(json_text.slice_members(text, _Incomplete).reason))
    except json_text.UnreadableError:
        return None
