"""The page of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.web.serving import Served


def test_numbers(served: Served) -> None:
    """Sums, charts over time, and a line a group, all of the same exchanges."""
    page = served.get("statistics", since="all")
    assert "<dd>2.6k</dd>" in page
    assert page.count('class="chart time"') == 8
    assert page.count("<tr><td") == 3
    assert 'href="' in page.partition("<tbody>")[2]


def test_costs(served: Served) -> None:
    """The known sum, of how many it is not known, over time and by model; whose prices."""
    page = served.get("statistics", since="all")
    # 1,200 at $10 and $1, 1,400 as well, and 50 at $100; two without tokens, and one runs
    assert "<dd>$0.0148 <small>3 unknown</small></dd>" in page
    assert "<b>cost</b> <span>$0.0148 in all</span>" in page
    assert '<td class="number cost">$0.0148, 1 unknown</td>' in page
    assert "Prices: own prices of " in page


@pytest.mark.parametrize("by", ["host", "client", "agent", "label", "state", "error"])
def test_groupings(served: Served, by: str) -> None:
    """Numbers are grouped by other things than models."""
    page = served.get("statistics", since="all", by=by)
    assert f"<th>{by}</th>" in page
    assert "<img" not in page


def test_what_has_no_numbers(served: Served) -> None:
    """A period in which nothing was captured has none, and an unknown grouping is refused."""
    assert "Nothing passes these filters" in served.get("statistics")
    assert served.client.get("statistics", params={"by": "weekday"}).status_code == 400
