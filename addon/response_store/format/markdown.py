"""Read Markdown that a model wrote into tokens that are safe to draw, in a terminal and as HTML.

HTML in it stays text. A link is one only where it goes to a web page or an address; any other is
text. A picture is text: nothing is loaded because a model has named it. Lines stay lines, as models
end them where they want them to end. What Markdown decodes by itself, entities and the coded
characters of URLs, may bring control characters back: they are made visible here, behind it.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from response_store.format.text import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MAX_CHARACTERS = 100_000
"""Characters that are read as Markdown: of what is longer the text stays as it is."""
_MAX_NESTED = 30
_WEB = re.compile(r"(https?://|mailto:)", re.IGNORECASE)
_RUNS = re.compile(r"([*_~`\[\]!<>&\\])\1{200}")


def parse_markdown(text: str) -> list[Token] | None:
    """Return the tokens of a text; None where it is too long, or made to take long."""
    if len(text) > MAX_CHARACTERS or _RUNS.search(text):
        return None
    tokens = open_parser().parse(escape_controls(text))
    _clean(tokens)
    return tokens


def is_web_url(url: str) -> bool:
    """Return whether a URL is one that may be followed."""
    return _WEB.match(url) is not None


@cache
def open_parser() -> MarkdownIt:
    """Return the parser, which is the same for all: what it renders depends on tokens alone."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 (slow to load)

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": _MAX_NESTED})
    parser.enable(["table", "strikethrough"])
    parser.validateLink = is_web_url  # type: ignore[method-assign]
    return parser


def _clean(tokens: Iterable[Token]) -> None:
    """Make what tokens hold safe, pictures text, and soft ends of lines hard ones."""
    for token in tokens:
        if token.type == "image":
            token.content = f"![{token.content}]({token.attrs.get('src', '')})"
            token.type, token.tag, token.attrs, token.children = "text", "", {}, None
        elif token.type == "link_open":
            token.attrs["rel"] = "noreferrer noopener"
        elif token.type == "softbreak":
            token.type = "hardbreak"
            token.tag = "br"
        token.content = escape_controls(token.content)
        token.info = escape_controls(token.info)
        token.attrs = {
            name: escape_controls(value) if isinstance(value, str) else value
            for name, value in token.attrs.items()
            if name != "style"  # of a table's column
        }
        if token.children:
            _clean(token.children)
