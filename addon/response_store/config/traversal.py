"""Whether a path climbs with `..`, in whatever spelling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote


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
