"""Choose the text of an exchange that is indexed: the answer, calls, errors, new input.

New in a request is what stands behind the last item of the model: a client may send the whole
conversation again with every request, and what stands before was indexed with the requests before.
(Items of the model at the very end are new as well: nobody has sent them yet.) Instructions are not
indexed, as each request repeats them; nor is what is encrypted. JSON is sliced first, and only the
slices that count are decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT, UnreadableError
from response_store.limits import BASE_BYTES
from response_store.model.zstd import DamagedZstdError, unpack
from response_store.openai_api.item_kinds import LabelledTurn
from response_store.openai_api.item_texts import Fields, as_fields
from response_store.openai_api.items import (
    build_accumulated_sql,
    choose_fuller_slices,
    is_from_model,
    read_accumulated,
    read_input_items,
    read_response_items,
    slice_array,
    to_item,
)

MAX_CHARACTERS = 1_000_000  # of one exchange
_MAX_BYTES = 8_000_000  # of JSON that is looked into

# What is too large to be looked into is left where it is.
ROW = f"""
SELECT e.exchange_id, e.tenant_id, e.started_at, e.state, e.error_message,
    CASE WHEN length(e.request_body) <= {_MAX_BYTES} THEN e.request_body END,
    CASE WHEN length(e.result) <= {_MAX_BYTES} THEN e.result END,
    substr(e.output_text, 1, {MAX_CHARACTERS + 1}),
    CASE WHEN length(r.response_object) <= {_MAX_BYTES} THEN r.response_object END,
    CASE WHEN length(r.messages) <= {_MAX_BYTES} THEN {build_accumulated_sql("r")} END,
    e.request_base_id, base.request_body
FROM {{exchanges}} e
LEFT JOIN {{responses}} r ON r.tenant_id = e.tenant_id AND r.id = e.response_id
LEFT JOIN {{exchanges}} base ON base.exchange_id = e.request_base_id
    AND base.tenant_id || '' = e.tenant_id AND base.request_base_id IS NULL
WHERE e.exchange_id = ?"""

_REPEATED = ("system", "developer")
# Kinds whose name is no word that somebody looks for: nearly every exchange has them.
_COMMON = frozenset({"message", "reasoning", "function_call", "custom_tool_call", "mcp_call"})
_LABELS = {"assistant": "answer"}


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
    accumulated: str | None = None
    base_id: str | None = None
    base: bytes | None = None  # the frame of the body that the request's is packed against


class Text(NamedTuple):
    """A text and where it stands: `answer`, `user`, `tool call`, `reasoning`, ..."""

    label: str
    text: str


class IndexText(NamedTuple):
    """The texts of an exchange, their length in characters, and how many characters were cut
    off.
    """

    texts: tuple[Text, ...]
    characters: int
    cut: int


def extract_texts(row: Row) -> IndexText:
    """Return what is indexed of an exchange. Odd or damaged parts are left out; nothing raises."""
    texts: list[Text] = []
    characters = cut = 0
    for label, text in _extract_all(row):
        kept = text[: MAX_CHARACTERS - characters]
        characters += len(kept)
        cut += len(text) - len(kept)
        if kept:
            texts.append(Text(label, kept))
    return IndexText(tuple(texts), characters, cut)


def _extract_all(row: Row) -> Iterator[Text]:
    if row.output_text:
        yield Text("answer", row.output_text)
    if row.error_message:
        yield Text("error", row.error_message)
    yield from _read_safely(lambda: _extract_answer(row))
    yield from _read_safely(lambda: _extract_new_input(_unpack_request(row)))


def _read_safely(read: Callable[[], Iterator[Text]]) -> list[Text]:
    try:
        return [text for text in read() if text.text]
    except (UnreadableError, RecursionError):
        return []


class _Answer(msgspec.Struct):
    output: Raw = ABSENT
    choices: Raw = ABSENT


def _extract_answer(row: Row) -> Iterator[Text]:
    """Return the texts of an answer, without those that stand in the output text."""
    known = (row.output_text or "").replace("\n", "")
    for label, text in _extract_output(row):
        if label != "answer" or text.replace("\n", "") not in known:
            yield Text(label, text)


def _extract_output(row: Row) -> Iterator[Text]:
    document = row.response_object or row.result
    accumulated = read_accumulated(row.accumulated)
    if document is None:
        return
    answer = jsontext.slice_members(document.encode("utf-8", "replace"), _Answer)
    for item in choose_fuller_slices(slice_array(answer.output), accumulated):
        yield from _extract_item_texts(as_fields(jsontext.decode_value(item)), "assistant")
    for choice in slice_array(answer.choices):
        for message in read_response_items({"choices": [jsontext.decode_value(choice)]}):
            yield from map(_build_text, message.turns)


class _Request(msgspec.Struct):
    input: Raw = ABSENT
    messages: Raw = ABSENT
    prompt: Raw = ABSENT
    items: Raw = ABSENT


def _extract_new_input(body: bytes) -> Iterator[Text]:
    """Return what is new in a request, in its order; steering messages are a document a line."""
    try:
        requests = [jsontext.slice_members(body, _Request)]
    except UnreadableError:
        requests = [jsontext.slice_members(line, _Request) for line in body.splitlines()]
    for request in requests:
        for content in (request.input, request.messages, request.prompt, request.items):
            if bytes(memoryview(content)[:1]) == b"[":
                yield from _extract_new_items(jsontext.slice_elements(content))
            elif jsontext.is_present(content):
                for item in read_input_items(jsontext.decode_value(content)):
                    yield from map(_build_text, item.turns)


def _extract_new_items(items: list[Raw]) -> Iterable[Text]:
    """Return the texts of the items that no request or answer before has brought."""
    new: list[Fields] = []
    from_client = False
    for fields in map(_read_fields, reversed(items)):
        is_client = not is_from_model(fields)
        if from_client and not is_client:
            break
        from_client = from_client or is_client
        if fields.get("role") not in _REPEATED or fields.get("type", "message") != "message":
            new.append(fields)
    return (text for fields in reversed(new) for text in _extract_item_texts(fields, "user"))


def _read_fields(item: Raw) -> Fields:
    """Return an item's members; an item that is no object is what a user has written."""
    value = jsontext.decode_value(item)
    if isinstance(value, dict):
        return value
    return {"role": "user", "content": value if isinstance(value, str) else None}


def _extract_item_texts(item: Fields, speaker: str) -> Iterator[Text]:
    """Return the texts of an item; one of a rarer kind is found by the name of its kind as well."""
    kind = str(item.get("type") or "message")
    is_common = kind in _COMMON or kind.endswith("_output")
    for number, turn in enumerate(to_item(item, speaker).turns):
        text = _build_text(turn)
        yield text if is_common or number else Text(text.label, f"{kind} {text.text}")


def _build_text(turn: LabelledTurn) -> Text:
    label = _LABELS.get(turn.source, turn.source)
    return Text(label, f"{turn.name} {turn.text}".strip() if turn.text or turn.name else "")


def _unpack_request(row: Row) -> bytes:
    """Return the body of a request; nothing where it is too large, damaged or not there."""
    if row.request_body is None:
        return b""
    try:
        base = unpack(row.base or b"", BASE_BYTES) if row.base_id is not None else None
        return unpack(row.request_body, _MAX_BYTES, base)
    except DamagedZstdError:
        return b""
