"""Charts over time: bars that stand on each other, a kind each, and lines of times and shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from response_store.queries.statistics import StatisticsGroup
from response_store.web.charts import WIDTH, build_bar, build_svg, format_place

HEIGHT = 100.0
MAX_KINDS = 6
"""Kinds that have a colour of their own; the others are one."""
MAX_STEPS = 400
"""Days or hours in a chart: the last ones."""
OTHERS = "others"
_GAP = 0.12  # share of a step between two bars


@dataclass(frozen=True, slots=True)
class TimeChart:
    """A chart with its name, its largest value, and the times at which it begins and ends.

    `summary` says in words what it shows.
    """

    name: str
    svg: Markup
    largest: str
    summary: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeSteps:
    """The steps of a chart: days or hours, as statistics call them, with none left out."""

    names: tuple[str, ...]

    def index(self) -> dict[str | None, int]:
        """Return the place of each step."""
        return {name: at for at, name in enumerate(self.names)}


def list_steps(names: Sequence[str | None], *, hourly: bool) -> TimeSteps:
    """Return the steps from the first of some days or hours to the last."""
    form = "%Y-%m-%d %H:%M" if hourly else "%Y-%m-%d"
    known = []
    for name in names:
        try:
            known.append(datetime.strptime(name or "", form))  # noqa: DTZ007 (local, for its name)
        except ValueError:
            continue  # no calendar has it
    if not known:
        return TimeSteps(())
    step = timedelta(hours=1) if hourly else timedelta(days=1)
    first, last = min(known), max(known)
    first = max(first, last - step * (MAX_STEPS - 1))
    count = round((last - first) / step) + 1
    return TimeSteps(tuple((first + step * at).strftime(form) for at in range(count)))


def choose_kinds(groups: Sequence[StatisticsGroup]) -> list[str | None]:
    """Return the keys that get a colour, of groups that are in their order."""
    return [group.keys[0] for group in groups[:MAX_KINDS]]


@dataclass(frozen=True, slots=True)
class Measure:
    """What a chart shows: how much a group has of it, and how a number of it is written."""

    name: str
    read: Callable[[StatisticsGroup], float | None]
    show: Callable[[float | None], str]


def draw_bars(
    measure: Measure,
    steps: TimeSteps,
    groups: Sequence[StatisticsGroup],
    kinds: Sequence[str | None],
) -> TimeChart:
    """Return bars by step and kind; `groups` have both as keys."""
    places = steps.index()
    values = [[0.0] * (len(kinds) + 1) for _ in steps.names]
    for group in groups:
        at, kind = places.get(group.keys[0]), group.keys[1]
        if at is not None:
            number = kinds.index(kind) if kind in kinds else len(kinds)
            values[at][number] += measure.read(group) or 0
    largest = max(map(sum, values), default=0.0)
    if not largest:
        return TimeChart(measure.name, Markup(), "")
    width = WIDTH / len(values)
    bars = Markup().join(
        Markup("<g><title>{}</title>{}{}</g>").format(
            _describe_stack(measure, steps.names[at], column, kinds),
            build_bar(at * width, 0, width, HEIGHT, "ground"),
            _draw_stack([HEIGHT * value / largest for value in column], at * width, width),
        )
        for at, column in enumerate(values)
    )
    summary = f"{measure.show(sum(map(sum, values)))} in all"
    svg = build_svg(bars, HEIGHT, "time", f"{measure.name}: {summary}")
    return TimeChart(measure.name, svg, measure.show(largest), summary)


def _draw_stack(heights: Sequence[float], left: float, width: float) -> Markup:
    bars, low = [], HEIGHT
    for number, tall in enumerate(heights):
        low -= tall
        kind = f"k{number}" if number < len(heights) - 1 else "others"
        bars.append(build_bar(left + width * _GAP / 2, low, width * (1 - _GAP), tall, kind))
    return Markup().join(bars)


def _describe_stack(
    measure: Measure, step: str, column: Sequence[float], kinds: Sequence[str | None]
) -> str:
    names = [*(kind or "unknown" for kind in kinds), OTHERS]
    parts = [
        f"{name} {measure.show(value)}" for name, value in zip(names, column, strict=True) if value
    ]
    detail = f" ({', '.join(parts)})" if len(parts) > 1 else ""
    return f"{step}: {measure.show(sum(column))}{detail}"


def draw_lines(
    name: str,
    measures: Sequence[Measure],
    steps: TimeSteps,
    groups: Sequence[StatisticsGroup],
    *,
    at_most: float | None = None,
) -> TimeChart:
    """Return a line a measure, broken where nothing is known; `groups` have steps as keys."""
    places, show = steps.index(), measures[0].show
    rows: list[list[float | None]] = [[None] * len(steps.names) for _ in measures]
    for group in groups:
        at = places.get(group.keys[0])
        if at is not None:
            for row, measure in zip(rows, measures, strict=True):
                row[at] = measure.read(group)
    known = [value for row in rows for value in row if value is not None]
    largest = at_most or max(known, default=0.0)
    if not known or not largest:
        return TimeChart(name, Markup(), "")
    lines = Markup().join(_draw_line(row, largest, f"k{at}") for at, row in enumerate(rows))
    points = Markup().join(
        _draw_titles(at, step, rows, measures) for at, step in enumerate(steps.names)
    )
    names = tuple(measure.name for measure in measures) if len(measures) > 1 else ()
    svg = build_svg(lines + points, HEIGHT, "time", f"{name}, at most {show(max(known))}")
    return TimeChart(name, svg, show(largest), lines=names)


def _draw_line(row: Sequence[float | None], largest: float, kind: str) -> Markup:
    width = WIDTH / len(row)
    path, draws = [], False
    for at, value in enumerate(row):
        if value is None:
            draws = False
            continue
        place = f"{format_place((at + 0.5) * width)} {format_place(HEIGHT * (1 - value / largest))}"
        # A value between two that are not known is a short line by itself.
        path.append(f"L{place}" if draws else f"M{place}h1")
        draws = True
    return Markup('<path class="line {}" d="{}"/>').format(kind, "".join(path))


def _draw_titles(
    at: int, step: str, rows: Sequence[Sequence[float | None]], measures: Sequence[Measure]
) -> Markup:
    width = WIDTH / len(rows[0])
    texts = [
        f"{measure.name} {measure.show(row[at])}"
        for row, measure in zip(rows, measures, strict=True)
    ]
    return Markup("<g><title>{}</title>{}</g>").format(
        f"{step}: {', '.join(texts)}", build_bar(at * width, 0, width, HEIGHT, "ground")
    )
