"""Statistics on a terminal: the course of time as a sparkline, then a table with bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from response_store.cli.colours import ERROR, state_style
from response_store.cli.sparkline import sparkline
from response_store.cli.stats import share
from response_store.store.statistics import By
from response_store.telling.figures import NONE, duration, local_time
from response_store.telling.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from response_store.store.statistics import Course, Statistics, StatisticsGroup

NOTHING = "No exchange to count. See what is there with: response-store list"
_BAR = "cyan"
_BAR_WIDTH, _BAR_FROM = 10, 60
_UNITS = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
_SPELT_OUT = 10_000


def _errors(one: StatisticsGroup) -> str:
    return f"{short(one.errors)} {share(one.error_share)}" if one.errors else "0"


def _pair(half: float | None, most: float | None) -> str:
    return NONE if half is None else f"{duration(half)}/{duration(most)}"


def short(count: int | None) -> str:
    """Return a count as `9999`, `12.3k`, `4.5M`."""
    if count is None:
        return NONE
    for unit, name in _UNITS:
        if count >= max(unit, _SPELT_OUT):
            return f"{count / unit:.1f}{name}"
    return str(count)


class Column(NamedTuple):
    """A column of numbers, and from which width of the terminal it is there."""

    name: str
    text: Callable[[StatisticsGroup], str]
    from_width: int = 0


COLUMNS = (
    Column("count", lambda one: short(one.count)),
    Column("in/out", lambda one: f"{short(one.input_tokens)}/{short(one.output_tokens)}", 50),
    Column("cached", lambda one: share(one.cached_share), 70),
    Column("reasoning", lambda one: short(one.reasoning_tokens), 140),
    Column("first event", lambda one: _pair(one.first_event_ms_p50, one.first_event_ms_p95), 120),
    Column("took p50/p95", lambda one: _pair(one.duration_ms_p50, one.duration_ms_p95), 90),
    Column("errors", _errors),
)


def show(console: Console, found: Statistics) -> None:
    """Print everything in the width that there is."""
    if not found.groups:
        console.print(NOTHING)
        return
    if found.course is not None and not console.options.ascii_only:
        _show_course(console, found.course)
    console.print(table(found, console.width, bars=not console.options.ascii_only))


def table(found: Statistics, width: int, *, bars: bool = True) -> Table:
    """Return a table with a row a group, and one with the sums where there are several groups."""
    shown = [column for column in COLUMNS if width >= column.from_width]
    bars = bars and width >= _BAR_FROM
    drawn = Table(box=None, expand=False, padding=(0, 2, 0, 0), header_style="bold")
    drawn.add_column(found.by.value, no_wrap=True, overflow="ellipsis", min_width=6)
    if bars:
        drawn.add_column("", width=_BAR_WIDTH)
    for column in shown:
        drawn.add_column(column.name, no_wrap=True, overflow="ellipsis", justify="right")
    most = max(group.count for group in found.groups)
    for group in found.groups:
        cells: list[RenderableType] = [_key(found.by, group)]
        if bars:
            cells.append(Bar(most, 0, group.count, width=_BAR_WIDTH, color=_BAR))
        drawn.add_row(*cells, *(_cell(column, group) for column in shown))
    return drawn


def _key(by: By, group: StatisticsGroup) -> Text:
    key = one_line(group.key or NONE)
    return Text(key, style=state_style(key) if by is By.STATE else "")


def _cell(column: Column, group: StatisticsGroup) -> Text:
    return Text(column.text(group), style=ERROR if column.name == "errors" and group.errors else "")


def _show_course(console: Console, course: Course) -> None:
    form = "%Y-%m-%d %H:%M"
    line = sparkline(course.counts, console.width)
    console.print(Text(line, style=_BAR), soft_wrap=True)
    period = f"{local_time(course.since, form)} - {local_time(course.until, form)}"
    console.print(Text(f"{period}\n", style="dim"), soft_wrap=True)
