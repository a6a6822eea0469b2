"""A thread on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from response_store.cli.colours import LABEL, choose_style
from response_store.cli.thread import describe_continued, format_sums, list_sections
from response_store.telling.printable import escape_controls, put_on_one_line

if TYPE_CHECKING:
    from rich.console import Console

    from response_store.cli.thread import Section
    from response_store.store.threads import Thread

_HEADING = "bold"


def show(console: Console, thread: Thread) -> None:
    """Print a line for each response, then what is new in it; the
    terminal itself wraps the text.
    """
    if thread.continues is not None:
        console.print(
            Text(f"{put_on_one_line(describe_continued(thread))}\n", style="dim"), soft_wrap=True
        )
    counted = []
    for section in list_sections(thread):
        counted.append(section.tokens)
        console.print(_build_heading(section), soft_wrap=True)
        for turn in section.turns:
            console.print()
            console.print(Text(put_on_one_line(turn.label), style=LABEL), soft_wrap=True)
            console.print(Text(escape_controls(turn.text)), soft_wrap=True)
        console.print()
    console.print(Text("  ".join(format_sums(counted)), style=_HEADING), soft_wrap=True)


def _build_heading(section: Section) -> Text:
    *columns, state = section.heading
    style = choose_style(section.state.partition(",")[0])
    return Text.assemble(("  ".join([*columns, ""]), _HEADING), (state, style))
