"""The table that `run` ends with on a terminal: the narrower, the fewer columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from response_store.cli.colours import ERROR, choose_style
from response_store.telling.figures import NONE, format_number
from response_store.telling.printable import put_on_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.running.captured import CapturedGroup

_TOKENS_FROM = 50
_ERROR_FROM = 70


def build_table(groups: Sequence[CapturedGroup], width: int) -> Table:
    """Return a table that fits into `width` cells; a row is one line."""
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    drawn.add_column("state", no_wrap=True, min_width=11, overflow="ellipsis", max_width=11)
    drawn.add_column("model", no_wrap=True, overflow="ellipsis", max_width=24)
    drawn.add_column("count", no_wrap=True, min_width=5, justify="right")
    if width >= _TOKENS_FROM:
        widest = max((len(_format_tokens(one)) for one in groups), default=0)
        drawn.add_column("in/out", no_wrap=True, justify="right", min_width=widest)
    if width >= _ERROR_FROM:
        drawn.add_column("error", no_wrap=True, overflow="ellipsis", ratio=1)
    for one in groups:
        drawn.add_row(*_build_cells(one)[: len(drawn.columns)])
    return drawn


def _build_cells(one: CapturedGroup) -> tuple[Text, ...]:
    return (
        Text(put_on_one_line(one.state), style=choose_style(one.state)),
        Text(put_on_one_line(one.model or NONE)),
        Text(format_number(one.exchanges)),
        Text(_format_tokens(one)),
        Text(put_on_one_line(one.error or NONE), style=ERROR if one.error else ""),
    )


def _format_tokens(one: CapturedGroup) -> str:
    return f"{format_number(one.input_tokens)}/{format_number(one.output_tokens)}"
