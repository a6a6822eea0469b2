"""Draw Markdown in a terminal, with Rich, in styles of our own.

Rich's own styles are for a dark ground: boxes of black, bright blue, dim lines. Code has no
background and no margin, so that it is copied as it was written; a link shows where it leads.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from response_store.format.markdown import parse_markdown
from response_store.format.terminal_text import BLUE, WrappedText, colour_code
from response_store.format.text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markdown_it.token import Token
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.markdown import Markdown
    from rich.theme import Theme

STYLES = {
    "markdown.code": BLUE,
    "markdown.code_block": "none",
    "markdown.block_quote": "italic",
    "markdown.item.number": "bold",
    "markdown.hr": "none",
    "markdown.h1": "bold underline",
    "markdown.h2": "bold underline",
    "markdown.h3": "bold",
    "markdown.h4": "bold italic",
    "markdown.h5": "italic",
    "markdown.h6": "italic",
    "markdown.h7": "italic",
    "markdown.list": "none",
    "markdown.link": "underline",
    "markdown.link_url": BLUE,
    "markdown.table.border": "none",
    "markdown.table.header": "bold",
    "markdown.kbd": "bold",
}
"""Styles of Markdown in place of Rich's."""


@cache
def build_theme() -> Theme:
    """Return the styles of Markdown for a console."""
    from rich.theme import Theme  # noqa: PLC0415 (slow to load)

    return Theme(STYLES)


def draw_markdown(text: str) -> RenderableType:
    """Return Markdown as Rich draws it; what can't be read as Markdown stays as it is."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    tokens = parse_markdown(text)
    if tokens is None:
        return WrappedText(Text(escape_controls(text)))
    drawn: Markdown = _get_renderer()("", hyperlinks=False)
    drawn.parsed = _unlink(tokens)
    return drawn


def _unlink(tokens: Iterable[Token]) -> list[Token]:
    """Return tokens without the links whose text is their URL, as that need not stand twice."""
    kept = []
    is_plain = False
    for token in tokens:
        if token.children:
            token.children = _unlink(token.children)
        if token.type == "link_open":
            is_plain = token.markup == "autolink"
        if not (is_plain and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept


@cache
def _get_renderer() -> type[Markdown]:
    """Return the class that draws Markdown, which can't be written before Rich is imported."""
    from rich import markdown  # noqa: PLC0415 (slow to load)

    class PlainCode(markdown.CodeBlock):
        """Code without a background, as wide as it is."""

        def __rich_console__(self, _: Console, __: ConsoleOptions) -> RenderResult:
            yield colour_code(str(self.text), self.lexer_name)

    class LeftHeading(markdown.Heading):
        """A heading at the left, without a box."""

        def __rich_console__(self, _: Console, __: ConsoleOptions) -> RenderResult:
            text = self.text.copy()
            text.justify = "left"
            yield text

    class PlainMarkdown(markdown.Markdown):
        """Markdown with these."""

        elements = markdown.Markdown.elements | {
            "fence": PlainCode,
            "code_block": PlainCode,
            "heading_open": LeftHeading,
        }

    return PlainMarkdown
