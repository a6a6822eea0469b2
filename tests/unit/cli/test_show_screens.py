"""`response-store show` in terminals of four widths, as screens that were looked at.

`UPDATE_SCREENS=1 pytest tests/unit/cli/test_show_screens.py` writes them anew.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from response_store.cli.pager import render
from response_store.cli.show import draw_exchange, draw_thread
from response_store.format.terminal_markdown import build_theme
from response_store.queries.threads import find_thread
from tests.unit.cli import conversations, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from tests.unit.queries.stored import Stored

SCREENS = Path(__file__).parent / "screens"
WIDTHS = (40, 80, 120, 200)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def draw(parts: Iterable[RenderableType], width: int) -> str:
    console = Console(
        file=io.StringIO(), width=width, force_terminal=True, color_system="256",
        markup=False, emoji=False, highlight=False, theme=build_theme(),
    )  # fmt: skip
    return "".join(render(console, part) for part in parts)


def draw_travel(stored: Stored, width: int, *, verbose: bool = False) -> str:
    with stored.open() as query:
        entry = query.find("default", conversations.RESPONSE_ID)
        return draw(draw_exchange(entry, verbose=verbose, now=1767225700.0), width)


def read_lines(text: str) -> str:
    return "".join(f"{line.rstrip()}\n" for line in ESCAPE.sub("", text).splitlines())


def check_screen(name: str, text: str) -> None:
    path = SCREENS / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("width", WIDTHS)
def test_an_exchange(stored: Stored, width: int) -> None:
    """A line of facts, tools and settings in a line each, then the conversation."""
    conversations.travel(stored)
    check_screen(f"show_{width}", read_lines(draw_travel(stored, width)))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_thread(stored: Stored, width: int) -> None:
    """A line for each exchange, and under it what is new."""
    rows.all_kinds(stored)
    with stored.open() as query, query.snapshot() as lookup:
        thread = find_thread(lookup, "default", rows.RESPONSE_ID)
        check_screen(f"thread_{width}", read_lines(draw(draw_thread(thread), width)))


@pytest.mark.parametrize("width", WIDTHS)
def test_no_word_is_lost_or_broken(stored: Stored, width: int) -> None:
    """What is wider than the terminal stays in one piece, and nothing is cut off."""
    conversations.travel(stored)
    shown = read_lines(draw_travel(stored, width, verbose=True))
    assert f"{conversations.LONG_URL}\n" in shown
    assert shown.count("Answer in Markdown") == 40
    assert "reasoning.summary=auto" in shown
    conversation = shown.partition("3 tools: ")[2]
    wide = [line for line in conversation.splitlines() if len(line) > width]
    assert all(len(line.split()) == 1 for line in wide), wide


def test_what_is_captured_gives_no_orders(stored: Stored) -> None:
    """All escape sequences are colours of ours."""
    conversations.travel(stored)
    shown = draw_travel(stored, 80)
    assert "\u241b[2J" in shown
    assert "\x1b" not in ESCAPE.sub("", shown)


def test_no_colour_but_ours(stored: Stored) -> None:
    """Nothing of Rich's own styles is left: no ground, nothing faint, no colour of a theme."""
    conversations.travel(stored)
    codes = {*re.findall(r"\x1b\[([0-9;]*)m", draw_travel(stored, 80))}
    # Rich keeps what it has written for a style, whatever terminal comes next.
    assert {re.sub(r"38;5;\d+|[39][0-7]", "colour", code) for code in codes} <= {
        "0", "1", "3", "4", "1;4", "colour", "1;colour",
    }  # fmt: skip


def test_instructions_are_cut_short(stored: Stored) -> None:
    """Long instructions are shown whole with -v alone, and what is left out is counted."""
    conversations.travel(stored)
    shown = read_lines(draw_travel(stored, 80))
    assert shown.count("Answer in Markdown") == 7
    assert "… 1,122 more characters, with -v\n" in shown
