"""Tokens of exchanges, and their sums."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from response_store.telling.bodies import parse_document
from response_store.telling.figures import format_number

if TYPE_CHECKING:
    from response_store.store.lookup import LookupResult
    from response_store.store.records import ExchangeRow


class Tokens(NamedTuple):
    """Counts of tokens, None where nothing is known. `cached` and `reasoning` are parts."""

    input: int | None = None
    cached: int | None = None
    output: int | None = None
    reasoning: int | None = None

    @classmethod
    def of(cls, row: ExchangeRow) -> Tokens:
        """Return the tokens of an exchange."""
        return cls(row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens)

    def __str__(self) -> str:
        """Return `120 in (64 cached), 45 out (20 reasoning)`; nothing where neither is known."""
        if self.input is None and self.output is None:
            return ""
        cached = f" ({self.cached} cached)" if self.cached else ""
        reasoning = f" ({self.reasoning} reasoning)" if self.reasoning else ""
        return (
            f"{format_number(self.input)} in{cached}, {format_number(self.output)} out{reasoning}"
        )


def count_tokens(entry: LookupResult) -> Tokens:
    """Return the tokens of the row or, where that counts none, those that the response names.

    The row of a response that was asked for once more counts none, as another row has them.
    """
    counted = Tokens.of(entry.exchange) if entry.exchange else Tokens()
    if str(counted) or entry.response is None:
        return counted
    usage = _get_member(parse_document(entry.response.response_object), "usage")
    return Tokens(
        _count(usage, "input_tokens"),
        _count(_get_member(usage, "input_tokens_details"), "cached_tokens"),
        _count(usage, "output_tokens"),
        _count(_get_member(usage, "output_tokens_details"), "reasoning_tokens"),
    )


def sum_tokens(counts: Iterable[Tokens]) -> Tokens:
    """Return the sum of what is known."""
    return Tokens(*(_sum(column) for column in zip(*counts, strict=True)))


def _sum(column: Iterable[int | None]) -> int | None:
    known = [count for count in column if count is not None]
    return sum(known) if known else None


def _get_member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _count(usage: object, name: str) -> int | None:
    value = _get_member(usage, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
