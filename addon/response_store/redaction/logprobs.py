"""Tokens with their probabilities, which can spell a secret when they are joined."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_member = re.compile(rb'"logprobs"\s*+:\s*+(?=[\[{])').finditer
_token = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]]', re.DOTALL).finditer


def drop_secret_logprobs(body: bytes, is_secret: Callable[[bytes], bool]) -> bytes:
    """Return a body without those logprobs whose tokens, joined, hold a secret."""
    pieces, at = [], 0
    for member in _member(body):
        start = member.end()
        if start < at:
            continue
        end = _find_value_end(body, start)
        if any(map(is_secret, _join_tokens(body[start:end]))):
            pieces += [body[at:start], b"[]" if body[start : start + 1] == b"[" else b"null"]
            at = end
    return b"".join((*pieces, body[at:])) if pieces else body


def _find_value_end(body: bytes, start: int) -> int:
    depth = 0
    for token in _token(body, start):
        if token[0] in b"[{":
            depth += 1
        elif token[0] in b"]}":
            depth -= 1
            if not depth:
                return token.end()
    return len(body)


def _join_tokens(value: bytes) -> Iterator[bytes]:
    """Yield the tokens of each list, joined: as texts, and as the bytes that they stand for."""
    try:
        decoded = msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        yield value  # it can't be told
        return
    lists = [decoded] if isinstance(decoded, list) else list(decoded.values())
    for tokens in lists:
        if isinstance(tokens, list):
            members = [token for token in tokens if isinstance(token, dict)]
            yield b"".join(_read_text(token.get("token")) for token in members)
            yield b"".join(_read_bytes(token.get("bytes")) for token in members)


def _read_text(token: Any) -> bytes:
    return token.encode(errors="replace") if isinstance(token, str) else b""


def _read_bytes(numbers: Any) -> bytes:
    try:
        return bytes(numbers) if isinstance(numbers, list) else b""
    except (TypeError, ValueError):
        return b""
