"""Reads a YAML file into plain values, and remembers the line of each key.

YAML as JSON understands it: mappings, lists, texts, numbers, booleans and null. Anything else
(tags, keys that are no text, a key given twice) is a problem with its line. Nothing that PyYAML
says is passed on: its messages quote the file.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from .problems import Problem
from .secret import is_url, mask_urls
from .yaml_errors import describe_yaml_error, find_line
from .yaml_nodes import KeyPath, NodeReader

MAX_BYTES = 256 * 1024  # PyYAML reads some 100 KB a second

Located: TypeAlias = "tuple[KeyPath, int | None, Problem]"


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a file, the line of each key path, and what is wrong with its YAML.

    `readable` is false where there is nothing that could be checked any further.
    """

    source: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: tuple[Located, ...] = ()
    readable: bool = True

    def line(self, path: KeyPath) -> int | None:
        """Return the line of a key, or of the nearest one around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None


def read_document(path: str | os.PathLike[str]) -> Document:
    """Return the document in a file; whatever is wrong with it is among its faults."""
    source = mask_urls(_escape_path(os.fspath(path)))
    if is_url(os.fsdecode(path)):
        return _build_unreadable(source, _NO_PATH)
    content = _read_bytes(path)
    if isinstance(content, Problem):
        return _build_unreadable(source, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _build_unreadable(
            source, Problem("the file is not UTF-8", "Save it as UTF-8."), line
        )
    if odd := _ODD_LINE_BREAK.search(text):
        return _build_unreadable(source, _NO_LINE_BREAK, text.count("\n", 0, odd.start()) + 1)
    if odd := _ODD_BLANK.search(text):
        return _build_unreadable(source, _NO_BLANK, text.count("\n", 0, odd.start()) + 1)
    return _parse(source, text)


# At the beginning of a line or after a colon or dash they look like spaces, and are none to YAML.
_ODD_BLANK = re.compile(
    "(?m)^[ -]*[\xa0\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]"
    "|:[ \t]*[\xa0\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff]"
)
_NO_BLANK = Problem(
    "a no-break space, or another blank that only looks like one, stands where YAML wants spaces",
    "Replace it by plain spaces: it came along with a copy from a page or a chat.",
)
# YAML 1.1 starts a new line at these, and no editor shows it: what looks like one value is two.
_ODD_LINE_BREAK = re.compile("[\x85\u2028\u2029]")
_NO_LINE_BREAK = Problem(
    "a line separator that editors do not show (U+0085, U+2028 or U+2029) stands in the file",
    "Take it out, or write it as an escape in double quotes.",
)


_NO_PATH = Problem(
    "this is a URL, and the path of a YAML file is wanted here",
    "Name a file. The URL of a database goes into its database_url, or into"
    " RESPONSE_STORE_DATABASE_URL.",
)


def _parse(source: str, text: str) -> Document:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        line = find_line(error, text)
        written = text.splitlines()[line - 1 : line] if line else []
        in_memory = any(":memory:" in one for one in written)
        return _build_unreadable(
            source, _IN_QUOTES if in_memory else describe_yaml_error(error), line
        )
    except RecursionError:
        return _build_unreadable(source, Problem("the file is nested too deeply", "Nest it less."))
    reader = NodeReader()
    values = reader.read(node, ())
    if values is None:
        values = {}
    if not isinstance(values, dict):
        return _build_unreadable(source, _NO_MAPPING, reader.lines.get(()))
    return Document(source, values, reader.lines, tuple(reader.problems), reader.complete)


_IN_QUOTES = Problem(
    "a colon at the end makes a key of it, for YAML",
    'Put it in quotes: database_url: "sqlite::memory:"',
)
_NO_MAPPING = Problem("the file is not a mapping of keys", "Write lines such as: durability: power")


def _read_bytes(path: str | os.PathLike[str]) -> bytes | Problem:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return Problem("this is not a regular file", "Name a YAML file.")
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return _explain_os_error(error)
    if len(content) > MAX_BYTES:
        return Problem(f"the file has more than {MAX_BYTES} bytes", "Name the configuration file.")
    return content


def _explain_os_error(error: OSError | ValueError) -> Problem:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            return Problem("there is no such file", "Check the path.")
        case PermissionError():
            return Problem("the file may not be read", "Allow this user to read it.")
        case OSError():
            return Problem(f"the file can't be read ({error.strerror})", "Check the path.")
        case _:
            return Problem("the path can't name a file", "Check the path.")


def _build_unreadable(source: str, problem: Problem, line: int | None = None) -> Document:
    return Document(source, problems=(((), line, problem),), readable=False)


def _escape_path(path: str | bytes) -> str:
    text = os.fsdecode(path)
    return text if text.isprintable() else ascii(text)
