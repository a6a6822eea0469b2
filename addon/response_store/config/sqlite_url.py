"""The rules of SQLite URLs.

`sqlite://relative.db`, `sqlite:///absolute.db`, `sqlite::memory:`. Two slashes or none begin a
relative path: there is no host in these URLs. The text of the URL never becomes part of a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from .model import SqliteTarget
from .problems import Problem
from .traversal import climbs

_MEMORY = ":memory:"
_FORMS = "Write sqlite://relative.db, sqlite:///absolute.db or sqlite::memory:."
_VALUES = {"mode": ("rwc", "rw", "memory"), "cache": ("private", "shared")}
_MAX_LENGTH = 4_096  # of a path, on most systems


class _SqliteUrlParts(NamedTuple):
    path: str  # as written, percent signs and all
    parameters: tuple[str, ...]

    @property
    def decoded(self) -> str:
        return unquote(self.path)


def find_sqlite_url_problems(url: str) -> Iterator[Problem]:
    """Yield what is wrong with a URL, by all rules at once."""
    if url != url.strip():
        yield Problem("the URL has whitespace around it", "Take it away.")
    elif len(url) > _MAX_LENGTH:
        yield Problem(f"the URL exceeds {_MAX_LENGTH} characters", "Take a shorter path.")
    elif not url.startswith("sqlite:"):
        yield Problem("the URL's scheme is not sqlite", _FORMS)
    else:
        parts = _split(url)
        yield from _find_path_problems(parts)
        yield from _find_parameter_problems(parts.parameters)


def build_sqlite_target(url: str, directory: Path = Path()) -> SqliteTarget:
    """Return what a URL without faults names; a relative path is in `directory`."""
    parts = _split(url)
    given = dict(parameter.split("=", 1) for parameter in parts.parameters)
    in_memory = parts.decoded == _MEMORY or given.get("mode") == "memory"
    mode: Literal["rw", "rwc"] = "rw" if given.get("mode") == "rw" else "rwc"
    path = None if in_memory else directory / parts.decoded
    return SqliteTarget(path, mode)


def _split(url: str) -> _SqliteUrlParts:
    path, _, query = url.removeprefix("sqlite:").removeprefix("//").partition("?")
    return _SqliteUrlParts(path, tuple(query.split("&")) if query else ())


def _find_path_problems(parts: _SqliteUrlParts) -> Iterator[Problem]:
    path = parts.decoded
    if not path:
        yield Problem("the path is empty", _FORMS)
    elif not path.isprintable() or not _is_utf8(parts.path):
        yield Problem("the path has invalid characters", "Keep to printable UTF-8 characters.")
    elif path.startswith(("sqlite:", "file:")):
        yield Problem("the URL has a second scheme: sqlite: or file:", _FORMS)
    elif (problem := _find_misplaced_path(path)) is not None:
        yield problem
    elif path.endswith("/") or path.rpartition("/")[2] == ".":
        yield Problem("the path names a folder", "Name a file in it.")
    if climbs(parts.path):
        yield Problem(
            "the path has a '..' segment (path traversal)", "Write the path without '..'."
        )


def _find_misplaced_path(path: str) -> Problem | None:
    """Return why a path names no file of this system, or not the
    one that is meant; None if it does.
    """
    if path != _MEMORY and path.rpartition("/")[2] == _MEMORY:
        return Problem("the URL names a file :memory:, not what is in memory", _IN_MEMORY)
    if _WINDOWS.match(path):
        return Problem("the path is one of Windows, which is not supported", _FORMS)
    if (device := _DEVICE.match(path)) is not None:
        return Problem(f"the path is in /{device[1]}, where no database can be", _ELSEWHERE)
    if (unfilled := _UNFILLED.match(path)) is not None:
        return Problem(f"'{unfilled[1]}' at the beginning of the path is not filled in", _FILLED)
    return None


_IN_MEMORY = "Write sqlite::memory:."
_WINDOWS = re.compile(r"/?[A-Za-z]:[\\/]|\\\\")
_DEVICE = re.compile(r"/+(dev|proc|sys)/(?!shm/)")
_ELSEWHERE = "Name a file. To keep nothing: sqlite::memory:."
_UNFILLED = re.compile(r"/?([$%](?=\w)|~(?=/))")
_FILLED = "Write ${HOME}/... or sqlite://~/... for the home folder, with two slashes before it."


def _is_utf8(path: str) -> bool:
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeError:  # encoding too: a lone surrogate
        return False
    return True


def _find_parameter_problems(parameters: tuple[str, ...]) -> Iterator[Problem]:
    names = [parameter.partition("=")[0] for parameter in parameters]
    for name in _VALUES:
        if names.count(name) > 1:
            yield Problem(f"the parameter {name} is repeated", "Give it once.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name not in _VALUES:
            # Not named: what is misplaced there may be a piece of a password.
            yield Problem("the URL has a parameter that is unknown or not allowed", _PARAMETERS)
        elif value not in _VALUES[name]:
            hint = (
                f"It is one of {', '.join(_VALUES[name])}; a read-only store can't keep anything."
            )
            yield Problem(f"the parameter {name} has a value that is not allowed", hint)


_PARAMETERS = "Keep to mode and cache, written as name=value."
