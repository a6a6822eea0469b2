"""`response-store stats`: captured exchanges in numbers, with sparklines and bars on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec
from click.shell_completion import CompletionItem

from response_store.cli import output
from response_store.cli.apply_journals import apply_journals
from response_store.cli.options import add_selection_options, limit_option
from response_store.cli.output import ACCENT, ERROR, MUTED, choose_style
from response_store.cli.source import (
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    tenant_option,
)
from response_store.format.text import (
    NONE,
    format_cost,
    format_duration,
    format_number,
    format_time,
    format_usd,
    put_on_one_line,
    shorten_count,
)
from response_store.queries.statistics import By, Course, Statistics, StatisticsGroup

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from response_store.model.selection import Selection
    from response_store.pricing.prices import Prices

MAX_GROUPINGS = 2


class Grouping(click.Choice):  # type: ignore[type-arg]  # older releases have no argument
    """What exchanges are grouped by, on the command line: one thing, or two behind a comma."""

    def __init__(self) -> None:
        super().__init__([by.value for by in By], case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a tuple of `By`, or fail with a message that names them all."""
        if isinstance(value, tuple):
            return value
        names = str(value).split(",")
        groups = tuple(By(super(Grouping, self).convert(one.strip(), param, ctx)) for one in names)
        if len(groups) > MAX_GROUPINGS or len({*groups}) < len(groups):
            self.fail("Name one group, or two different ones: day,model.", param, ctx)
        return groups

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Return the groups that begin so; behind a comma those that are not named yet."""
        first, comma, beginning = incomplete.lower().rpartition(",")
        names = [by.value for by in By if by.value != first and by.value.startswith(beginning)]
        return [CompletionItem(f"{first}{comma}{name}") for name in names]


HELP = """Count exchanges, tokens, times, costs and errors, by model or as --by says.

A terminal gets a table, with a last row for the total. A pipe gets a line for each group, with
tabs between: the group (two columns with --by day,model), exchanges, tokens of input, cached,
output, reasoning and total, the cached share of the input, p50 and p95 of the time to the first
event and of the duration in milliseconds, errors, their share, the known cost in USD, and the
number of exchanges whose cost is unknown.

Errors are exchanges that failed, were refused or interrupted, or whose answer was unreadable or
too large. Dated versions of a model are one group. A background response and its polls are one
exchange; tokens of a response count once. Polls and refusals have no times. A client is the first
name in its User-Agent. Days and hours are local. Costs are computed from the prices in the
configuration and those of the package genai-prices.

\b
Examples:
  response-store stats
  response-store stats --by day --since '30 days ago'
  response-store stats --by day,model --since '7 days ago'
  response-store stats --by client --model 'gpt-5*'
  response-store stats --by state --since today | cut -f 1,2
  response-store stats --json | jq '.groups[] | {key, total_tokens}'
