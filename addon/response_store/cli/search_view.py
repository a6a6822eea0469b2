"""Hits on a terminal: each with the words around what was looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from response_store.cli.colours import LABEL, choose_style
from response_store.cli.list import choose_identifier
from response_store.telling.figures import NONE, format_time
from response_store.telling.printable import escape_controls, put_on_one_line

if TYPE_CHECKING:
    from rich.console import Console

    from response_store.search.asking import Hit, SearchResult

_FOUND = "bold black on yellow"
_INDENT = (0, 0, 0, 2)
NOTHING = "No exchange has all of these words. Try fewer, or the beginning of one: 'begin*'."


def show(console: Console, answer: SearchResult) -> None:
    """Print a line that names the exchange, which the terminal itself wraps; then the snippet."""
    if not answer.hits:
        console.print(NOTHING, soft_wrap=True)
        return
    for hit in answer.hits:
        console.print(_build_heading(hit), soft_wrap=True)
        if hit.snippet is not None:
            console.print(Padding(_highlight(hit), _INDENT))
        console.print()
    console.print(Text(_count(answer), style="dim"), soft_wrap=True)


def _build_heading(hit: Hit) -> Text:
    one = hit.summary
    return Text.assemble(
        (format_time(one.started_at, "%m-%d %H:%M"), "bold"),
        "  ",
        (put_on_one_line(one.state), choose_style(one.state)),
        "  ",
        put_on_one_line(one.model or one.requested_model or NONE),
        "  ",
        (put_on_one_line(choose_identifier(one)), "bold"),
    )


def _highlight(hit: Hit) -> Text:
    assert hit.snippet is not None, "asked for where there is one"
    text = Text.assemble((hit.snippet.label, LABEL), "  ")
    for fragment, found in hit.snippet.fragments:
        text.append(escape_controls(fragment), style=_FOUND if found else None)
    return text


def _count(answer: SearchResult) -> str:
    shown = len(answer.hits)
    if shown == answer.total:
        return "1 hit" if shown == 1 else f"{shown} hits"
    return f"{shown} of {answer.total:,} hits, the best first; more with --limit"
