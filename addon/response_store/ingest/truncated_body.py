"""Bodies of which only the beginning is kept: what can be read of them.

A stream is read as far as it came. A JSON object that breaks off is closed where it does: its last
string gets its end, and what is open its brackets.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from response_store.json_text import (
    LongText,
    TooManyValuesError,
    UnreadableError,
    as_utf8,
    column,
    valid_utf8,
)
from response_store.openai_api.answer_body import read_answer
from response_store.openai_api.outcome import ParsedResponse, Usage
from response_store.store.records import Api, Transport

_token = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[{}\[\],]', re.DOTALL).finditer
# A string up to its last whole character: half an escape, or half a surrogate pair, is left out.
_whole_characters = re.compile(
    rb'"(?:[^"\\]++'
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"
    rb"|\\[^u])*+",
    re.DOTALL,
).match
_CLOSERS = {b"{": b"}", b"[": b"]"}
_BLANKS = (b" ", b"\t", b"\r", b"\n")


def read_beginning(api: Api, transport: Transport, body: bytes, *, may_cut: bool) -> ParsedResponse:
    """Read the beginning of an answer: names and a prefix of the text, no tokens, no response.

    Where it `may_cut` a secret in two the text goes to its last blank only: nothing would recognise
    the half of one. Raises TooManyValuesError.
    """
    part = _read_part(api, transport, _drop_half_character(body))
    text = part.output_text
    return replace(
        part,
        response=None,
        partial=part.response or part.partial,
        items=(),
        output_text=_drop_last_word(text) if text and may_cut else text,
        usage=Usage(),
        parse_error=None,
    )


def list_closings(text: bytes) -> Iterator[bytes]:
    """Yield the ways to close a JSON text that breaks off; the first that is JSON keeps most."""
    open_brackets: list[bytes] = []
    last: re.Match[bytes] | None = None
    kept = 0  # up to here every member and element is whole
    for last in _token(text):
        mark = last[0]
        if mark in _CLOSERS:
            open_brackets.append(_CLOSERS[mark])
            kept = last.end()
        elif mark == b",":
            kept = last.start()
        elif mark in (b"}", b"]"):
            del open_brackets[-1:]
            kept = last.end()
    end = b"".join(reversed(open_brackets))
    if last is not None and last[0][:1] == b'"' and last[1] is None:
        whole = _whole_characters(text, last.start())
        assert whole is not None  # it begins with a quote
        yield text[: whole.end()] + b'"' + end
    yield text + end
    yield text[:kept] + end


def _read_part(api: Api, transport: Transport, body: bytes) -> ParsedResponse:
    try:
        return read_answer(api, transport, body)
    except TooManyValuesError:
        raise
    except UnreadableError:
        pass
    for candidate in list_closings(body):
        try:
            return read_answer(api, transport, candidate)
        except UnreadableError:
            continue
    return ParsedResponse()


def _drop_half_character(body: bytes) -> bytes:
    end, is_cut_off = valid_utf8(body)
    return body[:end] if is_cut_off else body


def _drop_last_word(text: LongText) -> LongText | None:
    whole = as_utf8(text)
    return column(whole[: max(map(whole.rfind, _BLANKS)) + 1]) or None
