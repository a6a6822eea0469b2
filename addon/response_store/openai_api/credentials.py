"""Mask credentials before anything is written, also where a stream spells the client's own key in
pieces.

The API defines three places for them: `authorization` of an MCP tool, the values of its
`headers`, and `value` of a container's `domain_secrets`. They are found wherever they are nested,
by walking the tokens of the text: no recursion, so no nesting is too deep, and what is not JSON
is walked as far as it looks like it. All else stays to the letter.

The frames of an exchange carry marks of its credentials: their length and a keyed digest. The key
is in memory only, in the proxy and in its ingester, so that a mark says nothing to anybody else. An
ingester that takes over the journal of a proxy that was killed has no key, and finds nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from response_store.jsontext import TooManyValuesError
from response_store.limits import DEPTH, ECHO_BYTES, QUOTES, READ_SECONDS, SECRETS, Deadline

MASK = b'"***"'
# A string may lack its end where a body was cut off.
_token = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\]:,]', re.DOTALL).finditer
# Two looks before the walk, the cheaper first: do the names occur at all, then as a member's name.
# Of each name the part that is found quickest, measured: bodies are searched before anything else.
_HINTS = (b"uthorizatio", b"heade", b'"domain_se', b'"server_url', b'"data_sou')
_BACKSLASH, _ESCAPE = b"\\", b"\\u00"
_suspicious_names = re.compile(
    rb'"(?<!\\")(?:[aA]uthorization|headers|domain_secrets|server_url|data_sources|[^"\\]{0,14}\\u00[0-9a-fA-F]{2}'
    rb'[^"]{0,80})(?=")'
).finditer
_MAX_NAME = 104  # bytes of one, with its quotes
_colon = re.compile(rb"\s*+:").match
SLICE_BYTES = 64 * 1024  # take 0.2 ms to look at, and at most 4 ms where all is quotes and escapes
_LONG_SECRET = 24  # bytes; ordinary words are shorter
_find_digit = re.compile(rb"[0-9]").search
_CLOCK_INTERVAL = 1024  # tokens
_MIN_REPEATED = 8  # shorter secrets are not looked for elsewhere: they would hit ordinary words
# Of Azure's data sources.
_SOURCE_SECRETS = frozenset(
    {b"key", b"api_key", b"encoded_api_key", b"connection_string", b"access_token", b"password"}
)
_url_secrets = re.compile(
    rb"://(?P<user>[^/@?#\"\\]*+)@|[?&;#][^=&;#\"\\]*+=(?P<value>[^&;#\"\\]*+)"
).finditer
_SCHEMES = frozenset({"bearer", "basic", "token"})
_is_plain = re.compile(r"[A-Za-z0-9 ._~+=:-]*+").fullmatch  # written alike in every JSON text


class Masked(NamedTuple):
    """A body without its credentials, and these as an answer may repeat them, longest first."""

    body: bytes
    secrets: tuple[bytes, ...]


@dataclass(slots=True)
class _Frame:
    """An open object or array: where it hangs, and the member that is being read."""

    is_object: bool
    name: bytes  # the member of the parent that holds this one; an array hands its own on
    in_array: bool
    masks_all: bool = False
    in_source: bool = False  # of Azure's `data_sources`
    key: bytes = b""
    expects_name: bool = field(default=False)


def may_hold_credentials(body: bytes) -> bool:
    """Return whether `mask` may find something in a body; False is certain.

    Of a stream each piece of whole events may be looked at by itself. Any thread.
    """
    return _is_suspicious(body, 0, len(body))


def may_hold_credentials_sliced(
    body: bytes, pause: Callable[[], None], slice_bytes: int = SLICE_BYTES
) -> bool:
    """Return the same of a body of megabytes, and call `pause` between its slices.

    For a worker thread, which holds the interpreter lock while it looks at a slice.
    """
    for start in range(0, len(body), slice_bytes):
        if start:
            pause()
        if _is_suspicious(body, start, start + slice_bytes + _MAX_NAME):
            return True
    return False


class UncleanableError(ValueError):
    """A body may hold credentials, and takes too much to be cleaned. The message is the reason."""


def mask(body: bytes) -> Masked:
    """Mask the credentials of a JSON text; what holds none comes back as it is.

    Raises UncleanableError where it is too deep, or takes too long.
    """
    if not may_hold_credentials(body):
        return Masked(body, ())
    pieces: list[bytes] = []
    secrets: list[bytes] = []
    at = 0
    for start, end in _find_credentials(body):
        is_whole = body[start : start + 1] == b'"'
        pieces += (body[at:start], MASK if is_whole else MASK.strip(b'"'))
        secrets.append(body[start + 1 : end - 1] if is_whole else body[start:end])
        at = end
    if not pieces:
        return Masked(body, ())
    spellings = {spelling for secret in secrets for spelling in _spell(secret)}
    longest_first = sorted(spellings, key=len, reverse=True)
    return Masked(b"".join((*pieces, body[at:])), tuple(longest_first))


def mask_repeated(body: bytes, secrets: tuple[bytes, ...]) -> bytes:
    """Mask a request's credentials where an answer repeats them.

    Raises UncleanableError where that takes too long: they are many, and the body is large.
    """
    if len(secrets) > SECRETS and len(secrets) * len(body) > ECHO_BYTES:
        raise UncleanableError("too many credentials to look for")
    for secret in secrets:
        if secret in body:
            body = body.replace(secret, MASK.strip(b'"'))
    return body


def list_spellings(credentials: Iterable[str]) -> tuple[bytes, ...]:
    """Return a client's credentials as an answer may repeat them."""
    spellings: set[bytes] = set()
    for value in credentials:
        if _is_plain(value):
            spellings.update(one.encode() for one in _worth_finding(value))
        else:
            spellings.update(_spell(json.dumps(value)[1:-1].encode()))
    return tuple(sorted(spellings, key=lambda one: (-len(one), one)))


