"""`response-store list --sessions`: what belongs together, newest first, a line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from response_store.cli import output
from response_store.cli.output import ERROR, MUTED
from response_store.format.text import (
    NONE,
    format_number,
    format_time,
    put_on_one_line,
    shorten_count,
)
from response_store.limits import NAME, shorten_name
from response_store.queries.sessions import SessionPage, SessionSummary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

NOTHING = "No session. See what there is of all tenants with: response-store status"
NOTHING_LEFT = "No session that passes these filters. See all: response-store list --sessions"
_MAX_NAMES = 3  # of models or agents in a line


def write_sessions(page: SessionPage, as_json: bool, *, narrowed: bool) -> None:
    """Write a page of sessions: as JSON, a table on a terminal, or a line each."""
    if as_json:
        output.write_json(build_sessions_object(page))
    elif output.is_terminal():
        show_sessions(output.open_terminal(), page, narrowed=narrowed)
    else:
        output.write_text(format_plain_sessions(page.sessions))


def build_sessions_object(page: SessionPage) -> dict[str, object]:
    """Return the page as one JSON object: `sessions`, and `next` for --before (or null)."""
    sessions = [msgspec.Raw(output.encode_object(build_session_object(one))) for one in page[0]]
    return {"sessions": sessions, "next": None if page.next is None else str(page.next)}


def build_session_object(one: SessionSummary) -> dict[str, object]:
    """Return a session as programs get it, with its sums and what they are made of."""
    columns = msgspec.structs.asdict(one)
    usage = columns.pop("usage")
    sums = {kind: one.sum_tokens(kind) for kind in _KINDS}
    return columns | sums | {"usage": [msgspec.structs.asdict(each) for each in usage]}


_KINDS = (
    "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip


def format_plain_sessions(sessions: Iterable[SessionSummary]) -> str:
    """Return a line a session, tabs between the columns."""
    return "".join("\t".join(_list_fields(one)) + "\n" for one in sessions)


def _list_fields(one: SessionSummary) -> tuple[str, ...]:
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
    )


_COUNTED = ("input", "cached", "output")


class SessionColumn(NamedTuple):
    """A column: from which width of the terminal it is there, and how wide it may get.

    A column with a `ratio` shares what the others leave.
    """

    name: str
    text: Callable[[SessionSummary], str]
    from_width: int = 0
    max_width: int | None = None
    ratio: int | None = None
    right: bool = False
    style: str = ""


def _format_tokens(one: SessionSummary) -> str:
    read, written = (one.sum_tokens(f"{kind}_tokens") for kind in ("input", "output"))
    return f"{shorten_count(read)}/{shorten_count(written)}"


def _format_cached(one: SessionSummary) -> str:
    read, cached = one.sum_tokens("input_tokens"), one.sum_tokens("cached_tokens")
    return f"{100 * cached / read:.0f}%" if read and cached is not None else NONE


def _join_names(names: Sequence[str]) -> str:
    more = f" +{len(names) - _MAX_NAMES}" if len(names) > _MAX_NAMES else ""
    return (", ".join(names[:_MAX_NAMES]) + more) or NONE


COLUMNS = (
    SessionColumn(
        "last", lambda one: format_time(one.last_started_at, "%m-%d %H:%M"), max_width=11
    ),
    SessionColumn("turns", lambda one: format_number(one.turns), max_width=6, right=True),
    SessionColumn(
        "errors", lambda one: format_number(one.errors), from_width=60, max_width=6, right=True,
        style=ERROR,
    ),
    SessionColumn("in/out", _format_tokens, from_width=60, max_width=15, right=True),
    SessionColumn("cached", _format_cached, from_width=100, max_width=6, right=True),
    SessionColumn("model", lambda one: _join_names(one.models), from_width=80, max_width=18),
    SessionColumn("agents", lambda one: _join_names(one.agents), from_width=120, max_width=20),
    SessionColumn("label", lambda one: one.label or NONE, from_width=140, max_width=24),
    SessionColumn("session", lambda one: one.session_id, ratio=1, style=MUTED),
    SessionColumn("first question", lambda one: one.question or NONE, from_width=60, ratio=2),
)  # fmt: skip


def show_sessions(console: Console, page: SessionPage, *, narrowed: bool = False) -> None:
    """Print the table, as wide as the terminal, and how to get to older sessions.

    `narrowed` says that filters may have left something out.
    """
    if not page.sessions and page.next is None:
        console.print(NOTHING_LEFT if narrowed else NOTHING, soft_wrap=True)
        return
    console.print(build_sessions_table(page.sessions, console.width))
    if page.next is not None:
        same = "the same with " if narrowed else "list --sessions "
        console.print(f"older ones: {same}--before {page.next}", soft_wrap=True)


def build_sessions_table(sessions: Sequence[SessionSummary], width: int) -> Table:
    """Return a table that fits into `width` cells; a row is one line."""
    from rich.table import Table  # noqa: PLC0415 (slow to load)

    shown = [column for column in COLUMNS if width >= column.from_width]
    drawn = Table(box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold")
    for column in shown:
        drawn.add_column(
            column.name, no_wrap=True, overflow="ellipsis", max_width=column.max_width,
            ratio=column.ratio, justify="right" if column.right else "left",
        )  # fmt: skip
    for one in sessions:
        drawn.add_row(*(_build_cell(column, one) for column in shown))
    return drawn


def _build_cell(column: SessionColumn, one: SessionSummary) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    style = "" if column.style == ERROR and not one.errors else column.style
    return Text(put_on_one_line(column.text(one)), style=style)
