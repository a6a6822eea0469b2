"""Times as servers write them, as seconds."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Raw

from response_store import json_text

_LATEST_SECONDS = 10**11  # the year 5138; what is above counts in smaller units
_THOUSAND = 1000


def read_seconds(value: Raw) -> int | None:
    """Read a time as whole Unix seconds: a number of any unit, its text, or an ISO 8601 date."""
    text = json_text.read_text(value)
    number = json_text.read_int(value if text is None else text.strip().encode())
    if number is None:
        return _read_date(text) if text else None
    while number >= _LATEST_SECONDS:
        number //= _THOUSAND
    return number


def _read_date(text: str) -> int | None:
    try:
        date = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
