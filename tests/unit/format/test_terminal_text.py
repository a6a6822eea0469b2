"""Text that is wrapped at words."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from response_store.format.terminal_text import MAX_HIGHLIGHTED, WrappedText, colour_code


def wrap(text: str, width: int, indent: int = 0) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(WrappedText(Text(text), indent), crop=False)
    return capture.get().splitlines()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three", ["one two", "three"]),
        ("a verylongword b", ["a", "verylongword", "b"]),
        ("  indented words", ["  indented", "words"]),
        ("a\n\nb", ["a", "", "b"]),
        ("東京 東京", ["東京", "東京"]),
        ("", [""]),
        ("end  ", ["end"]),
    ],
)
def test_words_stay_whole(text: str, lines: list[str]) -> None:
    """A line ends between words, wide ones stay in one piece, lines of the text stay lines."""
    assert wrap(text, 8) == lines


def test_an_indent() -> None:
    """Each line has the indent, and empty ones have none."""
    assert wrap("one two\n\nthree", 8, 2) == ["  one", "  two", "", "  three"]


@given(st.text("ab 東\n", max_size=80), st.integers(4, 30))
def test_nothing_is_lost(text: str, width: int) -> None:
    """Every word is there once, in its place, and no line that could be shorter is too wide."""
    lines = wrap(text, width)
    assert " ".join(lines).split() == text.split()
    assert all(cell_len(line) <= width or len(line.split()) == 1 for line in lines)


def test_code_in_colours() -> None:
    """Code of a known language has styles, what is unknown or too long has none."""
    assert colour_code("def f(): pass", "python").spans
    assert not colour_code("def f(): pass", "no such language").spans
    assert not colour_code("1" * (MAX_HIGHLIGHTED + 1), "python").spans
    assert colour_code("a\x1b[2Jb\n\n", "json").plain == "a␛[2Jb"
