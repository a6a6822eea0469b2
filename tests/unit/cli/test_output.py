"""Colours of the command line."""

from __future__ import annotations

import pytest
from rich.color import Color

from response_store.cli.diff import LINE_STYLES
from response_store.cli.output import ACCENT, CUT, ERROR, LABEL, MUTED, choose_style
from response_store.format.terminal import list_styles
from response_store.format.terminal_markdown import STYLES
from response_store.format.terminal_text import CODE_STYLES
from response_store.model.records import State

LEAST = 3.8  # contrast; large letters want 3, small ones 4.5, which no colour has to both grounds
USED = (ACCENT, CUT, ERROR, MUTED, LABEL, *map(choose_style, State), *list_styles(),
        *STYLES.values(), *CODE_STYLES.values(), *LINE_STYLES.values())  # fmt: skip
WORDS = {word for style in USED for word in style.split()}
COLOURS = WORDS - {"none", "bold", "italic", "underline"}


def compute_luminance(name: str) -> float:
    """How bright a colour is, by WCAG, from 0 to 1."""
    parts = (one / 255 for one in Color.parse(name).get_truecolor())
    red, green, blue = (
        one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("style", sorted(COLOURS))
def test_colours_are_legible_on_white_and_on_black(style: str) -> None:
    """A colour is a number, which no theme changes, and differs enough from either ground."""
    assert style.startswith("color(")
    assert Color.parse(style).number > 15
    brightness = compute_luminance(style)
    assert min(1.05 / (brightness + 0.05), (brightness + 0.05) / 0.05) > LEAST


def test_states_differ() -> None:
    """What is well, open, an error and cut short have colours of their own."""
    assert len({choose_style(state) for state in State}) == 4
