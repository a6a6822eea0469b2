"""Private keys as PEM: from the mark where one begins to the one where it ends.

Cut off before its end, a key goes up to what is no base64, escaped line ends included. Each byte
is looked at a few times at most, however many marks there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

KEY_NAME = "[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?"
_name = KEY_NAME.encode()
_MARGIN = rb"\xe2\x86\x92\x94\x82"  # bytes of an arrow and of a bar, which tools put before lines
_begins = re.compile(rb"-----BEGIN " + _name + rb"-----").finditer
_end_or_other = re.compile(
    rb"-----END " + _name + rb"-----|[^A-Za-z0-9+/=\\\s:,.'\"|>#*`();" + _MARGIN + rb"-]"
).search
_base64 = re.compile(rb"[A-Za-z0-9+/=\\\s|>:#*" + _MARGIN + rb"]*+").match


class PrivateKeys:
    """A matcher for private keys, with the method of a regular expression."""

    group = 0

    def spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Yield where each begins and ends."""
        at = 0
        stop: re.Match[bytes] | None = None
        stop_at = -1  # where `stop` stands; nothing stops a key before it
        for begin in _begins(text):
            if begin.start() < at:
                continue
            if stop_at < begin.end():
                stop = _end_or_other(text, begin.end())
                stop_at = stop.start() if stop else len(text)
            if stop is not None and stop[0][:1] == b"-":
                at = stop.end()
            else:
                rest = _base64(text, begin.end())
                at = rest.end() if rest else begin.end()
            yield begin.start(), at
