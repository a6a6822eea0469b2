"""What a body says of itself, whichever API and transport it came by."""

from __future__ import annotations

from dataclasses import dataclass, field

from response_store.json_text import LongText
from response_store.store.records import State


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, where the answer counts them."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ApiError:
    """An error as the API words it."""

    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """What an answer came to.

    `response` is the API's object in a state it answers for (JSON text), `partial` what could
    be put together of one that was cut off or of chunks; at most one of them is set.
    `items` are the output items, JSON text each. `state` is None where the answer does not say.
    """

    state: State | None = None
    response_id: str | None = None
    model: str | None = None
    created_at: int | None = None
    response: bytes | None = None
    partial: bytes | None = None
    items: tuple[bytes, ...] = ()
    output_text: LongText | None = None
    usage: Usage = field(default_factory=Usage)
    error: ApiError | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None
    terminal: bool = False  # a terminal event said so
    parse_error: str | None = None  # why part of the answer could not be read, where one could not
    lost: str | None = None  # why something that came is in no column, where that is so
