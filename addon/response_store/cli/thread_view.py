"""A thread on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from response_store.cli.colours import LABEL, state_style
from response_store.cli.thread import continued, sections, summed
from response_store.telling.printable import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

    from response_store.cli.thread import Section
    from response_store.store.threads import Thread

_HEADING = "bold"


def show(console: Console, found: Thread) -> None:
    """Print a line for each response, then what is new in it; the
    terminal itself wraps the text.
    """
    if found.continues is not None:
        console.print(Text(f"{one_line(continued(found))}\n", style="dim"), soft_wrap=True)
    counted = []
    for section in sections(found):
        counted.append(section.tokens)
        console.print(_heading(section), soft_wrap=True)
        for turn in section.turns:
            console.print()
            console.print(Text(one_line(turn.label), style=LABEL), soft_wrap=True)
            console.print(Text(printable(turn.text)), soft_wrap=True)
        console.print()
    console.print(Text("  ".join(summed(counted)), style=_HEADING), soft_wrap=True)


def _heading(section: Section) -> Text:
    *columns, state = section.heading
    style = state_style(section.state.partition(",")[0])
    return Text.assemble(("  ".join([*columns, ""]), _HEADING), (state, style))
