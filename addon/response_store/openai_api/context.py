"""Know an exchange's place in a conversation by its content: what it continues, what is new in it.

A client without a session of the API's own sends the whole conversation with each request. So an
input begins with the input and the answer of the exchange that it continues, and the digests of
these beginnings are compared. Both APIs come to the same digest: of messages their role and text
count, of calls name and arguments, of results the text. What clients change or leave out when
they send an answer back does not: ids, states, reasoning, annotations, calls of the server's own
tools, the instructions of system and developer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.limits import LARGE_TEXT
from response_store.openai_api.item_texts import Fields, as_fields, extract_result, extract_text

MAX_BEGINNINGS = 64
"""Beginnings of an input that are compared, the longest ones."""
_QUESTION_CHARS = 300
_SEARCHED_CHARS = 8_000  # of a question, which secrets are looked for in
_DIGEST_BYTES = 16
_NO_CONTEXT = frozenset({"system", "developer"})
_MODEL = "assistant"
_CALL, _RESULT, _COMPACTION = "call", "result", "compaction"

_tags = re.compile(r"<([a-zA-Z][\w-]{0,60})(?: [^<>]{0,200})?>")
_MAX_UNWRAPPED = 20_000  # characters of a text that are looked at for tags
_GAPS = re.compile(r"\s+")


class Piece(NamedTuple):
    """What an item adds to a conversation: `kind` is a role, a call, a result, or what
    stands for a conversation that was compacted.

    `name` is that of a call, `call_id` what pairs it with its result.
    """

    kind: str
    text: str
    name: str = ""
    call_id: str = ""

    @property
    def is_from_model(self) -> bool:
        """Return whether the model has said it."""
        return self.kind in (_MODEL, _CALL, _COMPACTION)


class Context(NamedTuple):
    """What an input says of the conversation.

    `beginnings` are the digests of what ends where an answer may have ended, the longest first.
    """

    beginnings: tuple[str, ...] = ()
    question: str | None = None


class ContextReader:
    """Reads one exchange: first its input, then its answer."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def read_input(self, items: bytes) -> Context:
        """Return what an input says, which is a JSON array of items or messages. Never raises."""
        beginnings: list[bytes] = []
        new: list[Piece] = []
        names: dict[str, str] = {}
        was_from_model = False
        for piece in read_pieces(_slice(items)):
            if piece.is_from_model:
                new.clear()
            elif was_from_model:
                beginnings.append(self._hash.digest())
            was_from_model = piece.is_from_model
            if piece.kind == _CALL:
                names[piece.call_id] = piece.name
            elif not was_from_model:
                new.append(piece)
            self._add(piece)
        if was_from_model:
            beginnings.append(self._hash.digest())
        newest = reversed(beginnings[-MAX_BEGINNINGS:])
        return Context(tuple(one.hex() for one in newest), describe_question(new, names))

    def read_answer(self, items: Iterable[bytes | Raw]) -> str | None:
        """Return the digest of input and answer, by which what continues them is known.

        None where the answer adds nothing.
        """
        has_answer = False
        for piece in read_pieces(items):
            has_answer = True
            self._add(piece)
        return self._hash.hexdigest() if has_answer else None

    def _add(self, piece: Piece) -> None:
        self._hash.update(_encode(tuple(piece)))


_encode = msgspec.msgpack.Encoder().encode


def read_pieces(items: Iterable[bytes | Raw]) -> Iterator[Piece]:
    """Yield what items add, JSON text each; those that say nothing are left out."""
    for item in items:
        if len(memoryview(item)) > LARGE_TEXT:
            yield from _read_large(item)
            continue
        try:
            yield from _read_plain(_decode(item))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            for piece in _read_odd(as_fields(_decode_any(item))):
                yield Piece(*map(jsontext.replace_unstorable, piece))


class _LargeItem(msgspec.Struct):
    type: Raw = jsontext.ABSENT
    role: Raw = jsontext.ABSENT


def _read_large(item: bytes | Raw) -> Iterator[Piece]:
    """Yield what an item of megabytes adds: it counts as it is spelled, without being decoded."""
    try:
        seen = jsontext.slice_members(item, _LargeItem)
    except jsontext.UnreadableError:
        return
    role = jsontext.read_text(seen.role) or "user"
    kind = jsontext.read_text(seen.type) or "message"
    if role in _NO_CONTEXT or kind == "reasoning":
        return
    source = _CALL if kind in _CALLS else _RESULT if kind in _RESULTS else role
    digest = hashlib.blake2b(memoryview(item), digest_size=_DIGEST_BYTES).hexdigest()
    yield Piece(source, "[long text]", name=digest)


def _decode_any(item: bytes | Raw) -> object:
    try:
        return jsontext.decode_value(item)
    except jsontext.UnreadableError:
        return None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct):
    function: _Function
    id: str = ""


class _Item(msgspec.Struct):
    type: str = "message"
    role: str = "user"
    content: str | list[_Part] | None = None
    name: str = ""
    call_id: str = ""
    tool_call_id: str = ""
    arguments: str = ""
    input: str = ""
    encrypted_content: str | None = None
    output: str | list[_Part] | None = None
    tool_calls: list[_Call] | None = None