def is_ordinary(secret: bytes) -> bool:
    """Return whether a credential may be an ordinary word, as those for local servers are."""
    return len(secret) < _LONG_SECRET and _find_digit(secret) is None


def _spell(secret: bytes) -> Iterator[bytes]:
    """Yield the ways to write a secret (the inside of a JSON string) that are worth searching
    for.
    """
    try:
        value = str(json.loads(b'"' + secret + b'"'))
    except ValueError:
        value = secret.decode(errors="replace")
    for each in _worth_finding(value):
        yield json.dumps(each)[1:-1].encode()
        yield json.dumps(each, ensure_ascii=False)[1:-1].encode(errors="replace")
        yield json.dumps(each)[1:-1].replace("/", "\\/").encode()


def _worth_finding(value: str) -> list[str]:
    """Return a credential, and what follows its scheme, as far as they are no ordinary words."""
    kind, _, rest = value.partition(" ")
    values = (value, rest) if kind.lower() in _SCHEMES else (value,)
    return [each for each in values if len(each) >= _MIN_REPEATED]


def _is_suspicious(body: bytes, start: int, end: int) -> bool:
    """Return whether what may be a credential's name stands there; its colon may follow later."""
    find = body.find
    for hint in _HINTS:
        if find(hint, start, end) >= 0:
            break
    else:
        if find(_BACKSLASH, start, end) < 0 or find(_ESCAPE, start, end) < 0:
            return False
    return any(_colon(body, name.end() + 1) for name in _suspicious_names(body, start, end))


