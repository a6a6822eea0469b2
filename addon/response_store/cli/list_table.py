"""The table of exchanges on a terminal: the narrower, the fewer columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from response_store.cli.colours import state_style
from response_store.cli.list import identifier, words
from response_store.telling.figures import NONE, duration, host_port, local_time, number
from response_store.telling.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from response_store.store.query import Summary


class Column(NamedTuple):
    """A column: from which width of the terminal it is there, and how wide it may get.

    A column with a `ratio` shares what the others leave.
    """

    name: str
    text: Callable[[Summary], str]
    from_width: int = 0
    most: int | None = None
    ratio: int | None = None
    right: bool = False


def _tokens(one: Summary) -> str:
    return f"{number(one.input_tokens)}/{number(one.output_tokens)}"


COLUMNS = (
    Column("time", lambda one: local_time(one.started_at, "%m-%d %H:%M"), most=11),
    Column("state", lambda one: one.state, most=11),
    Column("model", lambda one: one.model or one.requested_model or NONE, from_width=60, most=18),
    Column("in/out", _tokens, from_width=70, most=15, right=True),
    Column("took", lambda one: duration(one.duration_ms), from_width=90, most=12, right=True),
    Column("host", lambda one: host_port(one.scheme, one.host, one.port), from_width=130, most=24),
    Column("id", identifier, ratio=1),
    Column("answer", words, from_width=100, ratio=2),
)


def table(
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
            min_width=column.most if steady else None,
            max_width=column.most,
            ratio=column.ratio,
            justify="right" if column.right else "left",
        )
    for one in exchanges:
        drawn.add_row(*(_cell(column, one) for column in shown))
    return drawn


def _cell(column: Column, one: Summary) -> Text:
    style = state_style(one.state) if column.name == "state" else ""
    return Text(one_line(column.text(one)), style=style)
