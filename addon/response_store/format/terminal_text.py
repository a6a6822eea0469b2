"""Wrap text at words for a terminal, and give code its colours.

A word that is wider than the terminal is not broken here: the terminal breaks it itself, and it is
copied in one piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from response_store.format.text import escape_controls

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.syntax import SyntaxTheme
    from rich.text import Text

# Numbers of the 256 colours: alike on every terminal, each with a contrast of about 4 to white and
# to black. Faint, yellow and what a terminal calls cyan are illegible on one or the other.
GREEN, BLUE, RED, AMBER, GREY, PURPLE = (f"color({one})" for one in (28, 31, 160, 130, 244, 98))

MAX_HIGHLIGHTED = 100_000
"""Characters of code that get colours."""
CODE_STYLES = {
    "Comment": "italic",
    "Keyword": PURPLE,
    "Operator.Word": PURPLE,
    "Name.Builtin": BLUE,
    "Name.Class": "bold",
    "Name.Decorator": PURPLE,
    "Name.Function": "bold",
    "Name.Tag": BLUE,
    "Literal.String": GREEN,
    "Literal.Number": BLUE,
    "Generic.Deleted": RED,
    "Generic.Inserted": GREEN,
    "Generic.Heading": "bold",
    "Generic.Subheading": f"bold {PURPLE}",
}
"""Styles of words in code, by the names of their kinds."""
_TAB = 8
_WORD = re.compile(r"\s*\S+\s*")


class WrappedText:
    """A text that is wrapped at words when it is printed, each line behind an indent."""

    def __init__(self, text: Text, indent: int = 0) -> None:
        self.text = text
        self._indent = indent

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines, each of which is as long as it is."""
        from rich.text import Text  # noqa: PLC0415 (slow to load)

        for line in self.text.split("\n", allow_blank=True):
            line.expand_tabs(_TAB)
            width = max(options.max_width - self._indent, 1)
            for part in line.divide([*find_breaks(line.plain, width)]):
                part.rstrip()
                yield Text.assemble(
                    " " * self._indent if part else "", part, no_wrap=True, overflow="ignore"
                )


def find_breaks(line: str, width: int) -> Iterator[int]:
    """Yield where a line is broken so that it fits into a width, but for words that do not."""
    from rich.cells import cell_len  # noqa: PLC0415 (slow to load)

    if len(line) * 2 <= width:
        return
    used = 0
    for match in _WORD.finditer(line):
        word = match[0]
        length = cell_len(word)
        if used and used + cell_len(word.rstrip()) > width:
            yield match.start()
            used = 0
        used += length


@cache
def build_code_theme() -> SyntaxTheme:
    """Return the styles of code."""
    from pygments.token import string_to_tokentype  # noqa: PLC0415 (slow to load)
    from rich.style import Style  # noqa: PLC0415
    from rich.syntax import ANSISyntaxTheme  # noqa: PLC0415

    return ANSISyntaxTheme(
        {string_to_tokentype(name): Style.parse(style) for name, style in CODE_STYLES.items()}
    )


def colour_code(code: str, language: str) -> Text:
    """Return code in colours, where its language is known and it is not too long."""
    from rich.syntax import Syntax  # noqa: PLC0415 (slow to load)
    from rich.text import Text  # noqa: PLC0415

    safe = escape_controls(code).rstrip("\n")
    if len(safe) > MAX_HIGHLIGHTED:
        return Text(safe)
    text = Syntax("", language, theme=build_code_theme()).highlight(safe)
    text.rstrip()
    text.overflow, text.no_wrap = "fold", False
    return text
