"""Output items of a response as its events bring them, whatever names a server gives them.

`output_index` tells items apart where it is there and is right. Some servers leave it out, give
two items the same, send an item whole or in pieces only, or change an item's id with every event.
Texts are joined as JSON text, so a surrogate pair cut between two deltas is one character again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT
from response_store.openai_api.outcome import PLACE, Held

Members = dict[str, Raw]
_TRANSCRIPT = ("output_audio", "transcript")
# Which part of a message, and which member of it, the pieces of an event go to.
CONTENT = {
    "response.output_text": ("output_text", "text"),
    "response.refusal": ("refusal", "refusal"),
    "response.reasoning_text": ("reasoning_text", "text"),
    "response.content_part": ("", "text"),  # of whichever kind the part is
    "response.audio.transcript": _TRANSCRIPT,
    "response.audio_transcript": _TRANSCRIPT,
    "response.output_audio_transcript": _TRANSCRIPT,
}
SUMMARY = frozenset({"response.reasoning_summary_text", "response.reasoning_summary_part"})
# Which member of an item; behind a point the member of an object in it.
MEMBERS = {
    "response.function_call_arguments": "arguments",
    "response.mcp_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.code_interpreter_call_code": "code",
    "response.apply_patch_call_operation_diff": "operation.diff",
    "response.shell_call_command": "action.commands",
}
_TYPES = {"arguments": "function_call", "input": "custom_tool_call"}
_KINDS = {"operation.diff": "apply_patch_call", "action.commands": "shell_call"}


@dataclass(slots=True)
class Piecewise:
    """A text that comes in pieces, and perhaps whole when it is done."""

    pieces: list[bytes] = field(default_factory=list)
    whole: bytes = b""

    def text(self) -> bytes:
        """Return it as JSON text without quotes."""
        return self.whole or b"".join(self.pieces)

    def value(self) -> Raw:
        """Return it as a JSON string."""
        return Raw(b'"' + self.text() + b'"')


@dataclass(slots=True)
class ContentPart(Piecewise):
    """A part of an item's content."""

    kind: str = ""
    member: str = "text"
    others: Members = field(default_factory=dict)
    annotations: list[bytes] = field(default_factory=list)

    @property
    def says_something(self) -> bool:
        """Return whether any text of it has come, be it an empty piece."""
        return bool(self.pieces or self.whole or self.annotations)

    def json(self) -> bytes:
        """Return it as JSON."""
        fields: Members = {"type": jsontext.encode_string(self.kind or "output_text")}
        fields |= {k: v for k, v in self.others.items() if k not in ("type", self.member)}
        fields[self.member] = self.value()
        if self.annotations and bytes(fields.get("annotations", b"[]")) == b"[]":
            fields["annotations"] = Raw(jsontext.encode_array(self.annotations))
        return jsontext.encode_object(fields)


@dataclass(slots=True)
class OutputItem:
    """An output item as far as it came."""

    index: int | None = None
    ids: set[str] = field(default_factory=set)
    start: Members = field(default_factory=dict)
    done: bytes | None = None
    content: dict[int, ContentPart] = field(default_factory=dict)
    summary: dict[int, Piecewise] = field(default_factory=dict)
    members: dict[str, dict[int, Piecewise]] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """Return its type, as far as it is known."""
        start = read_members(self.done) if self.done is not None else self.start
        return jsontext.read_text(start.get("type", ABSENT)) or self._guessed_type()

    def text(self) -> bytes:
        """Return it as JSON: as it was sent whole, with what only its pieces brought."""
        fields = read_members(self.done) if self.done is not None else dict(self.start)
        missing = self._missing(fields)
        if self.done is not None and not missing:
            return self.done
        if self.done is None and missing:
            fields.setdefault("type", jsontext.encode_string(self._guessed_type()))
        return jsontext.encode_object(fields | missing)

    def _missing(self, fields: Members) -> Members:
        """Return the members that the pieces brought, and that are not there or are empty."""
        missing: Members = {}
        content = [part for _, part in sorted(self.content.items()) if part.says_something]
        if content and self._is_bare(fields, "content"):
            parts = [part.json() for part in content]
            missing["content"] = Raw(jsontext.encode_array(parts))
        if self.summary and self._is_bare(fields, "summary"):
            parts = [_encode_summary(self.summary[at]) for at in sorted(self.summary)]
            missing["summary"] = Raw(jsontext.encode_array(parts))
        for name, texts in self.members.items():
            missing |= self._missing_member(fields, name, texts)
        return missing

    def _missing_member(self, fields: Members, name: str, texts: dict[int, Piecewise]) -> Members:
        outer, _, inner = name.partition(".")
        if not inner:
            is_bare = self._is_bare(fields, outer)
            return {outer: texts[min(texts)].value()} if is_bare else {}
        held = read_members(fields.get(outer, ABSENT))
        if not self._is_bare(held, inner):
            return {}
        value = texts[min(texts)].value()
        if inner == "commands":
            value = Raw(jsontext.encode_array([texts[at].value() for at in sorted(texts)]))
        return {outer: Raw(jsontext.encode_object(held | {inner: value}))}

    def _is_bare(self, fields: Members, name: str) -> bool:
        """Return whether a member says nothing; before an item is done its pieces are newer."""
        value = fields.get(name, ABSENT)
        if self.done is None or not jsontext.is_present(value) or bytes(value) in (b'""', b"[]"):
            return True
        return name == "content" and not any(_read_part_texts(value))

    def _guessed_type(self) -> str:
        if self.members:
            name = next(iter(self.members))
            return _KINDS.get(name) or _TYPES.get(name, "code_interpreter_call")
        kinds = {part.kind for part in self.content.values()}
        reasons = kinds == {"reasoning_text"} or (self.summary and not kinds)
        return "reasoning" if reasons else "message"


