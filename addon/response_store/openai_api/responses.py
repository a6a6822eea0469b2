"""Read the object of the Responses API: what the columns need of it; the text is kept.

Source: the API reference, "The response object"; dialects of vLLM, Azure and others leave
members out or give them other types, so every member is optional and of any type here.

Anything unusual (another type, an odd number, a lone surrogate, an error) is left to the careful
way in `response_object`, which gives the same result for what this one reads.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from response_store import jsontext
from response_store.limits import LARGE_TEXT
from response_store.model.records import State
from response_store.openai_api.error_body import read_error_value
from response_store.openai_api.outcome import (
    ApiError,
    ParsedResponse,
    Usage,
    read_seconds,
    read_usage,
)

STATES = {
    "queued": State.QUEUED,
    "in_progress": State.IN_PROGRESS,
    "completed": State.COMPLETED,
    "incomplete": State.INCOMPLETE,
    "failed": State.FAILED,
    "cancelled": State.CANCELLED,
}
_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)] | None


class _Details(msgspec.Struct):
    cached_tokens: _Count = None
    reasoning_tokens: _Count = None
    cache_write_tokens: _Count = None


class _Usage(msgspec.Struct):
    input_tokens: _Count = None
    input_tokens_details: _Details | None = None
    output_tokens: _Count = None
    output_tokens_details: _Details | None = None
    total_tokens: _Count = None


class _PlainPart(msgspec.Struct):
    type: str | None = None
    text: str | None = None


class _PlainItem(msgspec.Struct):
    type: str | None = None
    content: list[_PlainPart] | None = None
    phase: str | None = None


class _PlainResponse(msgspec.Struct):
    object: str
    id: str
    created_at: _Count
    output: list[Raw]
    model: str | None = None
    status: str | None = None
    usage: _Usage | None = None
    error: None = None
    incomplete_details: None = None
    previous_response_id: str | None = None
    conversation: None = None
    service_tier: str | None = None


COMMENTARY = "commentary"
"""The phase of messages that the model sends before its answer."""

_decode = msgspec.json.Decoder(_PlainResponse).decode
_decode_item = msgspec.json.Decoder(_PlainItem).decode
_NONE = Usage()
_LATEST_SECONDS = 10**11  # above it a time is no number of seconds


def read_plain(text: jsontext.Text) -> ParsedResponse | None:
    """Read a response object of the usual shape; None for any other text, and for a large one."""
    if len(memoryview(text)) > LARGE_TEXT:
        return None
    try:
        seen = _decode(text)
        items = [_decode_item(item) for item in seen.output]
    except (msgspec.MsgspecError, RecursionError):
        return None
    if not seen.object.startswith("response"):
        return None
    if (seen.created_at or 0) >= _LATEST_SECONDS or (seen.usage and not _is_plain(seen.usage)):
        return None
    if any(item.phase == COMMENTARY for item in items):  # stands apart from the answer
        return None
    texts = [text for item in items for text in _read_texts(item)]
    return ParsedResponse(
        state=STATES.get(seen.status or ""),
        response_id=jsontext.replace_unstorable(seen.id) or None,
        model=_make_storable(seen.model) or None,
        created_at=seen.created_at,
        response=bytes(text),
        items=tuple(map(bytes, seen.output)),
        output_text=jsontext.replace_unstorable("".join(texts)) if texts else None,
        usage=_convert_usage(seen.usage) if seen.usage else _NONE,
        previous_response_id=_make_storable(seen.previous_response_id),
        service_tier=_make_storable(seen.service_tier) or None,
    )


def _read_texts(item: _PlainItem) -> list[str]:
    if item.type != "message" or item.content is None:
        return []
    return [p.text for p in item.content if p.type == "output_text" and p.text is not None]


def _is_plain(usage: _Usage) -> bool:
    """Return whether the tokens stand where the API has them; other names are not looked at."""
    return bool(usage.input_tokens and usage.output_tokens and usage.input_tokens_details)


def _convert_usage(seen: _Usage) -> Usage:
    put_in, put_out = seen.input_tokens_details, seen.output_tokens_details
    return Usage(
        seen.input_tokens,
        put_in.cached_tokens if put_in else None,
        seen.output_tokens,
        put_out.reasoning_tokens if put_out else None,
        seen.total_tokens,
        put_in.cache_write_tokens if put_in else None,
    )


def _make_storable(text: str | None) -> str | None:
    return text if text is None else jsontext.replace_unstorable(text)


_ENVELOPES = ("response", "data", "result", "body")


class _Response(msgspec.Struct):
    object: Raw = jsontext.ABSENT
    id: Raw = jsontext.ABSENT
    created_at: Raw = jsontext.ABSENT
    model: Raw = jsontext.ABSENT
    status: Raw = jsontext.ABSENT
    output: Raw = jsontext.ABSENT
    usage: Raw = jsontext.ABSENT
    error: Raw = jsontext.ABSENT
    incomplete_details: Raw = jsontext.ABSENT
    previous_response_id: Raw = jsontext.ABSENT
    conversation: Raw = jsontext.ABSENT
    service_tier: Raw = jsontext.ABSENT


class _Incomplete(msgspec.Struct):
    reason: Raw = jsontext.ABSENT


class _Named(msgspec.Struct):
    id: Raw = jsontext.ABSENT


class _Item(msgspec.Struct):
    type: Raw = jsontext.ABSENT
    content: Raw = jsontext.ABSENT
    phase: Raw = jsontext.ABSENT


class _Part(msgspec.Struct):
    type: Raw = jsontext.ABSENT
    text: Raw = jsontext.ABSENT


def read_response(text: jsontext.Text, more_items: tuple[bytes, ...] = ()) -> ParsedResponse:
    """Read a response object; `more_items` stand in where its own `output` is empty.

    Raises UnreadableError when `text` is no JSON object.
    """
    plain = read_plain(text)
    if plain is not None and (plain.items or not more_items):
        return plain
    return read_carefully(text, more_items)


def read_carefully(text: jsontext.Text, more_items: tuple[bytes, ...] = ()) -> ParsedResponse:
    """Read a response object of any shape, as `read_response` does."""
    seen = jsontext.slice_members(text, _Response)
    items = _slice_items(seen.output) or more_items
    return ParsedResponse(
        state=STATES.get(jsontext.read_text(seen.status) or ""),
        response_id=jsontext.read_text(seen.id) or None,
        model=jsontext.read_text(seen.model) or None,
        created_at=read_seconds(seen.created_at),
        response=bytes(text),
        items=items,
        output_text=join_output_text(items),
        usage=read_usage(seen.usage),
        error=read_error_value(seen.error) or _read_incomplete(seen.incomplete_details),
        previous_response_id=jsontext.read_text(seen.previous_response_id),
        conversation_id=read_conversation(seen.conversation),
        service_tier=jsontext.read_text(seen.service_tier) or None,
    )


def is_response(text: jsontext.Text) -> bool:
    """Return whether a JSON object is a response, by what it says of itself or by what it holds."""
    seen = jsontext.slice_members(text, _Response)
    kind = jsontext.read_text(seen.object)
    if kind is not None:
        return kind.startswith("response")
    return jsontext.is_present(seen.id) and jsontext.is_present(seen.output)


def unwrap_response(members: dict[str, Raw]) -> Raw | None:
    """Return the response in an envelope; None where the members are no envelope of one."""
    if "output" in members or "id" in members:
        return None
    for name in _ENVELOPES:
        value = members.get(name, jsontext.ABSENT)
        if bytes(memoryview(value)[:1]) == b"{" and is_response(value):
            return value
    return None


def read_conversation(text: jsontext.Text) -> str | None:
    """Read `conversation`: an id, or an object with one."""
    if not jsontext.is_present(text):
        return None
    try:
        return jsontext.read_text(jsontext.slice_members(text, _Named).id)
    except jsontext.UnreadableError:
        return jsontext.read_text(text)


def join_output_text(items: tuple[bytes, ...] | list[bytes]) -> jsontext.LongText | None:
    """Return the texts of all messages, as the SDK's `output_text`; None where there is none.

    What the model marks as commentary stands behind its answer, with an empty line before.
    """
    texts: list[jsontext.LongText] = []
    comments: list[jsontext.LongText] = []
    for item in items:
        seen, parts = _read_item_texts(item)
        if parts and jsontext.read_text(seen.phase) == COMMENTARY:
            comments.append(jsontext.join_texts(parts))
        else:
            texts += parts
    if not (texts or comments):
        return None
    parted: list[jsontext.LongText] = []
    for block in (jsontext.join_texts(texts), *comments):
        if block:
            parted += ["\n\n", block] if parted else [block]
    return jsontext.join_texts(parted)


def _slice_items(output: Raw) -> tuple[bytes, ...]:
    if not jsontext.is_present(output):
        return ()
    try:
        return tuple(bytes(item) for item in jsontext.slice_elements(output))
    except jsontext.UnreadableError:
        return ()


def _read_item_texts(item: bytes) -> tuple[_Item, list[jsontext.LongText]]:
    """Return a message and its texts; none where it is no message."""
    try:
        seen = jsontext.slice_members(item, _Item)
        if jsontext.read_text(seen.type) != "message" or not jsontext.is_present(seen.content):
            return _Item(), []
        parts = [
            jsontext.slice_members(part, _Part) for part in jsontext.slice_elements(seen.content)
        ]
    except jsontext.UnreadableError:
        return _Item(), []
    shown = (part for part in parts if jsontext.read_text(part.type) == "output_text")
    texts = (jsontext.read_long_text(part.text) for part in shown)
    return seen, [text for text in texts if text is not None]


def _read_incomplete(text: Raw) -> ApiError | None:
    if not jsontext.is_present(text):
        return None
    try:
        return ApiError(jsontext.read_text(jsontext.slice_members(text, _Incomplete).reason))
    except jsontext.UnreadableError:
        return None