_decode = msgspec.json.Decoder(_Item).decode
_RESULTS = ("function_call_output", "custom_tool_call_output")
_CALLS = ("function_call", "custom_tool_call")
_COMPACTIONS = ("compaction", "compaction_summary", "context_compaction")


def _read_plain(item: _Item) -> Iterator[Piece]:
    if item.type == "message":
        if item.role in _NO_CONTEXT:
            return
        text = _join(item.content)
        if item.role in ("tool", "function"):
            yield Piece(_RESULT, text, call_id=item.tool_call_id)
        elif text:
            yield Piece(item.role, text)
        for call in item.tool_calls or ():
            yield _make_call(call.function.name, call.function.arguments, call.id)
    elif item.type in _CALLS:
        yield _make_call(item.name, item.arguments or item.input, item.call_id)
    elif item.type in _RESULTS:
        yield Piece(_RESULT, _join(item.output), call_id=item.call_id)
    elif item.type in _COMPACTIONS:
        yield Piece(_COMPACTION, item.encrypted_content or "")


def _join(content: str | list[_Part] | None) -> str:
    if isinstance(content, list):
        parts = (part.text if part.text is not None else _name_part(part.type) for part in content)
        return "".join(parts).strip()
    return (content or "").strip()


def _name_part(kind: str) -> str:
    return f"[{kind.removeprefix('input_').removesuffix('_url')}]"


def _make_call(name: str, arguments: str, call_id: str) -> Piece:
    return Piece(_CALL, _sort_members(arguments), name, call_id)


def _sort_members(arguments: str) -> str:
    """Return the arguments of a call in one spelling: clients write them anew."""
    try:
        return msgspec.json.encode(msgspec.json.decode(arguments), order="sorted").decode()
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return arguments.strip()


def _read_odd(item: Fields) -> Iterator[Piece]:
    """Yield what an item of an unusual shape adds, as `_read_plain` does."""
    kind, role = _as_text(item.get("type")) or "message", _as_text(item.get("role")) or "user"
    call_id = _as_text(item.get("call_id")) or _as_text(item.get("tool_call_id"))
    if kind in _CALLS:
        text = _as_text(item.get("arguments")) or _as_text(item.get("input"))
        yield _make_call(_as_text(item.get("name")), text, call_id)
    elif kind in _RESULTS or role in ("tool", "function"):
        yield Piece(_RESULT, extract_result(item.get("output", item.get("content"))), "", call_id)
    elif kind == "message" and role not in _NO_CONTEXT:
        if text := extract_text(item.get("content")).strip():
            yield Piece(role, text)
        calls = item.get("tool_calls")
        for call in map(as_fields, calls if isinstance(calls, list) else ()):
            function = as_fields(call.get("function"))
            text = _as_text(function.get("arguments"))
            yield _make_call(_as_text(function.get("name")), text, _as_text(call.get("id")))


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _slice(items: bytes) -> list[Raw]:
    try:
        return jsontext.slice_elements(items)
    except jsontext.UnreadableError:
        return []


class _Choice(msgspec.Struct):
    message: Raw = jsontext.ABSENT


class _Completion(msgspec.Struct):
    choices: list[_Choice] = []


_decode_completion = msgspec.json.Decoder(_Completion).decode


def slice_messages(completion: bytes) -> list[Raw]:
    """Return the message of the first choice of a completion, or none."""
    try:
        choices = _decode_completion(completion).choices[:1]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return []
    return [choice.message for choice in choices if jsontext.is_present(choice.message)]


def describe_question(new: Sequence[Piece], names: dict[str, str]) -> str | None:
    """Return what is new in a request, in one line: the user's last text, else the last result.

    None where nothing is. `names` are those of calls, by their ids.
    """
    texts = [piece.text for piece in new if piece.kind != _RESULT and piece.text]
    for text in reversed(texts):
        if short := _shorten(_unwrap(text)):
            return short
    results = [piece for piece in new if piece.kind == _RESULT]
    if results and not texts:
        name = names.get(results[-1].call_id) or "result"
        return _shorten(f"→ {name}: {results[-1].text}")
    return _shorten(texts[-1]) if texts else None


def _unwrap(text: str) -> str:
    """Return a text without the blocks in tags that agents put before or into it."""
    if len(text) > _MAX_UNWRAPPED or "</" not in text:
        return text
    kept, at = [], 0
    unclosed: set[str] = set()  # so that each is looked for once
    while (tag := _tags.search(text, at)) is not None:
        close = f"</{tag[1]}>"
        end = -1 if tag[1] in unclosed else text.find(close, tag.end())
        if end < 0:
            unclosed.add(tag[1])
            kept.append(text[at : tag.end()])
            at = tag.end()
        else:
            kept.append(text[at : tag.start()])
            at = end + len(close)
    return "".join((*kept, text[at:]))


def _shorten(text: str) -> str | None:
    """Return the beginning of a text in one line; a secret in it is whole, to be masked later."""
    line = _GAPS.sub(" ", text[:_SEARCHED_CHARS]).strip()
    return jsontext.replace_unstorable(line) or None


def shorten_question(question: str) -> str:
    """Return a question as it is stored."""
    return f"{question[: _QUESTION_CHARS - 1]}…" if len(question) > _QUESTION_CHARS else question