"""


@click.command("stats", help=HELP)
@config_option
@database_option
@tenant_option
@click.option(
    "--by", type=Grouping(), metavar="GROUP[,GROUP]", default=By.MODEL.value, show_default=True,
    help=f"What to group by, one thing or two: {', '.join(By)}.",
)  # fmt: skip
@limit_option("groups ", maximum=100_000, default=None)
@add_selection_options
@json_option
def stats_command(
    *,
    config: Path | None,
    database: Path | None,
    tenant: str | None,
    by: tuple[By, ...],
    limit: int | None,
    selection: Selection,
    as_json: bool,
) -> None:
    """Count exchanges, tokens, times and errors."""
    with handle_errors():
        source = find_source(config, database, tenant)
        apply_journals(source)
        with source.open() as query:
            chosen = source.resolve(query.reader, selection)
            prices = source.load_prices()
            statistics = query.statistics(chosen, *by, prices=prices)
        groups = statistics.groups
        if limit:
            groups = groups[-limit:] if by[0].seconds else groups[:limit]
        statistics = msgspec.structs.replace(statistics, groups=groups)
        _write(statistics, prices, as_json)


def _write(statistics: Statistics, prices: Prices, as_json: bool) -> None:
    if as_json:
        output.write_json(build_object(statistics, tuple(prices.used)))
    elif output.is_terminal():
        show(output.open_terminal(), statistics, prices)
    else:
        output.write_text(format_plain(statistics))


def build_object(statistics: Statistics, sources: Sequence[str] = ()) -> dict[str, object]:
    """Return the statistics as one JSON object; `prices` are where costs are from."""
    return {
        "by": ",".join(statistics.by),
        "groups": [_encode_group(one) for one in statistics.groups],
        "total": statistics.total and _encode_group(statistics.total),
        "course": statistics.course,
        "prices": list(sources),
    }


def _encode_group(one: StatisticsGroup) -> msgspec.Raw:
    """Return a group with its keys as `key` and, where there are two, `second_key`."""
    names = ("key", "second_key")
    numbers = msgspec.structs.asdict(one)
    keys = dict(zip(names, numbers.pop("keys"), strict=False))
    cost = numbers.pop("cost")
    shares = {"cached_share": one.cached_share, "error_share": one.error_share}
    costs = {"cost_usd": cost and cost.cost_usd, "cost_unknown": cost and cost.unknown}
    return msgspec.Raw(output.encode_object(keys | numbers | shares | costs))


def format_plain(statistics: Statistics) -> str:
    """Return a line a group, tabs between the columns."""
    return "".join("\t".join(_list_fields(one)) + "\n" for one in statistics.groups)


def _list_fields(one: StatisticsGroup) -> tuple[str, ...]:
    return (
        *(put_on_one_line(key or NONE) for key in one.keys),
        format_number(one.count),
        format_number(one.input_tokens),
        format_number(one.cached_tokens),
        format_number(one.output_tokens),
        format_number(one.reasoning_tokens),
        format_number(one.total_tokens),
        format_share(one.cached_share),
        _format_milliseconds(one.first_event_ms_p50),
        _format_milliseconds(one.first_event_ms_p95),
        _format_milliseconds(one.duration_ms_p50),
        _format_milliseconds(one.duration_ms_p95),
        format_number(one.errors),
        format_share(one.error_share),
        format_usd(one.cost.usd if one.cost else None),
        NONE if one.cost is None else format_number(one.cost.unknown),
    )


def format_share(part: float | None) -> str:
    """Return a part of a whole in percent."""
    return NONE if part is None else f"{100 * part:.1f}%"


def _format_milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.0f}"


BLOCKS = "▁▂▃▄▅▆▇█"
NO_BLOCK = " "


def draw_sparkline(counts: Sequence[int], width: int) -> str:
    """Return the counts in at most `width` characters: where there
    are more, neighbours are added up.

    A zero is a blank; every other number is visible.
    """
    together = max(ceil(len(counts) / max(width, 1)), 1)
    sums = [sum(counts[at : at + together]) for at in range(0, len(counts), together)]
    maximum = max(sums, default=0)
    return "".join(_choose_block(count, maximum) for count in sums)


def _choose_block(count: int, maximum: int) -> str:
    return BLOCKS[ceil(len(BLOCKS) * count / maximum) - 1] if count else NO_BLOCK


NOTHING = "No exchange to count. See what is there with: response-store list"
_BAR_WIDTH, _BAR_FROM = 10, 60
_GAP, _LEAST_KEY = 2, 6
_SECOND_KEY = 20  # cells that a second key takes from the columns


def _format_errors(one: StatisticsGroup) -> str:
    return f"{shorten_count(one.errors)} {format_share(one.error_share)}" if one.errors else "0"


def _format_pair(median: float | None, p95: float | None) -> str:
    return NONE if median is None else f"{format_duration(median)}/{format_duration(p95)}"


class StatisticsColumn(NamedTuple):
    """A column of numbers, and from which width of the terminal it is there."""

    name: str
    text: Callable[[StatisticsGroup], str]
    from_width: int = 0


COST = StatisticsColumn("cost", lambda one: format_cost(*(one.cost or (None, 0))), 60)
COLUMNS = (
    StatisticsColumn("count", lambda one: shorten_count(one.count)),
    StatisticsColumn(
        "in/out",
        lambda one: f"{shorten_count(one.input_tokens)}/{shorten_count(one.output_tokens)}",
        50,
    ),
    COST,
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


NO_PRICES = "costs: pip install genai-prices, or give prices in the configuration"


def show(console: Console, statistics: Statistics, prices: Prices | None = None) -> None:
    """Print everything in the width that there is, and where costs are from."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    if not statistics.groups:
        console.print(NOTHING)
        return
    if statistics.course is not None and not console.options.ascii_only:
        _show_course(console, statistics.course)
    console.print(build_table(statistics, console.width, bars=not console.options.ascii_only))
    if prices is not None and (prices.used or not prices):
        line = f"prices: {'; '.join(prices.used)}" if prices.used else NO_PRICES
        console.print(Text(put_on_one_line(line), style=MUTED), soft_wrap=True)


