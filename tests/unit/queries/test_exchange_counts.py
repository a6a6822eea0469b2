"""Counting by several things in one look gives what one look for each of them gives."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from response_store.model.selection import Selection
from response_store.queries.statistics import By, StatisticsGroup
from tests.unit.queries.stored import REQUIRED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.queries.conftest import Anywhere

BEGAN = 1_764_000_000.0
DAY = 86_400.0
HOUR = 3_600.0
NO_TIMES = dict.fromkeys(
    ("first_event_ms_p50", "first_event_ms_p95", "duration_ms_p50", "duration_ms_p95")
)
ALL = Selection(tenant="default")


def build_rows(days: float, count: int = 120) -> list[dict[str, Any]]:
    """Exchanges of some days, errors, polls and what is not known among them."""
    chance = random.Random(5)
    rows = []
    for number in range(count):
        started_at = BEGAN + number * days * DAY / count
        usual = {
            "exchange_id": f"e{number:03}", "started_at": started_at, "response_id": f"r{number}",
            "model": chance.choice(["gpt-5", "gpt-5-2025-08-07", "o4-mini", None]),
            "state": chance.choice(["completed"] * 5 + ["failed", "refused", "interrupted"]),
            "input_tokens": chance.choice([None, 10, 1000]),
            "output_tokens": chance.choice([7, None]),
            "cached_tokens": None, "reasoning_tokens": None, "total_tokens": None,
            "first_event_ms": chance.choice([None, chance.random() * 100]),
            "duration_ms": chance.choice([None, float(chance.randrange(900))]),
        }  # fmt: skip
        rows.append({**REQUIRED, **usual})
        if number % 5 == 0:
            poll = {
                "exchange_id": f"p{number:03}", "started_at": started_at + DAY / 3, "method": "GET",
                "path": f"/v1/responses/r{number}", "state": "completed", "input_tokens": 3,
            }  # fmt: skip
            rows.append({**rows[-1], **poll})
            rows[-2]["state"] = chance.choice(["queued", "in_progress", "interrupted"])
    return rows


def sort_by_keys(groups: Sequence[StatisticsGroup]) -> list[StatisticsGroup]:
    return sorted(groups, key=lambda one: [key or "" for key in one.keys])


@pytest.mark.parametrize(
    ("days", "unit", "selection"),
    [
        (9, By.DAY, ALL),
        (2, By.HOUR, ALL),
        (9, By.DAY, msgspec.structs.replace(ALL, since=BEGAN + 3 * DAY + 7 * HOUR)),
        (9, By.HOUR, msgspec.structs.replace(ALL, since=BEGAN + 6.5 * DAY)),
        (9, By.DAY, msgspec.structs.replace(ALL, models=("gpt-5",), until=BEGAN + 8.2 * DAY)),
    ],
)
def test_one_look_is_as_good_as_several(
    anywhere: Anywhere, days: float, unit: By, selection: Selection
) -> None:
    """Groups, steps and both are those that are counted by themselves, times among them."""
    anywhere.exchanges(build_rows(days))
    with anywhere.open() as query:
        counted = query.statistics_over_time(selection, By.MODEL)
        assert counted is not None
        assert counted.unit is unit
        alone = query.statistics(selection, By.MODEL)
        assert sort_by_keys(counted.groups) == sort_by_keys(alone.groups)
        assert counted.total == alone.total
        assert counted.steps == query.statistics(selection, unit).groups
        both = query.statistics(selection, unit, By.MODEL).groups
        untimed = [msgspec.structs.replace(one, **NO_TIMES) for one in both]
        assert sort_by_keys(counted.both) == sort_by_keys(untimed)


def test_times_are_those_of_answers(anywhere: Anywhere) -> None:
    """Of polls and refusals they say nothing, in groups and over all."""
    rows = build_rows(9)
    anywhere.exchanges(rows)
    with anywhere.open() as query:
        statistics = query.statistics(ALL, By.MODEL)
    answers = [
        row["duration_ms"]
        for row in rows
        if row["state"] in ("completed", "failed", "interrupted") and row["duration_ms"] is not None
        if "/responses/" not in row["path"]
    ]
    answers.sort()
    assert statistics.total is not None
    assert statistics.total.duration_ms_p50 == answers[-(-len(answers) // 2) - 1]
    assert statistics.total.duration_ms_p95 == answers[-(-len(answers) * 95 // 100) - 1]
    assert statistics.total.count == 120


def test_nothing_to_count(anywhere: Anywhere) -> None:
    """Without an exchange there is nothing over time."""
    with anywhere.open() as query:
        assert query.statistics_over_time(ALL, By.MODEL) is None
        assert query.statistics(ALL, By.MODEL).total is None
