"""Bodies of every kind: a JSON document, a stream of events, or anything else.

In JSON the strings alone are looked at, member names included. A stream is taken line by line.
What is no JSON is looked at as it stands, and what looks like strings in it as strings.
"""

from __future__ import annotations

import re

from response_store import json_text
from response_store.openai_api.sse import BOM
from response_store.redaction.strings import SecretMatcher, redact_strings

_data = re.compile(rb"(?:data:[ ]?)?(?=[\[{\"])")


def redact_body(body: bytes, matcher: SecretMatcher) -> bytes:
    """Return a body without secrets."""
    if _is_json(body):
        return redact_strings(body, matcher)
    pieces: list[bytes] = []
    plain: list[bytes] = []
    for line in body.splitlines(keepends=True):
        start = _data.match(line)
        if start is not None and _is_json(line[start.end() :].rstrip(b"\r\n")):
            pieces += [_redact_plain(b"".join(plain), matcher), redact_strings(line, matcher)]
            plain = []
        else:
            plain.append(line)
    return b"".join((*pieces, _redact_plain(b"".join(plain), matcher)))


def _redact_plain(text: bytes, matcher: SecretMatcher) -> bytes:
    return matcher.replace(redact_strings(text, matcher)) if text else text


def _is_json(text: bytes) -> bool:
    text = text.removeprefix(BOM).strip()
    try:
        json_text.check_values(text)
        match text[:1]:
            case b"{":
                json_text.slice_all_members(text)
            case b"[":
                json_text.slice_elements(text)
            case _:
                return text[:1] == b'"' and json_text.read_text(text) is not None
    except (json_text.UnreadableError, UnicodeDecodeError):
        return False
    return True
