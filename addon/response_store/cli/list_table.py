"""The table of exchanges on a terminal: the narrower, the fewer columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from response_store.cli.colours import choose_style
from response_store.cli.list import choose_identifier, choose_words
from response_store.telling.figures import (
    NONE,
    format_duration,
    format_host,
    format_number,
    format_time,
)
from response_store.telling.printable import put_on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from response_store.store.query import Summary


class ListColumn(NamedTuple):
    """A column: from which width of the terminal it is there, and how wide it may get.

    A column with a `ratio` shares what the others leave.
    """

    name: str
    text: Callable[[Summary], str]
    from_width: int = 0
    max_width: int | None = None
    ratio: int | None = None
    right: bool = False


def _format_tokens(one: Summary) -> str:
    return f"{format_number(one.input_tokens)}/{format_number(one.output_tokens)}"


COLUMNS = (
    ListColumn("time", lambda one: format_time(one.started_at, "%m-%d %H:%M"), max_width=11),
    ListColumn("state", lambda one: one.state, max_width=11),
    ListColumn(
        "model", lambda one: one.model or one.requested_model or NONE, from_width=60, max_width=18
    ),
    ListColumn("in/out", _format_tokens, from_width=70, max_width=15, right=True),
    ListColumn(
        "took",
        lambda one: format_duration(one.duration_ms),
        from_width=90,
        max_width=12,
        right=True,
    ),
    ListColumn(
        "host",
        lambda one: format_host(one.scheme, one.host, one.port),
        from_width=130,
        max_width=24,
    ),
    ListColumn("id", choose_identifier, ratio=1),
    ListColumn("answer", choose_words, from_width=100, ratio=2),
)


def build_table(
    exchanges: Sequence[Summary], width: int, *, header: bool = True, steady: bool = False
) -> Table:
    """Return a table that fits into `width` cells; a row is one line.

    With `steady` the columns have the same places whatever they contain, so that tables of one
    width continue one another.
    """
    shown = [column for column in COLUMNS if width >= column.from_width]
    drawn = Table(
        box=None, expand=True, padding=(0, 2, 0, 0), header_style="bold", show_header=header
    )
    for column in shown:
        drawn.add_column(
            column.name,
            no_wrap=True,
            overflow="ellipsis",
            min_width=column.max_width if steady else None,
            max_width=column.max_width,
            ratio=column.ratio,
            justify="right" if column.right else "left",
        )
    for one in exchanges:
        drawn.add_row(*(_build_cell(column, one) for column in shown))
    return drawn


def _build_cell(column: ListColumn, one: Summary) -> Text:
    style = choose_style(one.state) if column.name == "state" else ""
    return Text(put_on_one_line(column.text(one)), style=style)
