"""Know an exchange's place in a conversation by its content: what it continues, what is new in it.

A client without a session of the API's own sends the whole conversation with each request. So an
input begins with the input and the answer of the exchange that it continues, and the digests of
these beginnings are compared. Both APIs come to the same digest: of messages their role and text
count, of calls name and arguments, of results the text. What clients change or leave out when
they send an answer back does not: ids, states, reasoning, annotations, calls of tools that the
server runs itself, the instructions of system and developer.

Some clients move or replace what stands before an answer, or hand on a summary alone; of them the
answer's own text is looked for.

A digest is a chain: that of what came before, and of one piece more. So it goes on where a request
has only what is new, from the digest of what it names. A compaction begins a new one: what it
stands for is dropped by some clients and kept by others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.limits import LARGE_TEXT
from response_store.openai_api.item_texts import Fields, as_fields, extract_result, extract_text
from response_store.openai_api.question import PLAIN_CHARS, describe_question

MAX_BEGINNINGS = 64
"""Beginnings of an input that are compared, the longest ones."""
_MAX_ANSWERS = 4  # of an input that are looked for by their text, the newest ones
_MIN_ANSWER, _MAX_ANSWER = 24, 65_536  # characters of an answer that is telling
_DIGEST_BYTES = 16
_SEED = bytes(_DIGEST_BYTES)
_NO_CONTEXT = frozenset({"system", "developer"})
_MODEL = "assistant"
_LONG = "[long text]"


class Context(msgspec.Struct, frozen=True, gc=False):
    """What an input, and perhaps its answer, say of a conversation.

    `beginnings` are the digests of what ends where an answer may have ended, the longest first.
    `state` is the digest of all, `pieces` are those of what it is made of; where it is `rooted`,
    what came before all this does not count. `answers` are digests of what the model has said by
    itself, `quotes` those of what stands behind the first line of other texts, the newest first.
    """

    beginnings: tuple[str, ...] = ()
    question: str | None = None
    state: bytes = _SEED
    pieces: tuple[bytes, ...] = ()
    rooted: bool = False
    answers: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Return the digest by which what continues this is known."""
        return self.state.hex()


EMPTY = Context()


def read_input(items: bytes, question_chars: int = PLAIN_CHARS) -> Context:
    """Return what an input says, which is a JSON array of items or messages. Never raises."""
    walk = _Walk(EMPTY)
    walk.read_array(items)
    if walk.is_in_answer:
        walk.beginnings.append(walk.state)
    newest = walk.beginnings[-MAX_BEGINNINGS:]
    newest.reverse()
    question = describe_question(walk.new, walk.names, question_chars) if walk.new else None
    beginnings = tuple([one.hex() for one in newest])
    return Context(
        beginnings,
        question,
        walk.state,
        tuple(walk.pieces),
        walk.rooted,
        _digest_newest(walk.answers),
        _digest_newest(walk.quotes, behind_first_line=True),
    )


def read_answer(context: Context, items: Iterable[bytes | Raw]) -> Context:
    """Return a context with an answer behind it, JSON text each. Never raises.

    Its `answers` are the last text of the answer, or none.
    """
    walk = _Walk(context)
    walk.read_items(items)
    beginnings, question = context.beginnings, context.question
    answers = _digest_newest(walk.answers, at_most=1)
    return Context(beginnings, question, walk.state, tuple(walk.pieces), walk.rooted, answers)


def _digest_newest(
    texts: list[str], at_most: int = _MAX_ANSWERS, *, behind_first_line: bool = False
) -> tuple[str, ...]:
    """Return the digests of the newest texts that are telling, the newest first."""
    digests: list[str] = []
    for text in reversed(texts):
        part = text[text.index("\n") :].strip() if behind_first_line else text
        if _MIN_ANSWER <= len(part) <= _MAX_ANSWER:
            digests.append(blake2b(part.encode(), digest_size=_DIGEST_BYTES).hexdigest())
            if len(digests) == at_most:
                break
    return tuple(digests)