def _find_credentials(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield the span of each credential's string, quotes included, or of a part of one."""
    if body.count(b'"') - body.count(b'\\"') > QUOTES:
        raise UncleanableError("too many strings to look for credentials")
    stack: list[_Frame] = []
    deadline = Deadline(READ_SECONDS, processor=True)
    for number, token in enumerate(_token(body)):
        if number % _CLOCK_INTERVAL == 0 and deadline.has_passed:
            raise UncleanableError("it takes too long to look for credentials")
        text = token[0]
        if text[:1] != b'"':
            _walk(stack, text)
        elif stack and stack[-1].expects_name:
            stack[-1].key, stack[-1].expects_name = _decode_name(text), False
        elif stack and _is_credential(stack):
            yield token.span()
        elif stack and stack[-1].key == b"server_url":
            yield from _find_url_credentials(token)


def _find_url_credentials(token: re.Match[bytes]) -> Iterator[tuple[int, int]]:
    """Yield what may be a credential in a URL: name and password, and what parameters say."""
    for part in _url_secrets(token[0]):
        start, end = part.span(part.lastgroup or 0)
        if start < end:
            yield token.start() + start, token.start() + end


def _walk(stack: list[_Frame], mark: bytes) -> None:
    if mark in b"{[":
        if len(stack) >= DEPTH:
            raise UncleanableError("nested too deeply to look for credentials")
        stack.append(_open(stack, mark == b"{"))
    elif mark in b"}]":
        if stack:
            stack.pop()
    elif mark == b"," and stack:
        stack[-1].expects_name = stack[-1].is_object


def _open(stack: list[_Frame], is_object: bool) -> _Frame:
    if not stack:
        return _Frame(is_object, b"", False, expects_name=is_object)
    parent = stack[-1]
    name = parent.key if parent.is_object else parent.name
    masks_all = parent.masks_all or _is_credential_member(parent)
    in_source = parent.in_source or (parent.is_object and parent.key == b"data_sources")
    return _Frame(
        is_object, name, not parent.is_object, masks_all, in_source, expects_name=is_object
    )


def _is_credential_member(tool: _Frame) -> bool:
    """Return whether what comes here is `headers` or `authorization` of a tool in a `tools`
    array.
    """
    named = tool.key in (b"headers", b"authorization")
    return named and tool.is_object and tool.in_array and tool.name == b"tools"


def _is_credential(stack: list[_Frame]) -> bool:
    frame = stack[-1]
    if frame.masks_all or _is_credential_member(frame):
        return True
    if not frame.is_object:
        return False
    if frame.in_source and (
        frame.key in _SOURCE_SECRETS or (frame.name == b"authentication" and frame.key != b"type")
    ):
        return True
    return frame.key == b"authorization" or (
        frame.key == b"value" and frame.in_array and frame.name == b"domain_secrets"
    )


def _decode_name(text: bytes) -> bytes:
    if b"\\" not in text:
        return text[1:-1].lower()
    try:
        return str(json.loads(text)).encode(errors="replace").lower()
    except ValueError:
        return text[1:-1]


Mark = tuple[int, bytes]
PROCESS_KEY = secrets.token_bytes(32)
"""The key of this process's marks."""
_MOST_MARKS = 32
_SLACK = 16  # bytes around a credential within one word that is looked at everywhere
_LOOK_EVERY = 256  # words


def marks_of(credentials: Iterable[bytes]) -> tuple[Mark, ...]:
    """Return the marks of a client's credentials; ordinary words have none."""
    telling = [one for one in credentials if not is_ordinary(one)]
    return tuple((len(one), _digest(one, PROCESS_KEY)) for one in telling[:_MOST_MARKS])


def find_echoes(texts: Iterable[bytes], marks: Sequence[Mark], key: bytes) -> tuple[bytes, ...]:
    """Return the credentials that stand in some texts, longest first.

    Raises TooManyValuesError where that takes too long.
    """
    if not (marks and key):
        return ()
    known = set(marks)
    lengths = sorted({length for length, _ in marks})
    echoes = {
        part
        for word in _words(texts, lengths[0])
        for part in _parts(word, lengths)
        if (len(part), _digest(part, key)) in known
    }
    return tuple(sorted(echoes, key=len, reverse=True))


def _words(texts: Iterable[bytes], least: int) -> Iterator[bytes]:
    """Yield the words that are long enough; neither quotes nor escapes belong to one."""
    deadline = Deadline(READ_SECONDS, processor=True)
    find_words = re.compile(rb"[!#-\[\]-~]{%d,}" % least).finditer
    for number, word in enumerate(each for text in texts for each in find_words(text)):
        if number % _LOOK_EVERY == 0 and deadline.has_passed:
            raise TooManyValuesError("it takes too long to look for credentials")
        yield word[0]


def _parts(word: bytes, lengths: Sequence[int]) -> Iterable[bytes]:
    """Yield what may be a credential in a word: all of some length; of a long one its ends."""
    for length in lengths:
        last = len(word) - length
        if 0 <= last <= _SLACK:
            yield from (word[at : at + length] for at in range(last + 1))
        elif last > 0:
            yield word[:length]
            yield word[last:]


def _digest(value: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(value, key=key, digest_size=16).digest()
