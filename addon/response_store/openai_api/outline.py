"""Large JSON objects by their ends: the event loop has no time to read all of them.

Names and ids stand at the beginning, and what some servers write behind the large part is a few
short members. What lies between is left out.
"""

from __future__ import annotations

import re

from response_store.limits import OUTLINE_END, OUTLINED

_MAX_DEPTH = 4  # levels that are told apart
_CLOSERS = {b"{": b"}", b"[": b"]"}
_token = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[{}\[\],]', re.DOTALL).finditer
_short_member = re.compile(
    rb',\s*+"(?:[^"\\]++|\\.)*+"\s*+:\s*+(?:"(?:[^"\\]++|\\.)*+"|[-+0-9.eE]++|true|false|null)\s*+',
    re.DOTALL,
).finditer
_is_end = re.compile(rb"\}\s*+\Z").match


def outline_if_large(text: bytes) -> bytes:
    """Return a JSON text as it is, or the outline of a large one."""
    if len(text) <= OUTLINED:
        return text
    return outline(text[:OUTLINE_END], text[-OUTLINE_END:])


def outline(head: bytes, tail: bytes) -> bytes:
    """Return a JSON object with the members that the two ends of a large one hold whole.

    What is no object comes out as a text that is none either.
    """
    start, closers = _close_head(head)
    if closers[-1:] != b"}":
        return start + closers
    members = _find_last_members(tail)
    if start.rstrip().endswith((b"{", b"[")) and len(closers) == 1:
        members = members.removeprefix(b",")
    return start + closers[:-1] + members + b"}"


def _close_head(head: bytes) -> tuple[bytes, bytes]:
    """Return the beginning up to its last whole member, and the brackets that close it."""
    open_brackets: list[bytes] = []
    kept, closers = 0, b""
    for token in _token(head):
        mark = token[0]
        if mark[:1] == b'"':
            if token[1] is None:
                break
            continue
        if mark in _CLOSERS:
            open_brackets.append(_CLOSERS[mark])
        elif mark != b",":
            del open_brackets[-1:]
        if len(open_brackets) <= _MAX_DEPTH:
            kept = token.start() if mark == b"," else token.end()
            closers = b"".join(reversed(open_brackets))
        if not open_brackets:
            break
    return head[:kept], closers


def _find_last_members(tail: bytes) -> bytes:
    """Return the short members at the end of an object, each behind a comma."""
    start = end = 0
    for member in _short_member(tail):
        if member.start() != end or not end:
            start = member.start()
        end = member.end()
    return tail[start:end] if end and _is_end(tail, end) else b""
