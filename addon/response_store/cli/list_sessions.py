"""`response-store list --sessions`: what belongs together, newest first, a line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, takewhile
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec

from response_store.cli import output
from response_store.cli.exchange_table import SHORT_ID, strip_date
from response_store.cli.output import ERROR, MUTED
from response_store.format.text import (
    NONE,
    format_cost,
    format_number,
    format_time,
    format_usd,
    put_on_one_line,
    shorten_count,
)
from response_store.limits import NAME, shorten_name
from response_store.pricing.cost import CostSum
from response_store.queries.sessions import SessionPage, SessionSummary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from response_store.pricing.prices import Prices

NOTHING = "No session. See what there is of all tenants with: response-store status"
NOTHING_LEFT = "No session that passes these filters. See all: response-store list --sessions"
_NO_COSTS: Mapping[str, CostSum] = MappingProxyType({})
_MAX_NAMES = 3  # of models or agents in a line
_MAX_ID = 24
_NARROW = 60  # cells; below, a line has room for nothing else but an id


Costs: TypeAlias = Mapping[str, CostSum]
"""What sessions cost, by their ids; nothing without prices."""


def write_sessions(
    page: SessionPage, costs: Costs, prices: Prices, as_json: bool, *, narrowed: bool
) -> None:
    """Write a page of sessions: as JSON, a table on a terminal, or a line each."""
    if as_json:
        output.write_json(build_sessions_object(page, costs, prices))
    elif output.is_terminal():
        show_sessions(output.open_terminal(), page, costs, narrowed=narrowed)
    else:
        output.write_text(format_plain_sessions(page.sessions, costs))


def build_sessions_object(page: SessionPage, costs: Costs, prices: Prices) -> dict[str, object]:
    """Return the page as one JSON object: `sessions`, `next` for --before (or null), `prices`."""
    objects = (build_session_object(one, costs.get(one.session_id)) for one in page.sessions)
    sessions = [msgspec.Raw(output.encode_object(one)) for one in objects]
    following = None if page.next is None else str(page.next)
    return {"sessions": sessions, "next": following, "prices": [*prices.used]}


def build_session_object(one: SessionSummary, cost: CostSum | None) -> dict[str, object]:
    """Return a session as programs get it, with its sums and what they are made of."""
    columns = msgspec.structs.asdict(one)
    usage = columns.pop("usage")
    sums = {kind: one.sum_tokens(kind) for kind in _KINDS}
    costs = {"cost_usd": cost and cost.cost_usd, "cost_unknown": cost and cost.unknown}
    return columns | sums | costs | {"usage": [msgspec.structs.asdict(each) for each in usage]}


_KINDS = (
    "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip


def format_plain_sessions(sessions: Iterable[SessionSummary], costs: Costs) -> str:
    """Return a line a session, tabs between the columns."""
    fields = (_list_fields(one, costs.get(one.session_id)) for one in sessions)
    return "".join("\t".join(one) + "\n" for one in fields)


def _list_fields(one: SessionSummary, cost: CostSum | None) -> tuple[str, ...]:
    return (
        format_time(one.last_started_at),
        put_on_one_line(shorten_name(one.session_id, NAME)),
        format_number(one.turns),
        format_number(one.errors),
        *(format_number(one.sum_tokens(f"{kind}_tokens")) for kind in _COUNTED),
        put_on_one_line(",".join(one.agents) or NONE),
        put_on_one_line(",".join(map(shorten_name, one.models)) or NONE),
        put_on_one_line(one.label or NONE),
        put_on_one_line(one.question or NONE),
        format_usd(cost and cost.usd),
        format_number(cost and cost.unknown),
    )


_COUNTED = ("input", "cached", "output")


class SessionColumn(NamedTuple):
    """A column: from which width of the terminal it is there, and how wide it may get.

    A column with a `ratio` shares what the others leave.
    """

    name: str
    text: Callable[[SessionSummary, CostSum | None], str]
    from_width: int = 0
    max_width: int | None = None
    ratio: int | None = None
    right: bool = False
    style: str = ""


def _format_tokens(one: SessionSummary, _: object) -> str:
    read, written = (one.sum_tokens(f"{kind}_tokens") for kind in ("input", "output"))
    return f"{shorten_count(read)}/{shorten_count(written)}"


def _format_cached(one: SessionSummary, _: object) -> str:
    read, cached = one.sum_tokens("input_tokens"), one.sum_tokens("cached_tokens")
    return f"{100 * cached / read:.0f}%" if read and cached is not None else NONE


def _list_models(one: SessionSummary) -> list[str]:
    """Return the models of a session, that of the most turns first."""
    turns = Counter(dict.fromkeys(one.models, 0))
    for each in one.usage:
        turns[each.model or ""] += each.turns
    return [name for name, _ in turns.most_common() if name]


def _format_models(one: SessionSummary, _: CostSum | None) -> str:
    return _join_names([*dict.fromkeys(map(strip_date, _list_models(one)))])


def _join_names(names: Sequence[str]) -> str:
    more = f" +{len(names) - _MAX_NAMES}" if len(names) > _MAX_NAMES else ""
    return (", ".join(names[:_MAX_NAMES]) + more) or NONE


COST = SessionColumn(
    "cost", lambda _, cost: format_cost(*(cost or (None, 0))), 110, max_width=20, right=True
)
_ID = "session"
COLUMNS = (
    SessionColumn(
        "last", lambda one, _: format_time(one.last_started_at, "%m-%d %H:%M"), max_width=11
    ),
    SessionColumn("turns", lambda one, _: format_number(one.turns), max_width=6, right=True),
    SessionColumn(
        "errors", lambda one, _: format_number(one.errors), from_width=90, max_width=6, right=True,
        style=ERROR,
    ),
    SessionColumn("in/out", _format_tokens, from_width=90, max_width=15, right=True),
    COST,
    SessionColumn("cached", _format_cached, from_width=100, max_width=6, right=True),
    SessionColumn("model", _format_models, from_width=80, max_width=18),
    SessionColumn("agents", lambda one, _: _join_names(one.agents), from_width=140, max_width=14),
    SessionColumn("label", lambda one, _: one.label or NONE, from_width=140, max_width=24),
    SessionColumn(_ID, lambda one, _: one.session_id, style=MUTED),
    SessionColumn("first question", lambda one, _: one.question or NONE, from_width=60, ratio=1),
)  # fmt: skip


def show_sessions(
    console: Console, page: SessionPage, costs: Costs = _NO_COSTS, *, narrowed: bool = False
) -> None:
    """Print the table, as wide as the terminal, and how to get to older sessions.

    `narrowed` says that filters may have left something out.
    """
    if not page.sessions and page.next is None:
        console.print(NOTHING_LEFT if narrowed else NOTHING, soft_wrap=True)
        return
    console.print(build_sessions_table(page.sessions, console.width, costs))
    if page.next is not None:
        same = "the same with " if narrowed else "list --sessions "
        console.print(f"older ones: {same}--before {page.next}", soft_wrap=True)


def build_sessions_table(
    sessions: Sequence[SessionSummary], width: int, costs: Costs = _NO_COSTS
) -> Table:
    """Return a table that fits into `width` cells; a row is one line; costs if there are any."""
    from rich.table import Table  # noqa: PLC0415 (slow to load)

    shown = [one for one in COLUMNS if width >= one.from_width and (costs or one is not COST)]
    id_width = _count_id_characters(sessions) if width >= _NARROW else width
    drawn = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold")
    for column in shown:
        drawn.add_column(
            column.name, no_wrap=True, overflow="ellipsis",
            ratio=1 if column.name == _ID and width < _NARROW else column.ratio,
            max_width=id_width if column.name == _ID else column.max_width,
            justify="right" if column.right else "left",
        )  # fmt: skip
    for one in sessions:
        cost = costs.get(one.session_id)
        drawn.add_row(*(_build_cell(column, one, cost, id_width) for column in shown))
    return drawn


def _count_id_characters(sessions: Sequence[SessionSummary]) -> int:
    """Return how many characters tell these sessions apart: ids of one minute begin alike."""
    ids = sorted(one.session_id for one in sessions)
    alike = max((_count_alike(*pair) for pair in pairwise(ids)), default=0)
    return min(max(alike + 1, SHORT_ID), _MAX_ID)


def _count_alike(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _build_cell(
    column: SessionColumn, one: SessionSummary, cost: CostSum | None, id_width: int
) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    style = "" if column.style == ERROR and not one.errors else column.style
    text = put_on_one_line(column.text(one, cost))
    return Text(text[:id_width] if column.name == _ID else text, style=style)
