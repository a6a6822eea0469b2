"""Statistics on a terminal: the course of time as a sparkline, then a table with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from response_store.cli.colours import ERROR, choose_style
from response_store.cli.sparkline import draw_sparkline
from response_store.cli.stats import format_share
from response_store.store.statistics import By
from response_store.telling.figures import NONE, format_duration, format_time
from response_store.telling.printable import put_on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from response_store.store.statistics import Course, Statistics, StatisticsGroup

NOTHING = "No exchange to count. See what is there with: response-store list"
_BAR = "cyan"
_BAR_WIDTH, _BAR_FROM = 10, 60
_UNITS = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_SPELT_OUT = 10_000


def _format_errors(one: StatisticsGroup) -> str:
    return f"{shorten_count(one.errors)} {format_share(one.error_share)}" if one.errors else "0"


def _format_pair(median: float | None, p95: float | None) -> str:
    return NONE if median is None else f"{format_duration(median)}/{format_duration(p95)}"


def shorten_count(count: int | None) -> str:
    """Return a count as `9999`, `12.3k`, `4.5M`."""
    if count is None:
        return NONE
    for unit, name in _UNITS:
        if count >= max(unit, _SPELT_OUT):
            return f"{count / unit:.1f}{name}"
    return str(count)


class StatisticsColumn(NamedTuple):
    """A column of numbers, and from which width of the terminal it is there."""

    name: str
    text: Callable[[StatisticsGroup], str]
    from_width: int = 0


COLUMNS = (
    StatisticsColumn("count", lambda one: shorten_count(one.count)),
    StatisticsColumn(
        "in/out",
        lambda one: f"{shorten_count(one.input_tokens)}/{shorten_count(one.output_tokens)}",
        50,
    ),
    StatisticsColumn("cached", lambda one: format_share(one.cached_share), 70),
    StatisticsColumn("reasoning", lambda one: shorten_count(one.reasoning_tokens), 140),
    StatisticsColumn(
        "first event", lambda one: _format_pair(one.first_event_ms_p50, one.first_event_ms_p95), 120
    ),
    StatisticsColumn(
        "took p50/p95", lambda one: _format_pair(one.duration_ms_p50, one.duration_ms_p95), 90
    ),
    StatisticsColumn("errors", _format_errors),
)


def show(console: Console, statistics: Statistics) -> None:
    """Print everything in the width that there is."""
    if not statistics.groups:
        console.print(NOTHING)
        return
    if statistics.course is not None and not console.options.ascii_only:
        _show_course(console, statistics.course)
    console.print(build_table(statistics, console.width, bars=not console.options.ascii_only))


def build_table(statistics: Statistics, width: int, *, bars: bool = True) -> Table:
    """Return a table with a row a group, and one with the sums where there are several groups."""
    shown = [column for column in COLUMNS if width >= column.from_width]
    bars = bars and width >= _BAR_FROM
    drawn = Table(box=None, expand=False, padding=(0, 2, 0, 0), header_style="bold")
    drawn.add_column(statistics.by.value, no_wrap=True, overflow="ellipsis", min_width=6)
    if bars:
        drawn.add_column("", width=_BAR_WIDTH)
    for column in shown:
        drawn.add_column(column.name, no_wrap=True, overflow="ellipsis", justify="right")
    p95 = max(group.count for group in statistics.groups)
    for group in statistics.groups:
        cells: list[RenderableType] = [_build_key(statistics.by, group)]
        if bars:
            cells.append(Bar(p95, 0, group.count, width=_BAR_WIDTH, color=_BAR))
        drawn.add_row(*cells, *(_build_cell(column, group) for column in shown))
    return drawn


def _build_key(by: By, group: StatisticsGroup) -> Text:
    key = put_on_one_line(group.key or NONE)
    return Text(key, style=choose_style(key) if by is By.STATE else "")


def _build_cell(column: StatisticsColumn, group: StatisticsGroup) -> Text:
    return Text(column.text(group), style=ERROR if column.name == "errors" and group.errors else "")


def _show_course(console: Console, course: Course) -> None:
    form = "%Y-%m-%d %H:%M"
    line = draw_sparkline(course.counts, console.width)
    console.print(Text(line, style=_BAR), soft_wrap=True)
    period = f"{format_time(course.since, form)} - {format_time(course.until, form)}"
    console.print(Text(f"{period}\n", style="dim"), soft_wrap=True)
