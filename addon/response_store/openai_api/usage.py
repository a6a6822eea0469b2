"""The tokens that an answer counts, wherever its dialect puts them and whatever it calls them.

Known places: `usage` of the answer, of a choice (Moonshot), of `x_groq`; llama.cpp's `timings`.
Known names: those of either API; cached tokens also as DeepSeek, Kimi and Anthropic call them.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api.outcome import Usage

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
    )


def find_usage(members: Members, choices: Iterable[Members] = ()) -> Raw:
    """Return the usage of an answer or a chunk, as one object; ABSENT where it has none."""
    merged = ABSENT
    for choice in choices:
        merged = merge_usage(merged, choice.get("usage", ABSENT))
    merged = merge_usage(merged, _read_members(members.get("x_groq", ABSENT)).get("usage", ABSENT))
    merged = merge_usage(merged, members.get("usageMetadata", ABSENT))
    merged = merge_usage(merged, members.get("usage", ABSENT))
    return merged if json_text.is_present(merged) else _read_local_usage(members)


def merge_usage(before: Raw, after: Raw, depth: int = 0) -> Raw:
    """Return two usage objects as one; the later one replaces only what it counts itself.

    Zeros, negative numbers and empty objects replace nothing.
    """
    new = _read_members(after)
    if not new or not json_text.is_present(before):
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
    return Raw(json_text.encode_object(merged))


def _replaces(value: Raw) -> bool:
    if not json_text.is_present(value) or bytes(value) in (b'""', b"[]"):
        return False
    number = json_text.read_float(value)
    return number is None or number > 0


def _read_local_usage(members: Members) -> Raw:
    """Return what llama.cpp counts in `timings`, or Ollama beside its answer."""
    timings = _read_members(members.get("timings", ABSENT))
    counted = {"input_tokens": timings.get("prompt_n"), "output_tokens": timings.get("predicted_n")}
    if timings and (cached := json_text.read_int(timings.get("cache_n", ABSENT))):
        counted["cached_tokens"] = Raw(str(cached).encode())
        whole = cached + (json_text.read_int(timings.get("prompt_n", ABSENT)) or 0)
        counted["input_tokens"] = Raw(str(whole).encode())
    for name in ("prompt_eval_count", "eval_count"):
        counted[name] = members.get(name)
    known = {name: value for name, value in counted.items() if value is not None}
    return Raw(json_text.encode_object(known)) if known else ABSENT


def _find_details(counts: Members, names: tuple[str, ...]) -> list[Members]:
    return [_read_members(counts[name]) for name in names if name in counts]


def _find_count(places: list[Members], names: tuple[str, ...]) -> int | None:
    """Return the first number above zero; zero where only that was counted."""
    counts = [_read_number(place[name]) for name in names for place in places if name in place]
    known = [count for count in counts if count is not None]
    return next(filter(None, known), known[0] if known else None)


def _read_number(value: Raw) -> int | None:
    number = json_text.read_int(value)
    if number is None and (text := json_text.read_text(value)):
        number = json_text.read_int(text.strip().encode())
    return number if number is not None and number >= 0 else None


def _read_members(text: Raw) -> Members:
    if bytes(memoryview(text)[:1]) != b"{":
        return {}
    try:
        return json_text.slice_all_members(text)
    except json_text.UnreadableError:
        return {}
