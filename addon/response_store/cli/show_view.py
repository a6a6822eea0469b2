"""One exchange on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from response_store.cli.colours import ERROR, LABEL, choose_style
from response_store.cli.facts import print_facts
from response_store.telling import shown
from response_store.telling.printable import escape_controls, put_on_one_line

if TYPE_CHECKING:
    from rich.console import Console

    from response_store.store.lookup import LookupResult


def show(console: Console, entry: LookupResult) -> None:
    """Print facts, then each turn under its speaker; the terminal itself wraps the text."""
    print_facts(
        console, [(name, put_on_one_line(value)) for name, value in shown.list_facts(entry)]
    )
    for turn in shown.list_turns(entry):
        console.print()
        console.print(Text(put_on_one_line(turn.label), style=LABEL), soft_wrap=True)
        console.print(Text(escape_controls(turn.text)), soft_wrap=True)
    for line in _end(entry):
        console.print(line, soft_wrap=True)


def _end(entry: LookupResult) -> list[Text]:
    row = entry.exchange
    if row is None or row.state == "completed":
        return []
    told = put_on_one_line(f"{row.state}, ended by {row.ended_by}" if row.ended_by else row.state)
    return [Text(f"\n{told}", style=ERROR if row.error_code else choose_style(row.state))]
