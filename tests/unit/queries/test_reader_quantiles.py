"""Quantiles of several groups together, out of what a database gave for each of them."""

from __future__ import annotations

from array import array
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from response_store.queries.reader import QUANTILES, join_quantiles

VALUES = st.lists(st.floats(allow_nan=False) | st.integers(0, 3).map(float), min_size=1)


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_values_are_ranked_over_all_groups(groups: list[list[float]]) -> None:
    """The quantiles are those of all values in one order."""
    numbers = sorted(value for group in groups for value in group)
    expected = tuple(numbers[ceil(part * len(numbers)) - 1] for part in QUANTILES)
    packed = [array("d", sorted(group)).tobytes() for group in groups]
    assert join_quantiles([None, *packed]) == expected


def test_quantiles_alone_can_not_be_joined() -> None:
    """Those of one group are its own; of two groups, without their values, nothing is known."""
    assert join_quantiles([None, [1.0, 2.0]]) == (1.0, 2.0)
    assert join_quantiles([[1.0, 2.0], [3.0, 4.0]]) is None
    assert join_quantiles([None]) == (None, None)
