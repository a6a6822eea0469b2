"""The line of facts that opens a view."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from response_store.format.facts import format_moment, list_head
from response_store.model.records import ExchangeRow, StoredResponse
from response_store.queries.lookup import LookupResult
from tests.unit.queries.stored import REQUIRED, RESPONSE

NOON = datetime(2026, 3, 5, 12, 0, 7).timestamp()  # noqa: DTZ001 (local time)


def head(cost: str = "", **columns: Any) -> list[str]:
    row = ExchangeRow(**REQUIRED | {"exchange_id": "e1", "started_at": NOON} | columns)
    facts = list_head(LookupResult(row, None), cost=cost, now=NOON)
    return [f"{fact.name}: {fact.text}" for fact in facts]


def test_the_head_has_what_is_known() -> None:
    """State, model, time, tokens, time taken, and what it cost where somebody knows."""
    known = {"model": "m", "input_tokens": 9, "cached_tokens": 8, "output_tokens": 2}
    assert head("$0.02", **known, duration_ms=1234.0) == [
        "state: completed", "model: m", "time: 12:00:07", "tokens: 9 in, 2 out", "took: 1.2 s",
        "cost: $0.02",
    ]  # fmt: skip
    assert head(state="open") == ["state: open", "time: 12:00:07"]


def test_a_refusal_has_its_status() -> None:
    """An error's state stands with the status of the answer, a success has none."""
    assert head(state="refused", status_code=429)[0] == "state: refused (429)"
    assert head(state="odd", status_code=500)[0] == "state: odd (500)"
    assert head(status_code=200)[0] == "state: completed"


def test_a_response_alone_has_a_head() -> None:
    """What another program has stored has a model and a time."""
    facts = list_head(LookupResult(None, StoredResponse(**RESPONSE | {"id": "r1"})), now=NOON)
    assert [fact.name for fact in facts] == ["model", "time"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (NOON - 60, "11:59:07"),
        (NOON - 86_400, "03-04 12:00"),
        (NOON - 366 * 86_400, "2025-03-04 12:00"),
        (1e300, "1e+300"),
        (None, "-"),
    ],
)
def test_a_time_is_as_short_as_it_may_be(seconds: float | None, text: str) -> None:
    """Today's time needs no date, this year's no year."""
    assert format_moment(seconds, NOON) == text
