"""Look at the strings of bodies as what they mean: JSON in JSON, streams in pieces, tokens.

A string that changes is written anew; all else stays to the letter, so what was JSON still is. The
value of a member is searched behind its name as well: some secrets are known by their names.

In JSON the strings alone are looked at, member names included. A stream is taken line by line.
What is no JSON is looked at as it stands, and what looks like strings in it as strings.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from response_store import jsontext
from response_store.jsontext import check_values
from response_store.openai_api.sse import BOM, Event, parse_stream

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
    return bytes(jsontext.encode_string(changed.decode(errors="replace")))[:-1] + end


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
    text = None
    with contextlib.suppress(UnicodeDecodeError):  # which newer msgspec reports as any other error
        text = jsontext.read_text(token)
    if text is None:  # perhaps bytes that are no text
        text = jsontext.read_text(token.decode(errors="replace").encode())
    return None if text is None else text.encode()


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
        jsontext.check_values(text)
        match text[:1]:
            case b"{":
                jsontext.slice_all_members(text)
            case b"[":
                jsontext.slice_elements(text)
            case _:
                return text[:1] == b'"' and jsontext.read_text(text) is not None
    except (jsontext.UnreadableError, UnicodeDecodeError):
        return False
    return True


_member = re.compile(rb'"logprobs"\s*+:\s*+(?=[\[{])').finditer
_read_token = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]]', re.DOTALL).finditer


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
    for token in _read_token(body, start):
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


_PLACES = ("type", "item_id", "output_index", "content_index", "summary_index", "index")


def join_deltas(stream: bytes) -> list[bytes]:
    """Return the texts that the deltas of a stream add up to, each on its own.

    Some servers name each event's item anew, so that they are also joined without regard to what
    changes from event to event. Raises TooManyValuesError.
    """
    pieces: dict[Any, list[str]] = defaultdict(list)
    for event in parse_stream(stream):
        for place, piece in _find_deltas(_decode(event), ()):
            pieces[place].append(piece)
            pieces[_drop_indexes(place)].append(piece)
    return ["".join(each).encode(errors="replace") for each in pieces.values()]


def _drop_indexes(place: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return what stays of a place where items and indexes change: the type, and names of
    members.
    """
    return ("kind", place[0], *(name for name in place[len(_PLACES) :] if not name.isdigit()))


def _decode(event: Event) -> Any:
    if b"delta" not in event.data:
        return None
    check_values(event.data)
    try:
        return msgspec.json.decode(event.data)
    except (msgspec.MsgspecError, RecursionError):
        pass
    try:
        return json.loads(event.data)
    except (ValueError, RecursionError):
        return None


def _find_deltas(value: Any, place: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], str]]:
    """Yield the texts under `delta`, each with what tells it from the others."""
    if not isinstance(value, dict):
        return
    here = (*place, *(str(value.get(name)) for name in _PLACES))
    if "delta" in value:
        yield from _find_leaves(value["delta"], here)
    for choice in value.get("choices") or () if isinstance(value.get("choices"), list) else ():
        yield from _find_deltas(choice, here)


def _find_leaves(value: Any, place: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _find_leaves(member, (*place, name))
    elif isinstance(value, list):
        for at, member in enumerate(value):
            number = member.get("index", at) if isinstance(member, dict) else at
            yield from _find_leaves(member, (*place, str(number)))