def continue_digest(digest: str, pieces: Iterable[bytes]) -> str | None:
    """Return the digest of what has this one, with more pieces behind it.

    None where it is none of ours: rows may be imported, or written by others.
    """
    try:
        state = bytes.fromhex(digest)
    except ValueError:
        return None
    for piece in pieces:
        state = blake2b(state + piece, digest_size=_DIGEST_BYTES).digest()
    return state.hex()


class _Walk:
    """Walks over items, and puts together what they add.

    `new` is what stands behind the last answer: whether it is a result, its text, and the id of the
    call.
    """

    __slots__ = (
        "answers", "beginnings", "is_in_answer", "names", "new", "pieces", "quotes", "rooted",
        "state",
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        self.state = context.state
        self.pieces = list(context.pieces)
        self.rooted = context.rooted
        self.beginnings: list[bytes] = []
        self.new: list[tuple[bool, str, str]] = []
        self.names: dict[str, str] = {}
        self.answers: list[str] = []
        self.quotes: list[str] = []
        self.is_in_answer = False

    def read_array(self, items: bytes) -> None:
        """Read the items of a JSON array."""
        if len(items) <= LARGE_TEXT:
            try:
                decoded = _decode_all(items)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                pass
            else:
                for item in decoded:
                    self._add_item(item)
                return
        self.read_items(_slice(items))

    def read_items(self, items: Iterable[bytes | Raw]) -> None:
        """Read items one by one, JSON text each; those that say nothing are left out."""
        for item in items:
            if len(memoryview(item)) > LARGE_TEXT:
                self._add_large(item)
                continue
            try:
                decoded = _decode(item)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                self._add_odd(as_fields(_decode_any(item)))
            else:
                self._add_item(decoded)

    def _add_item(self, item: _Item) -> None:
        if item.type == "message":
            role = item.role
            if role in _NO_CONTEXT:
                return
            text = _join(item.content)
            if role in ("tool", "function"):
                self._add_result(text, item.tool_call_id)
            elif text:
                self._add_text(role, text)
            for call in item.tool_calls or ():
                self._add_call(call.function.name, call.function.arguments, call.id)
        else:
            self._add_other(item)

    def _add_other(self, item: _Item) -> None:
        kind = item.type
        if kind in _CALLS:
            self._add_call(item.name, item.arguments or item.input, item.call_id)
        elif kind in _RESULTS:
            self._add_result(_join(item.output), item.call_id or item.id or "")
        elif kind in _CLIENT_CALLS:  # what they do is spelled in many ways, its id in one
            self._add_call(_CLIENT_CALLS[kind], "", item.call_id or item.id or "")
        elif kind in _COMPACTIONS:
            self._add_compaction(item.encrypted_content or "")

    def _add_text(self, role: str, text: str) -> None:
        if role == _MODEL:
            self._enter_answer()
            self.answers.append(text)
        else:
            self._leave_answer()
            self.new.append((False, text, ""))
            if "\n" in text:
                self.quotes.append(text)
        self._add(f"m{role}\n{text}")

    def _add_call(self, name: str, arguments: str, call_id: str) -> None:
        self._enter_answer()
        self.names[call_id] = name
        self._add(f"c{name}\n{call_id}\n{jsontext.sort_members(arguments)}")

    def _add_result(self, text: str, call_id: str) -> None:
        self._leave_answer()
        self.new.append((True, text, call_id))
        self._add(f"r{call_id}\n{text}")

    def _add_compaction(self, content: str) -> None:
        self._enter_answer()
        if content:
            self.state = _SEED
            self.pieces.clear()
            self.rooted = True
        self._add(f"z{content}")

    def _enter_answer(self) -> None:
        self.is_in_answer = True
        if self.new:
            self.new.clear()

    def _leave_answer(self) -> None:
        if self.is_in_answer:
            self.beginnings.append(self.state)
            self.is_in_answer = False

    def _add(self, piece: str) -> None:
        digest = blake2b(piece.encode(), digest_size=_DIGEST_BYTES).digest()
        self.pieces.append(digest)
        self.state = blake2b(self.state + digest, digest_size=_DIGEST_BYTES).digest()

    def _add_large(self, item: bytes | Raw) -> None:
        """Add an item of megabytes: it counts as it is spelled, without being decoded."""
        try:
            seen = jsontext.slice_members(item, _LargeItem)
        except jsontext.UnreadableError:
            return
        role = jsontext.read_text(seen.role) or "user"
        kind = jsontext.read_text(seen.type) or "message"
        if role in _NO_CONTEXT or kind == "reasoning":
            return
        digest = blake2b(memoryview(item), digest_size=_DIGEST_BYTES).hexdigest()
        if kind in _CALLS or (kind == "message" and role == _MODEL):
            self._enter_answer()
        else:
            self._leave_answer()
            self.new.append((kind in _RESULTS, _LONG, ""))
        self._add(f"l{digest}")

    def _add_odd(self, item: Fields) -> None:
        """Add an item of an unusual shape, as `_add_item` does."""
        kind, role = _as_text(item.get("type")) or "message", _as_text(item.get("role")) or "user"
        call_id = _as_text(item.get("call_id")) or _as_text(item.get("tool_call_id"))
        if kind in _CALLS:
            arguments = _as_text(item.get("arguments")) or _as_text(item.get("input"))
            self._add_call(_as_text(item.get("name")), arguments, call_id)
        elif kind in _CLIENT_CALLS:
            self._add_call(_CLIENT_CALLS[kind], "", call_id)
        elif kind in _RESULTS or role in ("tool", "function"):
            result = extract_result(item.get("output", item.get("content")))
            self._add_result(jsontext.replace_unstorable(result), call_id)
        elif kind == "message" and role not in _NO_CONTEXT:
            text = jsontext.replace_unstorable(extract_text(item.get("content")).strip())
            if text:
                self._add_text(role, text)
            calls = item.get("tool_calls")
            for call in map(as_fields, calls if isinstance(calls, list) else ()):
                function = as_fields(call.get("function"))
                arguments = _as_text(function.get("arguments"))
                self._add_call(_as_text(function.get("name")), arguments, _as_text(call.get("id")))


class _LargeItem(msgspec.Struct):
    type: Raw = jsontext.ABSENT
    role: Raw = jsontext.ABSENT


def _decode_any(item: bytes | Raw) -> object:
    try:
        return jsontext.decode_value(item)
    except jsontext.UnreadableError:
        return None


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    stdout: str | None = None
    stderr: str | None = None


class _Function(msgspec.Struct, gc=False):
    name: str = ""
    arguments: str = ""


class _Call(msgspec.Struct, gc=False):
    function: _Function
    id: str = ""


class _Item(msgspec.Struct, gc=False):
    type: str = "message"
    role: str = "user"
    content: str | list[_Part] | None = None
    id: str | None = None
    name: str = ""
    call_id: str = ""
    tool_call_id: str = ""
    arguments: str = ""
    input: str = ""
    encrypted_content: str | None = None
    output: str | list[_Part] | _Part | None = None
    tool_calls: list[_Call] | None = None


_decode: Callable[[bytes | Raw], _Item] = msgspec.json.Decoder(_Item).decode
_decode_all: Callable[[bytes], list[_Item]] = msgspec.json.Decoder(list[_Item]).decode
_CALLS = frozenset({"function_call", "custom_tool_call"})
_CLIENT_CALLS = {
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "apply_patch_call": "apply_patch",
    "computer_call": "computer",
}
"""Calls of tools that the client runs and the API defines, and the names of these."""
_RESULTS = frozenset(f"{kind}_output" for kind in (*_CALLS, *_CLIENT_CALLS))
_COMPACTIONS = frozenset({"compaction", "compaction_summary", "context_compaction"})


def _join(content: str | list[_Part] | _Part | None) -> str:
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, _Part):
        return _read_part(content)
    return "".join(map(_read_part, content)).strip() if content else ""


def _read_part(part: _Part) -> str:
    if part.text is not None:
        return part.text
    if part.stdout is not None or part.stderr is not None:
        return (part.stdout or "") + (part.stderr or "")
    return f"[{part.type.removeprefix('input_').removesuffix('_url')}]"


def _as_text(value: object) -> str:
    return jsontext.replace_unstorable(value) if isinstance(value, str) else ""


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
