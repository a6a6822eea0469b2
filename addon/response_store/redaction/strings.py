"""The strings of a JSON text, looked at as what they mean, down to JSON that is quoted in them.

Escapes are decoded. A string that changes is written anew; all else stays to the letter, so what
was JSON still is. The value of a member is looked at behind its name as well: some secrets are
known by what they are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from response_store import json_text

_DEPTH = 8  # of JSON quoted in JSON
_BATCH = 1 << 20  # bytes that are put together for one look
_SEGMENT = 1 << 16  # bytes that are left alone where one look finds nothing
_MOST_NAME = 200  # bytes; what is longer names nothing
_token = re.compile(rb'"(?:[^"\\\r\n]++|\\[^\r\n])*+(?:"|\\?(?=[\r\n]|\Z))')
_cut_escape = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")


class Seeker(Protocol):
    """Knows secrets."""

    def suspect(self, text: bytes, /) -> bool:
        """Whether a secret may be in a text; False is certain."""

    def replace(self, text: bytes, lead: bytes = b"", /) -> bytes:
        """A text without secrets; in JSON `lead` is what stands before it, from its name on."""


def suspicious(body: bytes, seeker: Seeker) -> bool:
    """Whether there may be a secret in a body, or in any string of it; False is certain."""
    batch, size = [], 0
    for text in texts(body):
        batch.append(text)
        size += len(text)
        if size > _BATCH:
            if seeker.suspect(b"\n".join(batch)):
                return True
            batch, size = [], 0
    return bool(batch) and seeker.suspect(b"\n".join(batch))


def texts(body: bytes, depth: int = 0) -> Iterator[bytes]:
    """All that is looked at in a body, and more."""
    yield body
    if b'"' not in body:
        return
    yield body.replace(b'"', b"\n")  # each string that has no escapes, on a line of its own
    if b"\\" not in body:
        return
    for found, lead in _found(body):
        token = found[0]
        if b"\\" not in token:
            continue
        inner, _ = _inside(token)
        value = _value(inner)
        if value is None:
            yield inner
            continue
        if lead:
            yield lead + value + b'"'
        if depth < _DEPTH and b'"' in value:
            yield from texts(value, depth + 1)
        else:
            yield value


def in_strings(body: bytes, seeker: Seeker, depth: int = 0) -> bytes:
    """A JSON text with its strings replaced."""
    return b"".join(
        _in_segment(segment, seeker, depth) if suspicious(segment, seeker) else segment
        for segment in _segments(body)
    )


def _segments(body: bytes) -> Iterator[bytes]:
    """Pieces of a text that cut no string in two, nor a member's name from its value."""
    if len(body) <= _SEGMENT:
        yield body
        return
    start = end = 0
    for found in _token.finditer(body):
        at = found.start()
        if at - start > _SEGMENT and body[end:at].strip() != b":":
            yield body[start:at]
            start = at
        end = found.end()
    yield body[start:]


def _in_segment(text: bytes, seeker: Seeker, depth: int) -> bytes:
    pieces, at = [], 0
    for found, lead in _found(text):
        pieces += [text[at : found.start()], _in_string(found[0], lead, seeker, depth)]
        at = found.end()
    return b"".join((*pieces, text[at:]))


def _found(text: bytes) -> Iterator[tuple[re.Match[bytes], bytes]]:
    """Each string, and of a member's value what leads to it: `"name": "`."""
    before: re.Match[bytes] | None = None
    for found in _token.finditer(text):
        lead = b""
        if before is not None and found.start() - before.start() < _MOST_NAME:
            between = text[before.end() : found.start()]
            if between.strip() == b":":
                lead = text[before.start() : found.start()] + b'"'
        yield found, lead
        before = found


def _in_string(token: bytes, lead: bytes, seeker: Seeker, depth: int) -> bytes:
    inner, end = _inside(token)
    value = _value(inner)
    if value is None:  # what it means is what stands there, or can't be told
        return b'"' + seeker.replace(inner, lead) + end
    changed = seeker.replace(value, lead)
    if depth < _DEPTH and b'"' in changed:
        changed = in_strings(changed, seeker, depth + 1)
    if changed == value:
        return token
    return bytes(json_text.string(changed.decode(errors="replace")))[:-1] + end


def _inside(token: bytes) -> tuple[bytes, bytes]:
    """What stands between the quotes, and the end; cut off, it ends with half an escape or none."""
    if len(token) > 1 and _is_closed(token):
        return token[1:-1], b'"'
    cut = _cut_escape.search(token)
    at = cut.start() if cut else len(token)
    return token[1:at], token[at:]


def _is_closed(token: bytes) -> bool:
    before = token[:-1]
    return token.endswith(b'"') and not (len(before) - len(before.rstrip(b"\\"))) % 2


def _value(inner: bytes) -> bytes | None:
    """What a string with escapes means; None where there are none, or they can't be read."""
    if b"\\" not in inner:
        return None
    token = b'"' + inner + b'"'
    try:
        text = json_text.as_text(token)
    except UnicodeDecodeError:  # bytes that are no text
        text = json_text.as_text(token.decode(errors="replace").encode())
    return None if text is None else text.encode()
