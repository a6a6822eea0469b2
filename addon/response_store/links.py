"""Links on the way to a file: whose they are, as their owner decides where they lead."""

from __future__ import annotations

import os
from pathlib import Path

_MAX_LINKS = 40


class TooManyLinksError(OSError):
    """A path goes through more links than any system follows."""


def find_foreign_link(path: Path) -> Path | None:
    """Return the first link on the way to an absolute path that is neither root's nor ours.

    None where there is none. Raises TooManyLinksError, and OSError where a link can't be read.
    """
    for _ in range(_MAX_LINKS):
        link = next((part for part in reversed([path, *path.parents]) if part.is_symlink()), None)
        if link is None:
            return None
        if link.lstat().st_uid not in {0, os.geteuid()}:
            return link
        path = link.parent / link.readlink() / path.relative_to(link)
    raise TooManyLinksError(f"{path}: too many links")
