"""The page of numbers: exchanges, tokens, times and errors over time, by model or another thing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from response_store.format.text import format_duration, format_money
from response_store.queries.statistics import By, StatisticsGroup, StatisticsOverTime
from response_store.web.filters import read_filters
from response_store.web.list_pages import describe_filters
from response_store.web.page import (
    Answer,
    PageError,
    PageRequest,
    format_percent,
    render,
    shorten_count,
)
from response_store.web.time_charts import (
    OTHERS,
    Measure,
    TimeChart,
    TimeSteps,
    choose_kinds,
    draw_bars,
    draw_lines,
    list_steps,
)

if TYPE_CHECKING:
    from response_store.queries.exchanges import Query

DEFAULT_PERIOD = "7d"
GROUPINGS = (By.MODEL, By.HOST, By.CLIENT, By.AGENT, By.LABEL, By.STATE, By.ERROR)
"""What numbers can be grouped by."""
MAX_ROWS = 50
"""Rows of the table."""
_LIVE_SECONDS = 0.5
"""Seconds that numbers may take which are counted anew whenever something is captured."""


def show_statistics(request: PageRequest, query: Query) -> Answer:
    """Return the page of numbers."""
    filters = read_filters(request, since=DEFAULT_PERIOD)
    by, began = _read_grouping(request), time.monotonic()
    prices = request.source.load_prices()
    counted = query.statistics_over_time(filters.selection, by, prices)
    groups = counted.groups if counted else ()
    kinds = choose_kinds(groups)
    charts, ends = draw_all(counted, kinds) if counted else ([], ("", ""))
    return render(
        "statistics.html",
        request,
        by=by.value,
        groupings=[one.value for one in GROUPINGS],
        rows=groups[:MAX_ROWS],
        more_rows=max(len(groups) - MAX_ROWS, 0),
        total=counted and counted.total,
        prices=prices,
        charts=charts,
        kinds=_name_kinds(kinds, groups),
        ends=ends,
        **{
            **describe_filters(request, filters.values),
            "is_live": time.monotonic() - began < _LIVE_SECONDS,
        },
    )


def _read_grouping(request: PageRequest) -> By:
    text = request.get("by") or By.MODEL.value
    for one in GROUPINGS:
        if one.value == text:
            return one
    raise PageError(f"by: {text!r} is none of {', '.join(GROUPINGS)}.")


def draw_all(
    counted: StatisticsOverTime, kinds: Sequence[str | None]
) -> tuple[list[TimeChart], tuple[str, str]]:
    """Return the charts, and the names of their first and last step."""
    names = [one.keys[0] for one in counted.steps]
    steps = list_steps(names, hourly=counted.unit is By.HOUR)
    ends = (steps.names[0], steps.names[-1]) if steps.names else ("", "")
    return draw_charts(steps, counted.steps, counted.both, kinds), ends


def draw_charts(
    steps: TimeSteps,
    over_time: Sequence[StatisticsGroup],
    both: Sequence[StatisticsGroup],
    kinds: Sequence[str | None],
) -> list[TimeChart]:
    """Return the charts that have something to show."""
    charts = (
        *(draw_bars(measure, steps, both, kinds) for measure in _COUNTS),
        draw_lines("first event", _FIRST_EVENT, steps, over_time),
        draw_lines("took", _TOOK, steps, over_time),
        draw_lines("cached", _CACHED, steps, over_time, at_most=1.0),
    )
    return [chart for chart in charts if chart.svg]


_COUNTS = (
    Measure("exchanges", lambda one: one.count, shorten_count),
    Measure("tokens read", lambda one: one.input_tokens, shorten_count),
    Measure("tokens written", lambda one: one.output_tokens, shorten_count),
    Measure("cost", lambda one: one.cost and one.cost.cost_usd, format_money),
    Measure("errors", lambda one: one.errors, shorten_count),
)
_FIRST_EVENT = (
    Measure("p50", lambda one: one.first_event_ms_p50, format_duration),
    Measure("p95", lambda one: one.first_event_ms_p95, format_duration),
)
_TOOK = (
    Measure("p50", lambda one: one.duration_ms_p50, format_duration),
    Measure("p95", lambda one: one.duration_ms_p95, format_duration),
)
_CACHED = (Measure("share", lambda one: one.cached_share, format_percent),)


def _name_kinds(
    kinds: Sequence[str | None], groups: Sequence[StatisticsGroup]
) -> list[dict[str, Any]]:
    """Return what the legend says: a class of colour and a name each."""
    named = [{"kind": f"k{at}", "name": name or "unknown"} for at, name in enumerate(kinds)]
    return [*named, {"kind": "others", "name": OTHERS}] if len(groups) > len(kinds) else named
