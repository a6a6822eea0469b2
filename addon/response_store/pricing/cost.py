"""Compute what exchanges cost, from their tokens and the rates that were in force.

A rate holds for a model, a service tier, a time and a length of the input. Within one rate cost is
linear, so that tokens may be added up first and priced afterwards; a `Tariff` says at which times
and lengths a rate ends. What is not known is None, never nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import NamedTuple, Protocol

_PER = Decimal(1_000_000)


class TokenCounts(NamedTuple):
    """Numbers of tokens: `cached` and `cache_write` are parts of `input`. None: not known."""

    input: int | None
    output: int | None
    cached: int | None = None
    cache_write: int | None = None


class Rates(NamedTuple):
    """USD per million tokens. None: there is no price for it."""

    input: Decimal | None
    output: Decimal | None
    cached: Decimal | None = None
    cache_write: Decimal | None = None


def compute_cost(rates: Rates, tokens: TokenCounts) -> Decimal | None:
    """Return what tokens cost in USD; None where a number or a price of them is not known.

    Output that nobody counted is none where the model has no price of output, as of embeddings.
    What was cached or written to the cache costs as input where it has no price of its own.
    """
    if tokens.input is None or (tokens.output is None and rates.output is not None):
        return None
    cached, written = tokens.cached or 0, tokens.cache_write or 0
    parts = (
        (tokens.input - cached - written, rates.input),
        (cached, rates.input if rates.cached is None else rates.cached),
        (written, rates.input if rates.cache_write is None else rates.cache_write),
        (tokens.output or 0, rates.output),
    )
    if any(count < 0 or (count and rate is None) for count, rate in parts):
        return None
    return sum((count * rate for count, rate in parts if rate is not None), Decimal()) / _PER


class Level(NamedTuple):
    """Rates of an input of more than so many tokens."""

    above: int
    rates: Rates


class Period(NamedTuple):
    """Rates from a time in Unix seconds on, by the length of the input, the shortest first.

    The first level is above -1, so that every length has one. Without levels nothing is known.
    """

    since: float
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Tariff:
    """What a model costs at one tier; `periods` are in their order, the first since ever.

    `source` is the name of where that is from.
    """

    source: str
    periods: tuple[Period, ...]

    @classmethod
    def from_rates(cls, source: str, rates: Rates) -> Tariff:
        """Return a tariff that is the same at all times and lengths."""
        return cls(source, (Period(float("-inf"), (Level(-1, rates),)),))

    def find_rates(self, started_at: float, input_tokens: int) -> Rates | None:
        """Return the rates in force; None where they are not known."""
        at = bisect_right(self.periods, started_at, key=lambda period: period.since) - 1
        levels = self.periods[at].levels
        at = bisect_left(levels, input_tokens, key=lambda level: level.above) - 1
        return levels[at].rates if at >= 0 else None

    def list_changes(self, first: float, last: float) -> list[float]:
        """Return the times behind `first`, up to `last`, from which other rates are in force."""
        return [period.since for period in self.periods if first < period.since <= last]

    def list_thresholds(self, min_length: int, max_length: int) -> list[int]:
        """Return the lengths of input above which rates differ, as far as they part these two."""
        above = {level.above for period in self.periods for level in period.levels}
        return sorted(length for length in above if min_length <= length < max_length)


class PriceKey(NamedTuple):
    """What a price hangs on, but for time and length; `tier` is None for the standard one."""

    host: str
    model: str
    tier: str | None = None


class PriceSource(Protocol):
    """Where prices come from."""

    @property
    def name(self) -> str:
        """Return what it is called, with its date where it has one."""

    def find(self, key: PriceKey) -> Tariff | None:
        """Return what a model costs; None where this source does not know."""


class CostSum(NamedTuple):
    """What several exchanges cost in USD, None where of none it is known; and of how many not."""

    usd: Decimal | None = None
    unknown: int = 0

    def plus(self, usd: Decimal | None, unknown: int = 0) -> CostSum:
        """Return the sum with another part, whose cost may be not known."""
        known = [part for part in (self.usd, usd) if part is not None]
        return CostSum(sum(known, Decimal()) if known else None, self.unknown + unknown)

    def minus(self, other: CostSum) -> CostSum:
        """Return the sum without what `other` counts a second time."""
        usd = self.usd if self.usd is None or other.usd is None else self.usd - other.usd
        return CostSum(usd, self.unknown - other.unknown)

    @property
    def cost_usd(self) -> float | None:
        """Return the known part as JSON has it."""
        return None if self.usd is None else float(self.usd)


def sum_costs(costs: Iterable[CostSum]) -> CostSum:
    """Return several sums as one."""
    return reduce(lambda total, cost: total.plus(*cost), costs, CostSum())
