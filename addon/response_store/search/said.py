"""What of an exchange is indexed: the answer, the calls of tools, errors, and what is new in the
request.

Of the request that is what stands behind the last thing that the model has said: a client may send
the whole conversation again with every request, and what stands before was indexed with the
requests before. Instructions are not indexed, as each request repeats them; nor is reasoning that
is encrypted. JSON is sliced first, and only the slices that count are decoded.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import zstandard
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT, UnreadableError

MOST_CHARACTERS = 1_000_000  # of one exchange
_MOST_BYTES = 8_000_000  # of JSON that is looked into
_MOST_NESTED = 100

# What is too large to be looked into is left where it is.
ROW = f"""
SELECT exchange_id, tenant_id, started_at, state, error_message,
    CASE WHEN length(request_body) <= {_MOST_BYTES} THEN request_body END,
    CASE WHEN length(result) <= {_MOST_BYTES} THEN result END,
    substr(output_text, 1, {MOST_CHARACTERS + 1}),
    (SELECT CASE WHEN length(response_object) <= {_MOST_BYTES} THEN response_object END
     FROM {{responses}}
     WHERE {{responses}}.tenant_id = {{exchanges}}.tenant_id
        AND {{responses}}.id = {{exchanges}}.response_id)
FROM {{exchanges}} WHERE exchange_id = ?"""

_OF_A_CALL = ("name", "arguments", "input", "code", "queries", "query", "command")
_ASKING = ("user", "tool", "function")
_REPEATED = ("system", "developer")


class Row(msgspec.Struct, frozen=True):
    """The columns of an exchange that text comes from, as `ROW` selects them."""

    exchange_id: str
    tenant_id: str
    started_at: float
    state: str
    error_message: str | None = None
    request_body: bytes | None = None
    result: str | None = None
    output_text: str | None = None
    response_object: str | None = None


class Text(NamedTuple):
    """Something that somebody has said: `answer`, `user`, `tool call NAME`, ..."""

    label: str
    text: str


class Bounded(NamedTuple):
    """Texts, with their characters, and how many characters were too much."""

    texts: tuple[Text, ...]
    characters: int
    cut: int


def said(row: Row) -> Bounded:
    """What is indexed of an exchange. Odd or damaged parts are left out; nothing here raises."""
    texts: list[Text] = []
    characters = cut = 0
    for label, text in _texts(row):
        kept = text[: MOST_CHARACTERS - characters]
        characters += len(kept)
        cut += len(text) - len(kept)
        if kept:
            texts.append(Text(label, kept))
    return Bounded(tuple(texts), characters, cut)


def _texts(row: Row) -> Iterator[Text]:
    if row.output_text:
        yield Text("answer", row.output_text)
    if row.error_message:
        yield Text("error", row.error_message)
    yield from _readable(lambda: _answered(row.response_object or row.result, row))
    yield from _readable(lambda: _asked(_unpacked(row.request_body)))


def _readable(read: Callable[[], Iterator[Text]]) -> list[Text]:
    try:
        return [text for text in read() if text.text]
    except (UnreadableError, RecursionError):
        return []


class _Answer(msgspec.Struct):
    output: Raw = ABSENT
    choices: Raw = ABSENT


class _Choice(msgspec.Struct):
    message: Raw = ABSENT


def _answered(document: str | None, row: Row) -> Iterator[Text]:
    """The calls that an answer makes and, where there is no output text, what it says."""
    if document is None:
        return
    answer = json_text.members(document.encode("utf-8", "replace"), _Answer)
    items = [*_elements(answer.output)]
    items += [json_text.members(choice, _Choice).message for choice in _elements(answer.choices)]
    for item in items:
        fields = _fields(item)
        yield from _calls(fields)
        if fields.get("type") == "reasoning":
            yield Text("reasoning", _text(fields.get("summary")) or _text(fields.get("content")))
        elif not row.output_text and fields.get("role") == "assistant":
            yield Text("answer", _text(fields.get("content")))
        if isinstance(refusal := fields.get("refusal"), str):
            yield Text("answer", refusal)


class _Request(msgspec.Struct):
    input: Raw = ABSENT
    messages: Raw = ABSENT
    prompt: Raw = ABSENT


def _asked(body: bytes) -> Iterator[Text]:
    """What is new in a request, in its order; what steered an answer is a document a line."""
    try:
        requests = [json_text.members(body, _Request)]
    except UnreadableError:
        requests = [json_text.members(line, _Request) for line in body.splitlines()]
    for request in requests:
        for given in (request.input, request.messages, request.prompt):
            value = json_text.as_text(given)
            yield from _new(given) if value is None else [Text("user", value)]


def _new(items: Raw) -> list[Text]:
    """What the items behind the last one of the model say."""
    new: list[Text] = []
    for item in reversed(_elements(items)):
        fields = _fields(item)
        if _is_of_the_model(fields):
            break
        new += _of_the_client(fields)
    return new[::-1]


def _is_of_the_model(fields: dict[str, Any]) -> bool:
    kind = str(fields.get("type") or "message")
    if kind == "message":
        return fields.get("role") == "assistant"
    return kind == "reasoning" or kind.endswith("_call")


def _of_the_client(fields: dict[str, Any]) -> Iterator[Text]:
    kind = str(fields.get("type") or "message")
    role = fields.get("role", "user")
    if kind.endswith("_output"):
        yield Text("tool result", _text(fields.get("output")))
    elif kind == "message" and role not in _REPEATED:
        label = "user" if role == "user" or role not in _ASKING else "tool result"
        yield Text(label, _text(fields.get("content")))


def _calls(fields: dict[str, Any]) -> Iterator[Text]:
    told = [fields] if str(fields.get("type")).endswith("_call") else []
    calls = fields.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        inner = (call.get("function") or call.get("custom")) if isinstance(call, dict) else None
        told += [inner] if isinstance(inner, dict) else []
    for call in told:
        action = call.get("action")
        given = [call, action] if isinstance(action, dict) else [call]
        words = (_text(each.get(name)) for each in given for name in _OF_A_CALL)
        yield Text("tool call", " ".join(filter(None, words)))
        if call.get("output") is not None:
            yield Text("tool result", _text(call["output"]))


def _text(value: object, depth: int = 0) -> str:
    """The text in a content: a string, or the strings of its parts; no files, no ids."""
    if isinstance(value, str):
        return value
    if depth > _MOST_NESTED:
        return ""
    if isinstance(value, list):
        return "\n".join(filter(None, (_text(part, depth + 1) for part in value)))
    if isinstance(value, dict):
        return next((_text(value[name], depth + 1) for name in _TEXTS if name in value), "")
    return ""


_TEXTS = ("text", "refusal", "content", "output")


def _elements(text: Raw) -> list[Raw]:
    return json_text.elements(text) if bytes(memoryview(text)[:1]) == b"[" else []


def _fields(item: Raw) -> dict[str, Any]:
    """An item's members; an item that is no object counts as what a user has said."""
    try:
        value = msgspec.json.decode(item)
    except (msgspec.MsgspecError, RecursionError):  # lone surrogates, numbers of any size
        value = _decoded(item)
    return value if isinstance(value, dict) else {"role": "user", "content": value}


def _decoded(item: Raw) -> Any:
    try:
        return json.loads(json_text.as_str(item), parse_int=str, parse_float=str, strict=False)
    except ValueError:
        return None


def _unpacked(frame: bytes | None) -> bytes:
    """The body in a zstd frame; empty where there is none, or it is too large or damaged."""
    if frame is None:
        return b""
    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(frame)) as reader:
            body: bytes = reader.read(_MOST_BYTES + 1)
    except zstandard.ZstdError:
        return b""
    return body if len(body) <= _MOST_BYTES else b""
