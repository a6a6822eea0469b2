"""Exchanges in lists: summaries, cursors and pages."""

from __future__ import annotations

import msgspec

OPENING_CHARACTERS = 200


class Summary(msgspec.Struct, frozen=True):
    """An exchange in a list: all columns but its bodies, and `output_start` of its output text."""

    exchange_id: str
    response_id: str | None
    started_at: float
    state: str
    ended_by: str | None
    status_code: int | None
    error_code: str | None
    error_message: str | None
    api: str
    transport: str
    requested_model: str | None
    model: str | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    first_event_ms: float | None
    duration_ms: float | None
    method: str
    scheme: str
    host: str
    port: int | None
    path: str
    user_agent: str | None
    tenant_id: str
    previous_response_id: str | None
    conversation_id: str | None
    reasoning_tokens: int | None
    upstream_request_id: str | None
    recorder_id: str
    output_start: str | None

    @property
    def ended_at(self) -> float:
        """Return the end in Unix seconds; the start where the end is not known."""
        return self.started_at + (self.duration_ms or 0) / 1000


COLUMNS = ", ".join(
    (*Summary.__struct_fields__[:-1], f"substr(output_text, 1, {OPENING_CHARACTERS})")
)
"""What is selected for a `Summary`."""


class Cursor(msgspec.Struct, frozen=True):
    """A place in the order of exchanges. Its text is `started_at,exchange_id`."""

    started_at: float
    exchange_id: str

    def __str__(self) -> str:
        return f"{self.started_at!r},{self.exchange_id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor that `str` gave. Raises ValueError."""
        started_at, comma, exchange_id = text.partition(",")
        if not comma:
            raise ValueError("a cursor reads TIME,EXCHANGE_ID")
        return cls(float(started_at), exchange_id)


class Page(msgspec.Struct, frozen=True):
    """Some exchanges, newest first; `next` is None where there are no older ones."""

    exchanges: tuple[Summary, ...]
    next: Cursor | None


_ID = "exchange_id COLLATE {bytewise}"
_NEWEST = f"ORDER BY started_at DESC, {_ID} DESC LIMIT ?"


def select_newest(condition: str) -> str:
    """Return the statement for the newest exchanges under a
    condition; it takes its values, a limit.
    """
    return f"SELECT {COLUMNS} FROM {{exchanges}} WHERE {condition} {_NEWEST}"


BEFORE_CURSOR = f"(started_at, {_ID}) < (?, ?)"
"""The condition that an exchange stands before a cursor; values: its two parts."""
