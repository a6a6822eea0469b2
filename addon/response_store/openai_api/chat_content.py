"""The content of a chat message as it grows: texts, objects and lists, in the order they came."""

from __future__ import annotations

from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.openai_api.held import PLACE, Held

Members = dict[str, Raw]
_DEPTH = 8  # of parts within parts
_MERGED = ("text", "thinking", "refusal")  # members of a part that grow
_ANSWERS = (None, "text", "output_text")  # types of parts whose text is the answer


class ContentParts:
    """Accumulates the values of one member. Plain texts stay a text, all else makes a list.

    Neighbouring parts of one type are one part, so that it does not matter how they were split.
    """

    def __init__(self, held: Held, depth: int = 0) -> None:
        self._held = held
        self._depth = depth
        self._parts: list[list[bytes] | _Part | Raw] = []

    def add(self, value: Raw) -> None:
        """Take one value; null and empty ones change nothing, but make an empty text."""
        start = bytes(memoryview(value)[:1])
        if start == b'"':
            self._add_text(json_text.strip_quotes(value))
        elif start == b"[":
            for element in json_text.slice_elements(value):
                self.add(element)
        elif start == b"{":
            self._add_part(json_text.slice_all_members(value), value)
        elif json_text.is_present(value):
            self._append(value)

    @property
    def has_come(self) -> bool:
        """Return whether there is anything, be it an empty text."""
        return bool(self._parts)

    @property
    def plain(self) -> bytes | None:
        """Return the text (JSON, without quotes) where nothing but text has come."""
        if not self._parts:
            return b""
        (first, *others) = self._parts
        return b"".join(first) if isinstance(first, list) and not others else None

    def value(self) -> Raw:
        """Return what has come, as JSON: a text, or a list of parts; null where nothing has."""
        if not self._parts:
            return Raw(json_text.NULL)
        plain = self.plain
        if plain is not None:
            return Raw(b'"' + plain + b'"')
        return self.array()

    def array(self) -> Raw:
        """Return what has come as a list of parts; empty texts are none."""
        parts = [_encode_part(part) for part in self._parts]
        return Raw(json_text.encode_array([part for part in parts if part]))

    def _add_text(self, text: bytes) -> None:
        last = self._parts[-1] if self._parts else None
        if isinstance(last, list):
            last.append(text)
        elif isinstance(last, _Part) and last.is_plain_text:
            last.add({"text": Raw(b'"' + text + b'"')})
        elif text or last is None:
            self._append([text])

    def _add_part(self, members: Members, value: Raw) -> None:
        if self._depth >= _DEPTH or not _Part.grows(members):
            self._append(value)
            return
        last = self._parts[-1] if self._parts else None
        if isinstance(last, _Part) and last.takes(members):
            last.add(members)
            return
        if isinstance(last, list) and not any(last):
            self._parts.pop()  # an empty text was only the beginning
        self._append(_Part(self._held, members, self._depth))

    def _append(self, part: list[bytes] | _Part | Raw) -> None:
        self._held.add(PLACE)
        self._parts.append(part)


class _Part:
    """One part of a content that grows."""

    def __init__(self, held: Held, members: Members, depth: int) -> None:
        self._held = held
        self._depth = depth
        self._members = {k: v for k, v in members.items() if k not in _MERGED}
        self._growing: dict[str, ContentParts] = {}
        self.add(members)

    @staticmethod
    def grows(members: Members) -> bool:
        """Return whether these are the members of a part that may come in pieces."""
        return any(name in members for name in _MERGED)

    @property
    def is_plain_text(self) -> bool:
        """Return whether it is a text of the answer and nothing else."""
        kind = json_text.read_text(self._members.get("type", ABSENT))
        return kind in _ANSWERS and self._members.keys() <= {"type"} and "text" in self._growing

    def takes(self, members: Members) -> bool:
        """Return whether these members go on with this part."""
        others = {k: bytes(v) for k, v in members.items() if k not in _MERGED}
        mine = {k: bytes(v) for k, v in self._members.items()}
        return others == mine and self._growing.keys() == {k for k in members if k in _MERGED}

    def add(self, members: Members) -> None:
        """Take more of it."""
        for name in _MERGED:
            if name in members:
                if name not in self._growing:
                    self._growing[name] = ContentParts(self._held, self._depth + 1)
                self._growing[name].add(members[name])

    def text(self) -> bytes:
        """Return it as JSON."""
        grown = {name: growing.value() for name, growing in self._growing.items()}
        return json_text.encode_object(self._members | grown)


def extract_answer_text(content: json_text.Text) -> json_text.LongText | None:
    """Return the answer in a content: a text, or the texts of its parts, but no thinking."""
    start = bytes(memoryview(content)[:1])
    if start == b'"':
        return json_text.as_long_text(content)
    if start == b"[":
        parts = json_text.slice_elements(content)
    elif start == b"{":
        parts = [Raw(bytes(content))]
    else:
        return None
    texts = [text for part in parts if (text := _extract_part_text(part))]
    return json_text.joined_text(texts) or None


def _extract_part_text(part: Raw) -> json_text.LongText | None:
    if bytes(memoryview(part)[:1]) == b'"':
        return json_text.as_long_text(part)
    members = json_text.slice_all_members(part)
    if json_text.read_text(members.get("type", ABSENT)) not in _ANSWERS:
        return None
    text = members.get("text", ABSENT)
    return json_text.as_long_text(text) or extract_answer_text(text)


def _encode_part(part: list[bytes] | _Part | Raw) -> bytes:
    if isinstance(part, _Part):
        return part.text()
    if isinstance(part, Raw):
        return bytes(part)
    text = b"".join(part)
    return (
        json_text.encode_object({"type": "text", "text": Raw(b'"' + text + b'"')}) if text else b""
    )
