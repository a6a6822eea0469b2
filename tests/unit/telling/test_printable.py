"""Captured text and numbers as they are shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.telling.figures import duration, local_time, size
from response_store.telling.printable import one_line, printable, printable_json

ANY = st.text(st.characters(exclude_categories=[]))


def obeyed(char: str) -> bool:
    """Whether a terminal may take it as a command."""
    return char < " " or "\x7f" <= char <= "\x9f"


@given(ANY)
def test_a_terminal_finds_nothing_to_obey(text: str) -> None:
    """Of all characters only line feeds and tabs stay commands, and everything can be encoded."""
    shown = printable(text)
    assert {char for char in shown if obeyed(char)} <= {"\n", "\t"}
    shown.encode()


@given(ANY)
def test_one_line_is_one_line(text: str) -> None:
    """No character of a line splits it, in any tool's opinion."""
    assert len(one_line(text).splitlines()) <= 1
    assert "\t" not in one_line(text)


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_json_on_a_terminal_keeps_its_value(value: object) -> None:
    """Escaping for a terminal changes the spelling of JSON, never what it says."""
    text = json.dumps(value, ensure_ascii=False, indent="\r\n")
    shown = printable_json(text)
    assert json.loads(shown) == value
    assert {char for char in shown if obeyed(char)} <= {"\n", "\t"}


@pytest.mark.parametrize(
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
    ],
)
def test_controls_become_visible(text: str, shown: str) -> None:
    """Each control character is replaced by one that can be seen."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, "-"), (0.0, "0 ms"), (999.4, "999 ms"), (999.6, "1.0 s"), (4249.0, "4.2 s"),
        (59_940.0, "59.9 s"), (59_960.0, "1 min 00 s"), (187_000.0, "3 min 07 s"),
    ],
)  # fmt: skip
def test_durations_read_well(milliseconds: float | None, shown: str) -> None:
    """A duration has the unit that suits it, also at the borders."""
    assert duration(milliseconds) == shown


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
    assert size(count) == shown


def test_no_time_is_a_dash() -> None:
    """A time that is not known is shown as one."""
    assert local_time(None) == "-"
