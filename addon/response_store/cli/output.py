"""Write to a terminal in colours (see `choose_style`) and tables, to a pipe plain text or JSON."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from response_store.format.terminal_text import AMBER, BLUE, GREEN, GREY, RED
from response_store.format.text import escape_json

if TYPE_CHECKING:
    from rich.console import Console


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout.isatty()


def open_terminal() -> Console:
    """Return Rich's console on standard output; it shows text as it
    is, without markup or emoji codes.
    """
    _replace_unencodable()
    return open_console()


def open_console(*, stderr: bool = False) -> Console:
    """Return Rich's console; COLUMNS and LINES too small to show anything are ignored."""
    from rich.console import Console  # noqa: PLC0415 (slow to load)

    from response_store.format.terminal_markdown import build_theme  # noqa: PLC0415

    environ = {name: value for name, value in os.environ.items() if not _is_no_size(name, value)}
    return Console(
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        theme=build_theme(),
        _environ=environ,
    )


_LEAST_SIZE = 10  # columns or lines


def _is_no_size(name: str, value: str) -> bool:
    return name in ("COLUMNS", "LINES") and not (value.isdecimal() and int(value) >= _LEAST_SIZE)


def write_text(text: str) -> None:
    """Write plain text; what the terminal's encoding lacks is written as an escape."""
    _replace_unencodable()
    sys.stdout.write(text)
    sys.stdout.flush()


def write_bytes(data: bytes) -> None:
    """Write bytes as they are."""
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


def write_json(document: Mapping[str, object]) -> None:
    """Write one JSON object on one line. A `msgspec.Raw` value is embedded as it stands."""
    write_bytes(encode_shown(document) + b"\n")


def encode_shown(document: Mapping[str, object]) -> bytes:
    """Return a JSON object as bytes that are safe where they are written to."""
    data = encode_object(document)
    return escape_json(data.decode("utf-8", "replace")).encode() if is_terminal() else data


def encode_object(document: Mapping[str, object]) -> bytes:
    """Return a JSON object as bytes; lone surrogates become escapes."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return msgspec.json.encode({key: _escape(value) for key, value in document.items()})


def _escape(value: object) -> object:
    return msgspec.Raw(json.dumps(value).encode()) if isinstance(value, str) else value


def _replace_unencodable() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


ACCENT = BLUE
LABEL = f"bold {BLUE}"
ERROR = RED
CUT = AMBER
MUTED = GREY
_STATES = {
    "completed": GREEN,
    "open": BLUE,
    "queued": BLUE,
    "in_progress": BLUE,
    "failed": ERROR,
    "refused": ERROR,
    "unreadable": ERROR,
    "too_large": ERROR,
}


def choose_style(state: str) -> str:
    """Return the colour of a state."""
    return _STATES.get(state, CUT)


def print_facts(console: Console, facts: Sequence[tuple[str, str]]) -> None:
    """Print a line each; the terminal wraps long values, so that an id is copied in one piece."""
    from rich.text import Text  # noqa: PLC0415 (slow to load)

    width = max((len(name) for name, _ in facts), default=0)
    for name, value in facts:
        console.print(Text.assemble((f"{name:<{width}}  ", "bold"), value), soft_wrap=True)


Facts: TypeAlias = list[tuple[str, str]]
