"""Draw charts as SVG on the server: shapes with classes, which the page's style colours.

No element has a style of its own, as the page's policy forbids those; what a shape stands for is
its `title`, which is escaped as all that is captured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from markupsafe import Markup

from response_store.format.text import format_duration, format_money, put_on_one_line
from response_store.model.records import State
from response_store.web.page import shorten_count

if TYPE_CHECKING:
    from response_store.pricing.prices import Prices
    from response_store.queries.exchanges import Summary
    from response_store.web.page import PageRequest

WIDTH = 1000.0
"""Units of a chart's width: it is drawn as wide as there is room."""
_MAX_IDLE = 0.06  # share of the busy time that a pause takes at most
_LANES = 60  # turns up to which each has a line of its own
_LANE, _BAR = 9.0, 6.0
_MAX_TITLE = 80
_MAX_STEP = 60.0


@dataclass(frozen=True, slots=True)
class TimeScale:
    """Where times stand in a chart, pauses made short: pairs of a time and its place."""

    stops: tuple[tuple[float, float], ...]

    def place(self, seconds: float) -> float:
        """Return where a time stands, from 0 to `WIDTH`."""
        for (earlier, low), (later, high) in pairwise(self.stops):
            if seconds <= later:
                share = (seconds - earlier) / (later - earlier) if later > earlier else 0.0
                return low + max(share, 0.0) * (high - low)
        return self.stops[-1][1]


def build_scale(spans: Iterable[tuple[float, float]]) -> TimeScale:
    """Return a scale over some spans of time, in which nothing happens for a short while only."""
    merged: list[list[float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    busy = sum(end - start for start, end in merged) or 1.0
    stops, place = [], 0.0
    for at, (start, end) in enumerate(merged):
        if at:
            place += min(start - merged[at - 1][1], _MAX_IDLE * busy)
        stops.append((start, place))
        place += end - start
        stops.append((end, place))
    factor = WIDTH / (place or 1.0)
    return TimeScale(tuple((seconds, at * factor) for seconds, at in stops))


def draw_waterfall(
    request: PageRequest, turns: Sequence[Summary], prices: Prices | None = None
) -> Markup:
    """Return when each turn ran, when its answer began, its cost; empty for a single turn."""
    if len(turns) < 2:
        return Markup()
    scale = build_scale((one.started_at, one.ended_at) for one in turns)
    agents = [*dict.fromkeys(one.agent for one in turns)]
    is_spread = len(turns) <= _LANES
    lanes = len(turns) if is_spread else len(agents)
    bars = Markup().join(
        _draw_turn(
            f"{request.path}#turn-{at}",
            one,
            f"{at + 1}. {_describe_turn(one, prices)}",
            scale,
            at if is_spread else agents.index(one.agent),
        )
        for at, one in enumerate(turns)
    )
    label = f"When each of {len(turns)} turns ran"
    return build_svg(bars, lanes * _LANE, "waterfall", label, has_links=True)


def _describe_turn(one: Summary, prices: Prices | None) -> str:
    usd = prices.price(one) if prices else None
    facts = [_cut(one.question or one.state), format_duration(one.duration_ms)]
    return " \u00b7 ".join(facts if usd is None else [*facts, format_money(usd)])


def _draw_turn(address: str, one: Summary, title: str, scale: TimeScale, lane: int) -> Markup:
    top = lane * _LANE + (_LANE - _BAR) / 2
    left, right = scale.place(one.started_at), scale.place(one.ended_at)
    first = one.started_at + (one.first_event_ms or 0) / 1000
    answer_left = min(max(scale.place(first), left), right)
    kind = "error" if is_error(one) else "agent" if one.agent else "turn"
    return Markup('<a href="{}"><title>{}</title>{}{}</a>').format(
        address,
        title,
        build_bar(left, top, answer_left - left, _BAR, f"{kind} waiting"),
        build_bar(answer_left, top, max(right - answer_left, 1.5), _BAR, kind),
    )


def draw_context(turns: Sequence[Summary]) -> Markup:
    """Return how many tokens each turn read, and how many of these were cached."""
    known = [one for one in turns if one.input_tokens]
    if len(known) < 2:
        return Markup()
    height, step = 60.0, min(WIDTH / len(turns), _MAX_STEP)
    largest = max(one.input_tokens or 0 for one in known)
    bars = []
    for at, one in enumerate(turns):
        whole, cached = one.input_tokens or 0, min(one.cached_tokens or 0, one.input_tokens or 0)
        title = (
            f"{at + 1}. {shorten_count(whole)} tokens in, {shorten_count(cached)} of them cached"
        )
        tall, low = height * whole / largest, height * cached / largest
        width = max(step * 0.8, min(step, 1.0))
        bars.append(
            Markup("<g><title>{}</title>{}{}</g>").format(
                title,
                build_bar(at * step, height - tall, width, tall - low, "fresh"),
                build_bar(at * step, height - low, width, low, "cached"),
            )
        )
    label = f"Tokens that each turn read, at most {shorten_count(largest)}"
    return build_svg(Markup().join(bars), height, "context", label)


def is_error(one: Summary) -> bool:
    """Return whether an exchange has ended as an error."""
    return one.state in _ERRORS


_ERRORS = frozenset(state.value for state in State if state.is_error)


def _cut(text: str) -> str:
    line = put_on_one_line(text[: 4 * _MAX_TITLE])
    return line if len(line) <= _MAX_TITLE else f"{line[:_MAX_TITLE]}\u2026"


def build_bar(left: float, top: float, width: float, height: float, kind: str) -> Markup:
    """Return a bar; nothing where it would have no area."""
    if width <= 0 or height <= 0:
        return Markup()
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        kind, *map(format_place, (left, top, width, height))
    )


def format_place(number: float) -> str:
    """Return a place or a length, as exact as can be seen."""
    return f"{number:.1f}".removesuffix(".0")


def build_svg(
    inner: Markup, height: float, kind: str, label: str, *, has_links: bool = False
) -> Markup:
    """Return a chart, which is stretched to the room that there is; `label` says what it shows."""
    role = "group" if has_links else "img"
    return Markup(
        '<svg class="chart {}" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none"'
        ' role="{}" aria-label="{}">{}</svg>'
    ).format(
        kind, format_place(height), format_place(WIDTH), format_place(height), role, label, inner
    )
