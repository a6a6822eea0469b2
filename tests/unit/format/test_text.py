"""Numbers as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from response_store.format.text import format_cost, format_duration, format_money, format_size

SECOND, MINUTE, HOUR = 1000.0, 60_000.0, 3_600_000.0


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (None, "-"),
        (0.4, "0 ms"),
        (999.4, "999 ms"),
        (999.6, "1.0 s"),
        (59.96 * SECOND, "1 min 00 s"),
        (187 * SECOND, "3 min 07 s"),
        (59 * MINUTE, "59 min 00 s"),
        (65 * MINUTE, "1 h 05 min"),
        (23.5 * HOUR, "23 h 30 min"),
        (76 * HOUR, "3 d 04 h"),
    ],
)
def test_a_duration_has_two_units_at_most(milliseconds: float | None, text: str) -> None:
    """The longer, the coarser."""
    assert format_duration(milliseconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**50, "1024.0 TiB")]
)
def test_a_size_has_one_unit(count: int, text: str) -> None:
    """Bytes are told in the largest unit that they fill."""
    assert format_size(count) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "-"),
        (0, "$0.00"),
        (Decimal("0.00009"), "< $0.0001"),
        (Decimal("0.0001"), "$0.0001"),
        (0.0123, "$0.0123"),
        (Decimal("0.99996"), "$1.0000"),
        (1, "$1.00"),
        (12.3, "$12.30"),
        (12345.678, "$12345.68"),
    ],
)
def test_money_has_as_many_digits_as_it_takes(usd: Decimal | float | None, text: str) -> None:
    """Cents from a dollar on, below it a hundredth of one."""
    assert format_money(usd) == text


@pytest.mark.parametrize(
    ("usd", "unknown", "text"),
    [(1.2, 0, "$1.20"), (1.2, 3, "$1.20, 3 unknown"), (None, 3, "3 unknown"), (None, 0, "-")],
)
def test_a_sum_says_of_how_many_it_knows_nothing(
    usd: float | None, unknown: int, text: str
) -> None:
    """What is not known is no zero."""
    assert format_cost(usd, unknown) == text
