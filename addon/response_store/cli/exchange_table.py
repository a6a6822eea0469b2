"""Draw exchanges as a table: when, state, model, question and answer, with colours by state.

A row is one line, whatever the width: what is narrow has fewer columns, and the words take what
the others leave.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from response_store.cli.output import CUT, ERROR, MUTED, choose_style
from response_store.format.text import (
    NONE,
    format_duration,
    format_host,
    format_money,
    format_time,
    put_on_one_line,
    shorten_count,
)
from response_store.model.records import Api, State

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from response_store.pricing.prices import Prices
    from response_store.queries.exchanges import Summary

_MARKS = {
    **dict.fromkeys(("completed",), ("●", "o")),
    **dict.fromkeys(("open", "queued", "in_progress"), ("…", ".")),
    **dict.fromkeys(("incomplete", "interrupted", "cancelled"), ("◐", "c")),
}
_ERROR_MARK = ("✗", "x")
SHORT_ID = 8
"""Characters of an id where nobody has looked how many are enough: of a random one they are."""
_MINUTE, _HOUR = 60, 3600
_DATE = re.compile(r"(.+)-\d{4}-\d{2}-\d{2}", re.DOTALL)


def choose_mark(state: str, *, ascii_only: bool = False) -> str:
    """Return one character for a state: ● it is well, ✗ an error, … still open, ◐ cut short."""
    return _MARKS.get(state, _ERROR_MARK)[ascii_only]


def format_when(seconds: float, now: float) -> str:
    """Return when that was, seen from `now`: `12 s ago`, `2 min ago`, `14:03`, `Nov 28`.

    Of another year it is the date.
    """
    ago = now - seconds
    if 0 <= ago < _HOUR:
        return f"{ago:.0f} s ago" if ago < _MINUTE - 0.5 else f"{round(ago / _MINUTE)} min ago"
    return format_time(seconds, _choose_form(seconds, now, "%H:%M", "%b %d"))


def format_clock(seconds: float, now: float) -> str:
    """Return the time of day, which stays true while a terminal scrolls; else the date."""
    return format_time(seconds, _choose_form(seconds, now, "%H:%M:%S", "%b %d"))


def _choose_form(seconds: float, now: float, of_today: str, of_year: str) -> str:
    try:
        then, today = (datetime.fromtimestamp(at, tz=UTC).astimezone() for at in (seconds, now))
    except (OverflowError, ValueError, OSError):
        return "%Y-%m-%d"
    if then.date() == today.date():
        return of_today
    return of_year if then.year == today.year else "%Y-%m-%d"


def strip_date(name: str) -> str:
    """Return a model's name without the date at its end."""
    dated = _DATE.fullmatch(name)
    return dated[1] if dated else name


def shorten_model(name: str, width: int) -> str:
    """Return a model's name in `width` characters: without its date, else without its middle."""
    if len(name) <= width:
        return name
    name = strip_date(name)
    if len(name) <= width:
        return name
    head = width // 2
    return f"{name[:head]}…{name[len(name) - (width - head - 1) :]}" if width > 1 else name[:width]


def explain_error(one: Summary) -> str:
    """Return code and message of an error; empty where there is none."""
    code, message = one.error_code or "", one.error_message or ""
    return (
        message if code and message.startswith(code) else ": ".join(filter(None, (code, message)))
    )


class TableLook(NamedTuple):
    """How a table is drawn: seen from which time, with which ids, with letters alone or not.

    With `steady` the columns have the same places whatever they contain, so that tables of one
    width continue one another, and times are those of the clock. Without prices there are no costs.
    """

    now: float
    ids: Mapping[str, str]
    steady: bool = False
    ascii_only: bool = False
    prices: Prices | None = None

    def format_when(self, one: Summary) -> str:
        """Return when an exchange began."""
        return (format_clock if self.steady else format_when)(one.started_at, self.now)

    def format_cost(self, one: Summary) -> str:
        """Return what an exchange cost; empty where it has no tokens."""
        if not self.prices or one.input_tokens is None:
            return ""
        return format_money(self.prices.price(one))

    def shorten_id(self, one: Summary) -> str:
        """Return the id that `show` takes, as short as is known to be enough."""
        return self.ids.get(one.exchange_id) or one.exchange_id[:SHORT_ID]


class ExchangeColumn(NamedTuple):
    """A column: what it holds, from which width of the terminal on, and how wide it may get.

    The wider of two widths is that of terminals of 120 columns and more.
    """

    name: str
    text: Callable[[Summary, TableLook], str]
    from_width: int = 0
    max_width: tuple[int, int] = (10, 10)
    right: bool = False
    style: Callable[[Summary], str] = lambda _: ""


def _format_tokens(one: Summary, _: TableLook) -> str:
    if one.input_tokens is None and one.output_tokens is None:
        return ""
    return f"{shorten_count(one.input_tokens)}/{shorten_count(one.output_tokens)}"


def _format_took(one: Summary, _: TableLook) -> str:
    return "" if one.duration_ms is None else format_duration(one.duration_ms)


