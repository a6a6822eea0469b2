"""Captured text made safe for a terminal.

A model's answer may hold escape sequences, carriage returns or marks that turn the direction of
writing. Here they become visible characters: a terminal shows them and obeys none.
"""

from __future__ import annotations

import re

# C0 but tab and line feed, DEL, C1, line separators, direction overrides, lone surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_JSON = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_PICTURES = 0x2400  # U+2400 pictures NUL, U+2401 the next, and so on
_DELETE = "\x7f"


def printable(text: str) -> str:
    """`text` with lines and tabs as they are and every other control character made visible."""
    return _UNSAFE.sub(_visible, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """`text` as one line: blanks and line ends become one space each."""
    return printable(" ".join(text.split()))


def printable_json(text: str) -> str:
    r"""JSON text of the same value that a terminal shows unharmed: controls as `\uXXXX`."""
    return _UNSAFE_IN_JSON.sub(_escaped, text.replace("\r", "\n"))


def _visible(found: re.Match[str]) -> str:
    char = found[0]
    if char < " ":
        return chr(_PICTURES + ord(char))
    return "\u2421" if char == _DELETE else _escaped(found)


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
