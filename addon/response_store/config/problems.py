"""Word what is wrong with a configuration: where, which key, which rule, and the fix.

No text here ever holds a value from the file: one of them may be a database URL with a password,
perhaps under the wrong key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import unquote


class Problem(NamedTuple):
    """A broken rule and how to fix it, before it is known where it stands."""

    rule: str
    hint: str


class LocatedProblem(NamedTuple):
    """A fault with its place. `line` counts from 1; `key` is empty where it is the whole file."""

    source: str
    line: int | None
    key: str
    rule: str
    hint: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        about = f"{place}: {self.key}" if self.key else place
        return f"{about}: {self.rule}\n    {self.hint}"


def format_problems(problems: Iterable[LocatedProblem]) -> str:
    """Return all problems as one text, in the order of the lines, a paragraph each."""
    ordered = sorted(dict.fromkeys(problems), key=lambda problem: problem.line or 0)
    count = "1 problem" if len(ordered) == 1 else f"{len(ordered)} problems"
    head = f"Response Store: the configuration is refused, {count}."
    return "\n".join([head, *map(str, ordered)])


def climbs(path: str) -> bool:
    """Return whether a path has a `..` segment, as written or percent-decoded any number of times.

    A `file:` before it, which SQLite takes for the start of a URI, hides none.
    """
    return any(
        ".." in re.split(r"[/\\]", spelling.removeprefix("file:"))
        for spelling in _list_spellings(path)
    )


def _list_spellings(path: str) -> Iterator[str]:
    while True:
        yield path
        decoded = unquote(path)
        if decoded == path:
            return
        path = decoded