_WIDE, _GAP = 120, 2
_WORDS, _COST = "question → answer", "cost"
COST_FROM = 110
"""From which width of the terminal on costs are shown."""
COLUMNS = (
    ExchangeColumn("when", lambda one, look: look.format_when(one), 26, style=lambda _: MUTED),
    ExchangeColumn(
        "",
        lambda one, look: choose_mark(one.state, ascii_only=look.ascii_only),
        max_width=(1, 1),
        style=lambda one: choose_style(one.state),
    ),
    ExchangeColumn(
        "model",
        lambda one, _: one.model or one.requested_model or NONE,
        60,
        (18, 26),
    ),
    ExchangeColumn(_WORDS, lambda _one, _look: ""),
    ExchangeColumn("in/out", _format_tokens, 90, (12, 12), right=True),
    ExchangeColumn(_COST, lambda one, look: look.format_cost(one), COST_FROM, (10, 10), right=True),
    ExchangeColumn("took", _format_took, 110, (12, 12), right=True),
    ExchangeColumn(
        "host", lambda one, _: format_host(one.scheme, one.host, one.port), 160, (24, 24)
    ),
    ExchangeColumn("id", lambda one, look: look.shorten_id(one), 36, style=lambda _: MUTED),
)


def build_table(
    exchanges: Sequence[Summary], width: int, look: TableLook | None = None, *, header: bool = True
) -> Table:
    """Return a table that fits into `width` cells; a row is one line."""
    from rich.table import Table  # noqa: PLC0415 (slow to load)

    look = look or TableLook(time.time(), {})
    columns = [
        column
        for column in COLUMNS
        if width >= column.from_width and (look.prices or column.name != _COST)
    ]
    texts = [[_build_text(column, one, look, width) for column in columns] for one in exchanges]
    widths = _measure(columns, texts, width, steady=look.steady)
    drawn = Table(
        box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold", show_header=header
    )
    for column, cells in zip(columns, widths, strict=True):
        drawn.add_column(
            column.name.replace("→", "->") if look.ascii_only else column.name,
            no_wrap=True,
            overflow="crop",
            width=cells,
            justify="right" if column.right else "left",
        )
    for one, row in zip(exchanges, texts, strict=True):
        drawn.add_row(
            *(
                _build_cell(column, one, text, cells, look)
                for column, text, cells in zip(columns, row, widths, strict=True)
            )
        )
    return drawn


def _measure(
    columns: Sequence[ExchangeColumn], texts: Sequence[Sequence[str]], width: int, *, steady: bool
) -> list[int]:
    """Return the cells of each column: what it needs, up to its limit; the words get the rest."""
    from rich.cells import cell_len  # noqa: PLC0415 (slow to load)

    widths = []
    for at, column in enumerate(columns):
        limit = column.max_width[width >= _WIDE]
        max_width = max((cell_len(row[at]) for row in texts), default=0)
        widths.append(limit if steady else min(limit, max(max_width, cell_len(column.name))))
    at = next(at for at, column in enumerate(columns) if column.name == _WORDS)
    others = sum(widths) - widths[at] + _GAP * (len(columns) - 1)
    widths[at] = max(width - others, 1)
    return widths


def _build_text(column: ExchangeColumn, one: Summary, look: TableLook, width: int) -> str:
    text = put_on_one_line(column.text(one, look))
    if column.name != "model":
        return text
    name = shorten_model(text, column.max_width[width >= _WIDE])
    return name.replace("…", "~") if look.ascii_only else name


def _build_cell(
    column: ExchangeColumn, one: Summary, text: str, width: int, look: TableLook
) -> Text:
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    if column.name == _WORDS:
        return build_words(one, width, ascii_only=look.ascii_only)
    return Text(_cut(text, width, ascii_only=look.ascii_only), style=column.style(one))


def build_words(one: Summary, width: int, *, ascii_only: bool = False) -> Text:
    """Return what was asked and what came of it in `width` cells: both have room, or a share."""
    from rich.cells import cell_len  # noqa: PLC0415 (slow to load)
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    question = put_on_one_line(one.question or "")
    came, style = _choose_answer(one)
    arrow = "->" if ascii_only else "→"
    if came.startswith("→"):  # a call
        came = came.removeprefix("→").lstrip()
    elif not question:
        arrow = ""
    between = f"{' ' if question else ''}{arrow} " if arrow else ""
    room = max(width - cell_len(between), 0)
    question_width = min(cell_len(question), max(room * 2 // 5, room - cell_len(came)))
    return Text.assemble(
        _cut(question, question_width, ascii_only=ascii_only),
        (between, MUTED),
        (_cut(came, room - question_width, ascii_only=ascii_only), style),
    )


def _choose_answer(one: Summary) -> tuple[str, str]:
    """Return the answer, else why there is none, and the style of that."""
    error, start = put_on_one_line(explain_error(one)), put_on_one_line(one.output_start or "")
    if error and (not start or _is_error(one.state)):
        return error, ERROR
    if one.incomplete_reason:
        return f"({put_on_one_line(one.incomplete_reason)}) {start}".rstrip(), CUT
    if start:
        return start, ""
    if one.state == State.COMPLETED:
        return (NONE, "") if one.api in _TALKING else (_name_api(one.api), MUTED)
    status = one.status_code if one.state == State.REFUSED else None
    words = put_on_one_line(one.state).replace("_", " ")
    return f"{words} ({status})" if status else words, choose_style(one.state)


_TALKING = (Api.RESPONSES, Api.CHAT_COMPLETIONS, Api.COMPLETIONS)


def _name_api(api: str) -> str:
    return put_on_one_line(api).replace("_", " ")


def _is_error(state: str) -> bool:
    return _MARKS.get(state, _ERROR_MARK) is _ERROR_MARK


def _cut(text: str, width: int, *, ascii_only: bool) -> str:
    """Return as much of a text as `width` cells hold, and a sign where it is not all."""
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415 (slow to load)

    if cell_len(text) <= width:
        return text
    sign = "..." if ascii_only else "…"
    if width <= len(sign):
        return sign[:width]
    return set_cell_size(text, width - len(sign)).rstrip() + sign
