"""Markdown in a terminal."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from response_store.format.terminal_markdown import build_theme, draw_markdown

PIECES = [*"*_`~[]()<>!#|-\n &;x1:/%", "&#x202e;", "http://a/%1b", "\x1b", "\u202e", "```py\n"]


def draw(text: str, width: int = 40) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, theme=build_theme(),
                      color_system="256")  # fmt: skip
    with console.capture() as capture:
        console.print(draw_markdown(text), crop=False)
    return capture.get()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**b** _i_", "\x1b[1mb\x1b[0m \x1b[3mi\x1b[0m\n"),
        ("# Head", "\x1b[1;4mHead\x1b[0m\n"),
        ("a\nb", "a\nb\n"),
        ("<b>x</b>", "<b>x</b>\n"),
        ("![a](https://b.example)", "![a](https://b.example)\n"),
        ("<https://a.example>", "https://a.example\n"),
        ("[a](https://b.example)", "\x1b[4ma\x1b[0m (<colour>https://b.example\x1b[0m)\n"),
        ("[a](javascript:x)", "[a](javascript:x)\n"),
        ("```\n  code\n```", "  code\n"),
        ("*" * 300, "*" * 300 + "\n"),
    ],
)
def test_markdown(text: str, shown: str) -> None:
    """What Markdown says is a style; HTML, pictures and odd links are text."""
    # Rich keeps what it has written for a style, whatever terminal comes next.
    drawn = re.sub(r"\x1b\[(38;5;\d+|[39][0-7])m", "<colour>", draw(text))
    assert "\n".join(line.rstrip() for line in drawn.split("\n")) == shown


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join), st.sampled_from([10, 40]))
def test_a_terminal_obeys_nothing(text: str, width: int) -> None:
    """Whatever a model writes, the only escape sequences are styles."""
    shown = re.sub(r"\x1b\[[0-9;]*m", "", draw(text, width))
    assert not set(shown) & {"\x1b", "\u202e", "\x00"}