def build_table(statistics: Statistics, width: int, *, bars: bool = True) -> Table:
    """Return a table with a row a group, and one with the sums where there are several groups."""
    from rich.bar import Bar  # noqa: PLC0415 (slow to load)
    from rich.table import Table  # noqa: PLC0415 (slow to load)

    wide = width - _SECOND_KEY * (len(statistics.by) - 1)
    total = statistics.total
    priced = total is not None and total.cost is not None
    shown = [one for one in COLUMNS if wide >= one.from_width and (priced or one is not COST)]
    bars = bars and wide >= _BAR_FROM
    drawn = Table(box=None, expand=False, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for by, max_width in zip(
        statistics.by, _measure_keys(statistics, shown, width, bars), strict=True
    ):
        drawn.add_column(
            by.value, no_wrap=True, overflow="ellipsis", min_width=6, max_width=max_width
        )
    if bars:
        drawn.add_column("", width=_BAR_WIDTH)
    for column in shown:
        drawn.add_column(column.name, no_wrap=True, overflow="ellipsis", justify="right")
    largest = max(group.count for group in statistics.groups)
    before: tuple[str | None, ...] | None = None
    for group in statistics.groups:
        cells: list[RenderableType] = _build_keys(statistics.by, group, before)
        if bars:
            cells.append(Bar(largest, 0, group.count, width=_BAR_WIDTH, color=ACCENT))
        drawn.add_row(*cells, *(_build_cell(column, group) for column in shown))
        before = group.keys
    if statistics.total is not None and len(statistics.groups) > 1:
        blank = [""] * (len(statistics.by) - 1 + bars)
        cells = ["total", *blank, *(_build_cell(column, statistics.total) for column in shown)]
        drawn.add_row(*cells, style="bold")
    return drawn


def _measure_keys(
    statistics: Statistics, shown: Sequence[StatisticsColumn], width: int, bars: bool
) -> list[int]:
    """Return how wide each key may get, so that no number is cut; times have what they need."""
    from rich.cells import cell_len  # noqa: PLC0415 (slow to load)

    groups = [*statistics.groups, *([statistics.total] if statistics.total else [])]
    numbers = sum(
        max(cell_len(column.name), *(cell_len(column.text(one)) for one in groups)) + _GAP
        for column in shown
    )
    room = width - numbers - (_BAR_WIDTH + _GAP if bars else 0) - _GAP * (len(statistics.by) - 1)
    widths = [
        max(cell_len(put_on_one_line(one.keys[at] or NONE)) for one in statistics.groups)
        for at in range(len(statistics.by))
    ]
    times = sum(one for one, by in zip(widths, statistics.by, strict=True) if by.seconds)
    others = max(sum(not by.seconds for by in statistics.by), 1)
    share = max((room - times) // others, _LEAST_KEY)
    return [one if by.seconds else share for one, by in zip(widths, statistics.by, strict=True)]


def _build_keys(
    by: Sequence[By], group: StatisticsGroup, before: tuple[str | None, ...] | None
) -> list[RenderableType]:
    """Return the keys of a group; the first of two only where it changes."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    keys = [put_on_one_line(key or NONE) for key in group.keys]
    if len(keys) > 1 and before is not None and before[0] == group.keys[0]:
        keys[0] = ""
    return [
        Text(key, style=choose_style(key) if one is By.STATE else "")
        for one, key in zip(by, keys, strict=True)
    ]


def _build_cell(column: StatisticsColumn, group: StatisticsGroup) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    return Text(column.text(group), style=ERROR if column.name == "errors" and group.errors else "")


def _show_course(console: Console, course: Course) -> None:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    form = "%Y-%m-%d %H:%M"
    line = draw_sparkline(course.counts, console.width)
    console.print(Text(line, style=ACCENT), soft_wrap=True)
    period = f"{format_time(course.since, form)} - {format_time(course.until, form)}"
    console.print(Text(f"{period}\n", style=MUTED), soft_wrap=True)
