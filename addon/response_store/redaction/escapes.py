"""Terminal escapes in a text: a secret may stand behind one, or be cut by one.

`grep --color` writes some before and behind each hit, which may be the half of a key.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate

from response_store.limits import Deadline
from response_store.redaction.patterns import Pattern, SecretMatch, find_secrets, merge_matches

ESCAPE = b"\x1b"
# Control sequences (the colours among them), strings up to their end, and shorter ones.
_escape = re.compile(
    rb"\x1b\[[0-?]*+[ -/]*+[@-~]?"
    rb"|\x1b[\]PX^_][^\x07\x1b]*+(?:\x07|\x1b\\)?"
    rb"|\x1b[ -/]*+[0-~]?"
)


def strip_escapes(text: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a text without its escapes, and where these stand."""
    spans = [escape.span() for escape in _escape.finditer(text)]
    return _escape.sub(b"", text), spans


def find_behind_escapes(
    text: bytes,
    matches: list[SecretMatch],
    patterns: Iterable[Pattern],
    deadline: Deadline | None,
) -> list[SecretMatch]:
    """Return the secrets that were found in a text, and those that escapes hide."""
    plain, escapes = strip_escapes(text)
    # Where each piece of the plain text begins, and how far it stands from its place.
    shifts = [0, *accumulate(end - start for start, end in escapes)]
    starts = [start - shift for (start, _), shift in zip(escapes, shifts, strict=False)]
    hidden = [
        SecretMatch(
            name,
            start + shifts[bisect_right(starts, start)],
            end + shifts[bisect_right(starts, end - 1)],
        )
        for name, start, end in find_secrets(plain, patterns, deadline=deadline)
    ]
    return merge_matches([*matches, *hidden])
