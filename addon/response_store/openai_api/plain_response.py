"""The quick way to read a response object: one typed decoding, for objects of the usual shape.

Anything unusual (another type, an odd number, a lone surrogate, an error) is left to the careful
way in `response_object`, which gives the same result for what this one reads.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.limits import LARGE_TEXT
from response_store.openai_api.outcome import ParsedResponse, Usage
from response_store.store.records import State

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


class _Usage(msgspec.Struct):
    input_tokens: _Count = None
    input_tokens_details: _Details | None = None
    output_tokens: _Count = None
    output_tokens_details: _Details | None = None
    total_tokens: _Count = None


class _Part(msgspec.Struct):
    type: str | None = None
    text: str | None = None


class _Item(msgspec.Struct):
    type: str | None = None
    content: list[_Part] | None = None
    phase: str | None = None


class _Response(msgspec.Struct):
    object: str
    id: str
    created_at: _Count
    output: list[Raw]
    model: str | None = None
    status: str | None = None
    usage: _Usage | None = None
    error: Raw = ABSENT
    incomplete_details: Raw = ABSENT
    previous_response_id: str | None = None
    conversation: Raw = ABSENT


COMMENTARY = "commentary"
"""The phase of messages that the model sends before its answer."""

_decode = msgspec.json.Decoder(_Response).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_NONE = Usage()
_LATEST_SECONDS = 10**11  # above it a time is no number of seconds


def read_plain(text: json_text.Text) -> ParsedResponse | None:
    """Read a response object of the usual shape; None for any other text, and for a large one."""
    if len(memoryview(text)) > LARGE_TEXT:
        return None
    try:
        seen = _decode(text)
        items = [_decode_item(item) for item in seen.output]
    except (msgspec.MsgspecError, RecursionError):
        return None
    unusual = (seen.error, seen.incomplete_details, seen.conversation)
    if not seen.object.startswith("response") or any(map(json_text.is_present, unusual)):
        return None
    if (seen.created_at or 0) >= _LATEST_SECONDS or (seen.usage and not _is_plain(seen.usage)):
        return None
    if any(item.phase == COMMENTARY for item in items):  # stands apart from the answer
        return None
    texts = [text for item in items for text in _read_texts(item)]
    return ParsedResponse(
        state=STATES.get(seen.status or ""),
        response_id=json_text.replace_unstorable(seen.id) or None,
        model=_make_storable(seen.model) or None,
        created_at=seen.created_at,
        response=bytes(text),
        items=tuple(map(bytes, seen.output)),
        output_text=json_text.replace_unstorable("".join(texts)) if texts else None,
        usage=_convert_usage(seen.usage) if seen.usage else _NONE,
        previous_response_id=_make_storable(seen.previous_response_id),
    )


def _read_texts(item: _Item) -> list[str]:
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
    )


def _make_storable(text: str | None) -> str | None:
    return text if text is None else json_text.replace_unstorable(text)
