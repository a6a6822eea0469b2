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
from .problems import Fault
from .traversal import climbs

_MEMORY = ":memory:"
_FORMS = "Write sqlite://relative.db, sqlite:///absolute.db or sqlite::memory:."
_VALUES = {"mode": ("rwc", "rw", "memory"), "cache": ("private", "shared")}
_MAX_LENGTH = 4_096  # of a path, on most systems


class _Parts(NamedTuple):
    path: str  # as written, percent signs and all
    parameters: tuple[str, ...]

    @property
    def decoded(self) -> str:
        return unquote(self.path)


def sqlite_url_faults(url: str) -> Iterator[Fault]:
    """Yield what is wrong with a URL, by all rules at once."""
    if url != url.strip():
        yield Fault("the URL has whitespace around it", "Take it away.")
    elif len(url) > _MAX_LENGTH:
        yield Fault(f"the URL exceeds {_MAX_LENGTH} characters", "Take a shorter path.")
    elif not url.startswith("sqlite:"):
        yield Fault("the URL's scheme is not sqlite", _FORMS)
    else:
        parts = _split(url)
        yield from _path_faults(parts)
        yield from _parameter_faults(parts.parameters)


def sqlite_target(url: str, directory: Path = Path()) -> SqliteTarget:
    """Return what a URL without faults names; a relative path is in `directory`."""
    parts = _split(url)
    given = dict(parameter.split("=", 1) for parameter in parts.parameters)
    in_memory = parts.decoded == _MEMORY or given.get("mode") == "memory"
    mode: Literal["rw", "rwc"] = "rw" if given.get("mode") == "rw" else "rwc"
    path = None if in_memory else directory / parts.decoded
    return SqliteTarget(path, mode)


def _split(url: str) -> _Parts:
    path, _, query = url.removeprefix("sqlite:").removeprefix("//").partition("?")
    return _Parts(path, tuple(query.split("&")) if query else ())


def _path_faults(parts: _Parts) -> Iterator[Fault]:
    path = parts.decoded
    if not path:
        yield Fault("the path is empty", _FORMS)
    elif not path.isprintable() or not _is_utf8(parts.path):
        yield Fault("the path has invalid characters", "Keep to printable UTF-8 characters.")
    elif path.startswith(("sqlite:", "file:")):
        yield Fault("the URL has a second scheme: sqlite: or file:", _FORMS)
    elif (fault := _misplaced(path)) is not None:
        yield fault
    elif path.endswith("/") or path.rpartition("/")[2] == ".":
        yield Fault("the path names a folder", "Name a file in it.")
    if climbs(parts.path):
        yield Fault("the path has a '..' segment (path traversal)", "Write the path without '..'.")


def _misplaced(path: str) -> Fault | None:
    """Return why a path names no file of this system, or not the
    one that is meant; None if it does.
    """
    if path != _MEMORY and path.rpartition("/")[2] == _MEMORY:
        return Fault("the URL names a file :memory:, not what is in memory", _IN_MEMORY)
    if _WINDOWS.match(path):
        return Fault("the path is one of Windows, which is not supported", _FORMS)
    if (device := _DEVICE.match(path)) is not None:
        return Fault(f"the path is in /{device[1]}, where no database can be", _ELSEWHERE)
    if (unfilled := _UNFILLED.match(path)) is not None:
        return Fault(f"'{unfilled[1]}' at the beginning of the path is not filled in", _FILLED)
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


def _parameter_faults(parameters: tuple[str, ...]) -> Iterator[Fault]:
    names = [parameter.partition("=")[0] for parameter in parameters]
    for name in _VALUES:
        if names.count(name) > 1:
            yield Fault(f"the parameter {name} is repeated", "Give it once.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name not in _VALUES:
            # Not named: what is misplaced there may be a piece of a password.
            yield Fault("the URL has a parameter that is unknown or not allowed", _PARAMETERS)
        elif value not in _VALUES[name]:
            mend = (
                f"It is one of {', '.join(_VALUES[name])}; a read-only store can't keep anything."
            )
            yield Fault(f"the parameter {name} has a value that is not allowed", mend)


_PARAMETERS = "Keep to mode and cache, written as name=value."
