"""The tokens that an answer counts, in the words of either API."""

from __future__ import annotations

from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api.outcome import Usage


def read_usage(text: Raw, asked: str = "input", answered: str = "output") -> Usage:
    """Read a usage object; what is absent or no number is not known.

    `asked` and `answered` are what the API calls the two sides: "input" and "output", or "prompt"
    and "completion".
    """
    counts = _members(text)
    put_in = _members(counts.get(f"{asked}_tokens_details", ABSENT))
    put_out = _members(counts.get(f"{answered}_tokens_details", ABSENT))
    return Usage(
        input_tokens=_count(counts, f"{asked}_tokens"),
        cached_tokens=_count(put_in, "cached_tokens"),
        output_tokens=_count(counts, f"{answered}_tokens"),
        reasoning_tokens=_count(put_out, "reasoning_tokens"),
        total_tokens=_count(counts, "total_tokens"),
    )


def _members(text: Raw) -> dict[str, Raw]:
    try:
        return json_text.all_members(text) if json_text.present(text) else {}
    except json_text.UnreadableError:
        return {}


def _count(members: dict[str, Raw], name: str) -> int | None:
    return json_text.as_int(members.get(name, ABSENT))
