"""Costs from tokens and rates: what is not known is None, and sums say of how many."""

from __future__ import annotations

from decimal import Decimal

import pytest

from response_store.pricing.cost import (
    CostSum,
    Level,
    Period,
    Rates,
    Tariff,
    TokenCounts,
    compute_cost,
)

RATES = Rates(Decimal(2), Decimal(10), Decimal("0.5"), Decimal("2.5"))
LONG = Rates(Decimal(4), Decimal(20))


@pytest.mark.parametrize(
    ("tokens", "usd"),
    [
        (TokenCounts(1_000_000, 0), "2"),
        (TokenCounts(0, 1_000_000), "10"),
        (TokenCounts(1_000_000, 0, cached=1_000_000), "0.5"),
        (TokenCounts(1_000_000, 0, cached=400_000, cache_write=600_000), "1.7"),
        (TokenCounts(0, 0), "0"),
    ],
)
def test_each_part_of_the_input_has_its_rate(tokens: TokenCounts, usd: str) -> None:
    """What was cached and what was written are parts of the input."""
    assert compute_cost(RATES, tokens) == Decimal(usd)


def test_without_a_rate_of_its_own_the_cache_costs_as_input() -> None:
    """Which is what vendors take that give nothing for it."""
    assert compute_cost(LONG, TokenCounts(1_000_000, 0, 500_000, 500_000)) == 4


@pytest.mark.parametrize(
    ("rates", "tokens"),
    [
        (RATES, TokenCounts(None, 5)),
        (RATES, TokenCounts(5, None)),
        (RATES, TokenCounts(5, 5, cached=6)),
        (RATES, TokenCounts(5, 5, cached=3, cache_write=3)),
        (Rates(Decimal(1), None), TokenCounts(5, 5)),
        (Rates(None, Decimal(1)), TokenCounts(5, 5)),
    ],
)
def test_what_is_missing_makes_the_cost_unknown(rates: Rates, tokens: TokenCounts) -> None:
    """A number or a price that is not there is not nothing."""
    assert compute_cost(rates, tokens) is None


def test_embeddings_have_no_output() -> None:
    """Nobody counts it, and nobody has a price for it."""
    assert compute_cost(Rates(Decimal(1), None), TokenCounts(1_000_000, None)) == 1


def test_a_tariff_finds_the_rates_of_a_time_and_a_length() -> None:
    """A time belongs to what begins with it, a length to what it does not exceed."""
    old = Period(float("-inf"), ())
    new = Period(100, (Level(-1, RATES), Level(272_000, LONG)))
    tariff = Tariff("list", (old, new))
    assert tariff.find_rates(99, 5) is None
    assert tariff.find_rates(100, 0) == RATES
    assert tariff.find_rates(100, 272_000) == RATES
    assert tariff.find_rates(100, 272_001) == LONG
    assert tariff.list_changes(0, 100) == [100]
    assert tariff.list_changes(100, 200) == []
    assert tariff.list_thresholds(0, 272_001) == [272_000]
    assert tariff.list_thresholds(0, 272_000) == []
    assert tariff.list_thresholds(272_001, 300_000) == []


def test_a_sum_keeps_what_is_unknown_apart() -> None:
    """Unknown is a number of exchanges, not of dollars."""
    total = CostSum().plus(None, 2)
    assert total == CostSum(None, 2)
    assert total.cost_usd is None
    total = total.plus(Decimal("0.1")).plus(Decimal("0.2"), 1)
    assert total == CostSum(Decimal("0.3"), 3)
    assert total.cost_usd == 0.3
    assert total.minus(CostSum(Decimal("0.1"), 1)) == CostSum(Decimal("0.2"), 2)
    assert total.minus(CostSum(None, 1)) == CostSum(Decimal("0.3"), 2)
