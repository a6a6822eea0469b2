"""Captured text and numbers as they are shown."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.format.text import (
    escape_controls,
    escape_json,
    format_duration,
    format_size,
    format_time,
    put_on_one_line,
)
from tests.harness.each import each

ANY = st.text(st.characters(exclude_categories=[]))


def obeyed(char: str) -> bool:
    """Whether a terminal may take it as a command."""
    return char < " " or "\x7f" <= char <= "\x9f"


def turns(char: str) -> bool:
    """Whether it turns the direction of writing, or is a mark that nobody sees."""
    if unicodedata.category(char) != "Cf" or char in "\u200c\u200d":
        return False
    # Signs that are drawn, though they format: of verses, numbers, hieroglyphs, shorthand.
    drawn = re.match("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2]", char)
    code = ord(char)
    return not (drawn or 0x110BD <= code <= 0x1343F or 0x1BCA0 <= code <= 0x1BCA3)


@given(ANY)
def test_a_terminal_finds_nothing_to_obey(text: str) -> None:
    """Of all characters only line feeds and tabs stay commands, and everything can be encoded."""
    shown = escape_controls(text)
    assert {char for char in shown if obeyed(char) or turns(char)} <= {"\n", "\t"}
    shown.encode()


@given(ANY)
def test_one_line_is_one_line(text: str) -> None:
    """No character of a line splits it, in any tool's opinion."""
    assert len(put_on_one_line(text).splitlines()) <= 1
    assert "\t" not in put_on_one_line(text)


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_json_on_a_terminal_keeps_its_value(value: object) -> None:
    """Escaping for a terminal changes the spelling of JSON, never what it says."""
    text = json.dumps(value, ensure_ascii=False, indent="\r\n")
    shown = escape_json(text)
    assert json.loads(shown) == value
    assert {char for char in shown if obeyed(char)} <= {"\n", "\t"}


@each(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\r\nb", "a\nb"),
        ("a\rb", "a␍b"),
        ("\x1b[2J", "␛[2J"),
        ("\x7f\x9b", "␡\\u009b"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud83d", "\\ud83d"),
        ("👩‍👩‍👧 東京 é", "👩‍👩‍👧 東京 é"),
        ("a\u200eb\u200f\u061c", "a\\u200eb\\u200f\\u061c"),
        ("pay\u200bpal \ufeffx so\xadft", "pay\\u200bpal \\ufeffx so\\u00adft"),
        ("\u2066x\u2069 \u2060\u2064", "\\u2066x\\u2069 \\u2060\\u2064"),
        ("a\u200db\u200cc\u200d", "a\\u200db\\u200cc\\u200d"),
        ("🏳️\u200d🌈 क्\u200dष", "🏳️\u200d🌈 क्\u200dष"),
        ("❤\ufe0f 1\ufe0f⃣ 葛\U000e0100", "❤\ufe0f 1\ufe0f⃣ 葛\U000e0100"),
        ("x\ufe0f❤\ufe0f\ufe01", "x\\ufe0f❤\ufe0f\\ufe01"),
        ("\U000e0041\U000e0101", "\\U000e0041\\U000e0101"),
        ("\u3164\u115f\u2800", "\\u3164\\u115f\u2800"),
    ],
)
def test_controls_become_visible(text: str, shown: str) -> None:
    """Each control character is replaced by one that can be seen."""
    assert escape_controls(text) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, "-"), (0.0, "0 ms"), (999.4, "999 ms"), (999.6, "1.0 s"), (4249.0, "4.2 s"),
        (59_940.0, "59.9 s"), (59_960.0, "1 min 00 s"), (187_000.0, "3 min 07 s"),
    ],
)  # fmt: skip
def test_durations_read_well(milliseconds: float | None, shown: str) -> None:
    """A duration has the unit that suits it, also at the borders."""
    assert format_duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3 * 2**29, "1.5 GiB"),
        (2**60, "1048576.0 TiB"),
    ],
)
def test_sizes_read_well(count: int, shown: str) -> None:
    """A size has the unit that suits it."""
    assert format_size(count) == shown


def test_no_time_is_a_dash() -> None:
    """A time that is not known is shown as one."""
    assert format_time(None) == "-"
