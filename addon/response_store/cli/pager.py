"""Print what may be longer than the screen: through a pager then, with its colours.

What is printed is made part by part, and a pager gets each as it is made: of a long thread the
beginning is there at once. PAGER and LESS count; `less` is told to let colours through.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_RAW = frozenset("rR")


def print_paged(console: Console, parts: Iterable[RenderableType], *, paged: bool = True) -> None:
    """Print parts one under the other; those of more lines than the screen has through a pager."""
    chunks = (render(console, part) for part in parts)
    head: list[str] = []
    lines = 0
    for chunk in chunks:
        if not (paged and sys.stdin.isatty()):
            console.file.write(chunk)
            continue
        head.append(chunk)
        lines += chunk.count("\n")
        if lines >= console.height:
            with _let_colours_through():
                click.echo_via_pager(chain(head, chunks), color=True)
            return
    console.file.write("".join(head))
    console.file.flush()


def render(console: Console, part: RenderableType) -> str:
    """Return what a console would print of a part.

    In a group a text keeps its own ways to wrap, which it loses where it is printed alone.
    """
    from rich.console import Group  # noqa: PLC0415 (slow to load)

    with console.capture() as capture:
        console.print(Group(part), crop=False)
    return capture.get()


@contextmanager
def _let_colours_through() -> Iterator[None]:
    """Have LESS say that escape sequences of colours are obeyed, whatever else it says."""
    before = os.environ.get("LESS")
    if not _RAW & {*(before or "")}:
        os.environ["LESS"] = f"{before} -R" if before else "-R"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("LESS", None)
        else:
            os.environ["LESS"] = before