class OutputItems:
    """Finds the item that an event is about, and accumulates what it brings."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._items: list[OutputItem] = []
        self._latest: dict[int, OutputItem] = {}

    def __iter__(self) -> Iterator[OutputItem]:
        """Yield the items in the order of the output."""
        keys: list[int] = []
        for item in self._items:
            keys.append(item.index if item.index is not None else (keys[-1] if keys else 0))
        yield from (self._items[at] for at in sorted(range(len(keys)), key=keys.__getitem__))

    def __len__(self) -> int:
        return len(self._items)

    def add(self, index: int | None, item: Members) -> None:
        """Begin an item; one that only pieces have come of is it."""
        item_id = _read_id(item)
        latest = self._find(index, item_id)
        if latest is None or (latest.start and item_id not in latest.ids) or latest.done:
            latest = self._new(index)
        self._held.add(len(item))
        latest.start = item
        latest.ids.add(item_id)

    def finish(self, index: int | None, item: Members, text: bytes) -> None:
        """Take an item that is done, whole."""
        item_id = _read_id(item)
        target = self._find(index, item_id)
        kind = jsontext.read_text(item.get("type", ABSENT)) or ""
        if target is None or self._is_another(target, index, item_id, kind, item):
            target = self._waiting(kind, index) or self._new(index)
        target.done = text
        target.ids.add(item_id)

    def target(self, index: int | None, item_id: str) -> OutputItem:
        """Return the item that a piece belongs to."""
        item = self._find(index, item_id)
        if item is None:
            item = self._new(index)
        if item_id:
            item.ids.add(item_id)
        return item

    def _find(self, index: int | None, item_id: str) -> OutputItem | None:
        """Return the item that is meant: by index, unless that is missing or is done with."""
        named = [one for one in reversed(self._items) if item_id and item_id in one.ids]
        last = self._items[-1] if self._items else None
        if index is None:
            return named[0] if named else last
        latest = self._latest.get(index)
        if latest is None:
            unnumbered = (one for one in named if one.index is None)
            return next(unnumbered, None)
        if item_id in latest.ids or not item_id:
            return latest
        same = next((one for one in named if one.index in (index, None)), None)
        if same is not None:
            return same
        if latest.done is None:
            return latest  # its id changes from event to event
        return named[0] if named else None

    @staticmethod
    def _is_another(
        target: OutputItem, index: int | None, item_id: str, kind: str, item: Members
    ) -> bool:
        if item_id and item_id in target.ids and target.done is None:
            return False
        if target.done is not None:
            held = read_members(target.done)
            same_call = bytes(held.get("call_id", ABSENT)) == bytes(item.get("call_id", ABSENT))
            return not (item_id in target.ids and kind == target.type and same_call)
        return index is None and target.type != kind

    def _waiting(self, kind: str, index: int | None) -> OutputItem | None:
        """Return the first item of a type that is not done, where nothing else names it."""
        if index is not None:
            return None
        open_items = (one for one in self._items if one.done is None and one.type == kind)
        return next(open_items, None)

    def _new(self, index: int | None) -> OutputItem:
        self._held.add(PLACE)
        item = OutputItem(index)
        self._items.append(item)
        if index is not None:
            self._latest[index] = item
        return item


def read_members(text: jsontext.Text) -> Members:
    """Return the members of a JSON object; none where it is no object."""
    try:
        return jsontext.slice_all_members(text)
    except jsontext.UnreadableError:
        return {}


def _read_part_texts(content: Raw) -> list[bytes]:
    try:
        parts = [read_members(part) for part in jsontext.slice_elements(content)]
    except jsontext.UnreadableError:
        return []
    names = ("text", "refusal", "transcript")
    return [jsontext.strip_quotes(p.get(name, ABSENT)) for p in parts for name in names]


def _read_id(item: Members) -> str:
    return jsontext.read_text(item.get("id", ABSENT)) or ""


def _encode_summary(text: Piecewise) -> bytes:
    return jsontext.encode_object({"type": "summary_text", "text": text.value()})
