"""The strings of a JSON text, decoded and searched for secrets, down to JSON that is quoted in
them.

A string that changes is written anew; all else stays to the letter, so what was JSON still is. The
value of a member is searched behind its name as well: some secrets are known by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from response_store import json_text

_DEPTH = 8  # of JSON quoted in JSON
_BATCH_SIZE = 1 << 20  # bytes that are put together for one look
_SEGMENT_SIZE = 1 << 16  # bytes that are left alone where one look finds nothing
_MAX_NAME = 200  # bytes; what is longer names nothing
_token = re.compile(rb'"(?:[^"\\\r\n]++|\\[^\r\n])*+(?:"|\\?(?=[\r\n]|\Z))')
_cut_escape = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3})?\Z")


class SecretMatcher(Protocol):
    """Finds and replaces secrets in texts."""

    def may_contain_secret(self, text: bytes, /) -> bool:
        """Return whether a secret may be in a text; False is certain."""

    def replace(self, text: bytes, lead: bytes = b"", /) -> bytes:
        """Return a text without secrets; in JSON `lead` is what stands before it, from its name
        on.
        """


def may_contain_secret(body: bytes, matcher: SecretMatcher) -> bool:
    """Return whether there may be a secret in a body, or in any string of it; False is certain."""
    batch, size = [], 0
    for text in list_texts(body):
        batch.append(text)
        size += len(text)
        if size > _BATCH_SIZE:
            if matcher.may_contain_secret(b"\n".join(batch)):
                return True
            batch, size = [], 0
    return bool(batch) and matcher.may_contain_secret(b"\n".join(batch))


def list_texts(body: bytes, depth: int = 0) -> Iterator[bytes]:
    """Yield all texts of a body that are searched, and some more."""
    yield body
    if b'"' not in body:
        return
    yield body.replace(b'"', b"\n")  # each string that has no escapes, on a line of its own
    if b"\\" not in body:
        return
    for match, lead in _find_strings(body):
        token = match[0]
        if b"\\" not in token:
            continue
        inner, _ = _split_quotes(token)
        value = _decode_string(inner)
        if value is None:
            yield inner
            continue
        if lead:
            yield lead + value + b'"'
        if depth < _DEPTH and b'"' in value:
            yield from list_texts(value, depth + 1)
        else:
            yield value


def redact_strings(body: bytes, matcher: SecretMatcher, depth: int = 0) -> bytes:
    """Return a JSON text with the secrets in its strings replaced."""
    return b"".join(
        _redact_segment(segment, matcher, depth)
        if may_contain_secret(segment, matcher)
        else segment
        for segment in _split_segments(body)
    )


def _split_segments(body: bytes) -> Iterator[bytes]:
    """Yield pieces of a text; none cuts a string in two, or a member's name from its value."""
    if len(body) <= _SEGMENT_SIZE:
        yield body
        return
    start = end = 0
    for match in _token.finditer(body):
        at = match.start()
        if at - start > _SEGMENT_SIZE and body[end:at].strip() != b":":
            yield body[start:at]
            start = at
        end = match.end()
    yield body[start:]


def _redact_segment(text: bytes, matcher: SecretMatcher, depth: int) -> bytes:
    pieces, at = [], 0
    for match, lead in _find_strings(text):
        pieces += [text[at : match.start()], _redact_string(match[0], lead, matcher, depth)]
        at = match.end()
    return b"".join((*pieces, text[at:]))


def _find_strings(text: bytes) -> Iterator[tuple[re.Match[bytes], bytes]]:
    """Yield each string, and in front of a member's value what leads to it: `"name": "`."""
    before: re.Match[bytes] | None = None
    for match in _token.finditer(text):
        lead = b""
        if before is not None and match.start() - before.start() < _MAX_NAME:
            between = text[before.end() : match.start()]
            if between.strip() == b":":
                lead = text[before.start() : match.start()] + b'"'
        yield match, lead
        before = match


def _redact_string(token: bytes, lead: bytes, matcher: SecretMatcher, depth: int) -> bytes:
    inner, end = _split_quotes(token)
    value = _decode_string(inner)
    if value is None:  # what it means is what stands there, or can't be told
        return b'"' + matcher.replace(inner, lead) + end
    changed = matcher.replace(value, lead)
    if depth < _DEPTH and b'"' in changed:
        changed = redact_strings(changed, matcher, depth + 1)
    if changed == value:
        return token
    return bytes(json_text.encode_string(changed.decode(errors="replace")))[:-1] + end


def _split_quotes(token: bytes) -> tuple[bytes, bytes]:
    """Return what stands between the quotes, and the end; a cut string may end with half an
    escape.
    """
    if len(token) > 1 and _is_closed(token):
        return token[1:-1], b'"'
    cut = _cut_escape.search(token)
    at = cut.start() if cut else len(token)
    return token[1:at], token[at:]


def _is_closed(token: bytes) -> bool:
    before = token[:-1]
    return token.endswith(b'"') and not (len(before) - len(before.rstrip(b"\\"))) % 2


def _decode_string(inner: bytes) -> bytes | None:
    """Return the decoded text of a string with escapes; None without any, or where they are
    broken.
    """
    if b"\\" not in inner:
        return None
    token = b'"' + inner + b'"'
    try:
        text = json_text.read_text(token)
    except UnicodeDecodeError:  # bytes that are no text
        text = json_text.read_text(token.decode(errors="replace").encode())
    return None if text is None else text.encode()
