"""Hold what a body says of itself, whichever API and transport it came by: tokens and times among
it.

Known places: `usage` of the answer, of a choice (Moonshot), of `x_groq`; llama.cpp's `timings`.
Known names: those of either API; cached tokens also as DeepSeek, Kimi and Anthropic call them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import Raw, Struct

from response_store import jsontext
from response_store.jsontext import ABSENT, LongText, TooManyValuesError
from response_store.limits import PLACES, VALUES
from response_store.model.records import State


class Usage(Struct, frozen=True):
    """Tokens, where the answer counts them."""

    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    total_tokens: int | None = None
    cache_write_tokens: int | None = None


NO_USAGE = Usage()


class ApiError(Struct, frozen=True):
    """An error as the API words it."""

    code: str | None = None
    message: str | None = None


class ParsedResponse(Struct, frozen=True):
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
    usage: Usage = NO_USAGE
    error: ApiError | None = None
    previous_response_id: str | None = None
    conversation_id: str | None = None
    service_tier: str | None = None
    rate_limits: bytes | None = None  # as a stream tells of them
    terminal: bool = False  # a terminal event said so
    parse_error: str | None = None  # why part of the answer could not be read, where one could not
    lost: str | None = None  # why something that came is in no column, where that is so


Members = dict[str, Raw]
_INPUT = ("input_tokens", "prompt_tokens", "promptTokenCount", "prompt_eval_count")
_OUTPUT = ("output_tokens", "completion_tokens", "candidatesTokenCount", "eval_count")
_TOTAL = ("total_tokens", "totalTokenCount")
_INPUT_DETAILS = ("input_tokens_details", "prompt_tokens_details")
_OUTPUT_DETAILS = ("output_tokens_details", "completion_tokens_details")
_CACHED = (
    "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "num_cached_tokens",
    "cachedContentTokenCount",
)  # fmt: skip
_CACHE_WRITE = ("cache_write_tokens", "cache_creation_input_tokens", "cache_creation_tokens")
_REASONING = ("reasoning_tokens", "thoughtsTokenCount")
_DEPTH = 3  # of details that are merged


def read_usage(text: Raw) -> Usage:
    """Read a usage object; what is absent, negative or no number is not known."""
    counts = _read_members(text)
    put_in = _find_details(counts, _INPUT_DETAILS)
    put_out = _find_details(counts, _OUTPUT_DETAILS)
    return Usage(
        input_tokens=_find_count([counts], _INPUT),
        cached_tokens=_find_count([*put_in, counts], _CACHED),
        output_tokens=_find_count([counts], _OUTPUT),
        reasoning_tokens=_find_count([*put_out, counts], _REASONING),
        total_tokens=_find_count([counts], _TOTAL),
        cache_write_tokens=_find_count([*put_in, counts], _CACHE_WRITE),
    )


def find_usage(members: Members, choices: Iterable[Members] = ()) -> Raw:
    """Return the usage of an answer or a chunk, as one object; ABSENT where it has none."""
    merged = ABSENT
    for choice in choices:
        merged = merge_usage(merged, choice.get("usage", ABSENT))
    merged = merge_usage(merged, _read_members(members.get("x_groq", ABSENT)).get("usage", ABSENT))
    merged = merge_usage(merged, members.get("usageMetadata", ABSENT))
    merged = merge_usage(merged, members.get("usage", ABSENT))
    return merged if jsontext.is_present(merged) else _read_local_usage(members)


def merge_usage(before: Raw, after: Raw, depth: int = 0) -> Raw:
    """Return two usage objects as one; the later one replaces only what it counts itself.

    Zeros, negative numbers and empty objects replace nothing.
    """
    new = _read_members(after)
    if not new or not jsontext.is_present(before):
        return after if new else before
    merged = _read_members(before)
    if not merged:
        return after
    for name, value in new.items():
        if name not in merged:
            merged[name] = value
        elif bytes(memoryview(value)[:1]) == b"{":
            if depth < _DEPTH:
                merged[name] = merge_usage(merged[name], value, depth + 1)
        elif _replaces(value):
            merged[name] = value
    return Raw(jsontext.encode_object(merged))


def _replaces(value: Raw) -> bool:
    if not jsontext.is_present(value) or bytes(value) in (b'""', b"[]"):
        return False
    number = jsontext.read_float(value)
    return number is None or number > 0


def _read_local_usage(members: Members) -> Raw:
    """Return what llama.cpp counts in `timings`, or Ollama beside its answer."""
    timings = _read_members(members.get("timings", ABSENT))
    counted = {"input_tokens": timings.get("prompt_n"), "output_tokens": timings.get("predicted_n")}
    if timings and (cached := jsontext.read_int(timings.get("cache_n", ABSENT))):
        counted["cached_tokens"] = Raw(str(cached).encode())
        whole = cached + (jsontext.read_int(timings.get("prompt_n", ABSENT)) or 0)
        counted["input_tokens"] = Raw(str(whole).encode())
    for name in ("prompt_eval_count", "eval_count"):
        counted[name] = members.get(name)
    known = {name: value for name, value in counted.items() if value is not None}
    return Raw(jsontext.encode_object(known)) if known else ABSENT


def _find_details(counts: Members, names: tuple[str, ...]) -> list[Members]:
    return [_read_members(counts[name]) for name in names if name in counts]


def _find_count(places: list[Members], names: tuple[str, ...]) -> int | None:
    """Return the first number above zero; zero where only that was counted."""
    counts = [_read_number(place[name]) for name in names for place in places if name in place]
    known = [count for count in counts if count is not None]
    return next(filter(None, known), known[0] if known else None)


def _read_number(value: Raw) -> int | None:
    number = jsontext.read_int(value)
    if number is None and (text := jsontext.read_text(value)):
        number = jsontext.read_int(text.strip().encode())
    return number if number is not None and number >= 0 else None


def _read_members(text: Raw) -> Members:
    if bytes(memoryview(text)[:1]) != b"{":
        return {}
    try:
        return jsontext.slice_all_members(text)
    except jsontext.UnreadableError:
        return {}


_LATEST_SECONDS = 10**11  # the year 5138; what is above counts in smaller units
_THOUSAND = 1000


def read_seconds(value: Raw) -> int | None:
    """Read a time as whole Unix seconds: a number of any unit, its text, or an ISO 8601 date."""
    text = jsontext.read_text(value)
    number = jsontext.read_int(value if text is None else text.strip().encode())
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


PLACE = VALUES // PLACES
"""What an item, part, choice or tool call counts as, in members."""


@dataclass(slots=True)
class Held:
    """The members and places that a stream has so far."""

    count: int = 0

    def add(self, members: int) -> None:
        """Count some more. Raises TooManyValuesError."""
        self.count += members
        if self.count > VALUES:
            raise TooManyValuesError("more items, parts and members than are kept")
