"""Names and values on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


def print_facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    """Print a line each; the terminal wraps long values, so that an id is copied in one piece."""
    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        console.print(Text.assemble((f"{name:<{width}}  ", "bold"), value), soft_wrap=True)
