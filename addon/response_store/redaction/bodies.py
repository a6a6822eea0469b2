"""Bodies of every kind: a JSON document, a stream of events, or anything else.

In JSON the strings alone are looked at, member names included. A stream is taken line by line.
What is no JSON is looked at as it stands, and what looks like strings in it as strings.
"""

from __future__ import annotations

import re

from response_store import json_text
from response_store.openai_api.sse import BOM
from response_store.redaction.strings import Seeker, in_strings

_data = re.compile(rb"(?:data:[ ]?)?(?=[\[{\"])")


def in_body(body: bytes, seeker: Seeker) -> bytes:
    """A body without secrets."""
    if _is_json(body):
        return in_strings(body, seeker)
    pieces: list[bytes] = []
    plain: list[bytes] = []
    for line in body.splitlines(keepends=True):
        start = _data.match(line)
        if start is not None and _is_json(line[start.end() :].rstrip(b"\r\n")):
            pieces += [_in_plain(b"".join(plain), seeker), in_strings(line, seeker)]
            plain = []
        else:
            plain.append(line)
    return b"".join((*pieces, _in_plain(b"".join(plain), seeker)))


def _in_plain(text: bytes, seeker: Seeker) -> bytes:
    return seeker.replace(in_strings(text, seeker)) if text else text


def _is_json(text: bytes) -> bool:
    text = text.removeprefix(BOM).strip()
    try:
        json_text.check_values(text)
        match text[:1]:
            case b"{":
                json_text.all_members(text)
            case b"[":
                json_text.elements(text)
            case _:
                return text[:1] == b'"' and json_text.as_text(text) is not None
    except (json_text.UnreadableError, UnicodeDecodeError):
        return False
    return True
