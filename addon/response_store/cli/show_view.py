"""One exchange on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from response_store.cli.colours import ERROR, LABEL, state_style
from response_store.cli.facts import print_facts
from response_store.telling import shown
from response_store.telling.printable import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

    from response_store.store.lookup import LookupResult


def show(console: Console, found: LookupResult) -> None:
    """Print facts, then each turn under its speaker; the terminal itself wraps the text."""
    print_facts(console, [(name, one_line(value)) for name, value in shown.facts(found)])
    for turn in shown.turns(found):
        console.print()
        console.print(Text(one_line(turn.label), style=LABEL), soft_wrap=True)
        console.print(Text(printable(turn.text)), soft_wrap=True)
    for line in _end(found):
        console.print(line, soft_wrap=True)


def _end(found: LookupResult) -> list[Text]:
    row = found.exchange
    if row is None or row.state == "completed":
        return []
    told = one_line(f"{row.state}, ended by {row.ended_by}" if row.ended_by else row.state)
    return [Text(f"\n{told}", style=ERROR if row.error_code else state_style(row.state))]
