"""Markdown as tokens that are safe to draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it.token import Token

from response_store.format.markdown import MAX_CHARACTERS, is_web_url, parse_markdown
from response_store.format.text import escape_controls

PIECES = [
    *"*_`~[]()<>!#|-\n &;x1:/%",
    "&#x202e;",
    "![x](http://a)",
    "http://a/%1b",
    "\x1b",
    "\u202e",
]
WRITTEN = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


def walk(tokens: Iterable[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from walk(token.children or ())


@given(WRITTEN)
def test_nothing_of_a_token_reaches_a_terminal(text: str) -> None:
    """No content, language or URL has a control character, and no HTML or picture is left."""
    for token in walk(parse_markdown(text) or ()):
        assert token.type not in ("image", "softbreak", "html_inline", "html_block")
        for held in (token.content, token.info, *map(str, token.attrs.values())):
            assert escape_controls(held) == held


@pytest.mark.parametrize(
    "text", ["x" * (MAX_CHARACTERS + 1), "[" * 300, "a `" + "`" * 300, "*" * 1000]
)
def test_what_takes_long_is_not_read(text: str) -> None:
    """Long texts and long runs of one mark, which take time by their square, are no Markdown."""
    assert parse_markdown(text) is None


def test_quotes_nest_only_so_deep() -> None:
    """A text that nests without end is read without going deeper and deeper."""
    tokens = parse_markdown("> " * 5000 + "x")
    assert tokens is not None
    assert len(tokens) < 100


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        ("https://a.example", True),
        ("HTTP://a", True),
        ("mailto:a@b", True),
        ("//a.example", False),
        ("/a", False),
        ("file:///etc/passwd", False),
        ("javascript:alert(1)", False),
        ("data:text/html,x", False),
        ("", False),
    ],
)
def test_web_urls(url: str, is_one: bool) -> None:
    """Only what leads to a page elsewhere, or to an address, may be followed."""
    assert is_web_url(url) is is_one
