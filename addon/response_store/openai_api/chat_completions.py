"""Read the objects of Chat Completions, and the content of their messages, also as it grows.

Source: the API reference, "The chat completion object". Some servers have the choice's text in
`delta`, put an envelope around the object, or call its members as the other API does.
"""

from __future__ import annotations

from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT
from response_store.model.records import State
from response_store.openai_api.error_body import read_error
from response_store.openai_api.outcome import (
    PLACE,
    ApiError,
    Held,
    ParsedResponse,
    find_usage,
    read_seconds,
    read_usage,
)

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
            self._add_text(jsontext.strip_quotes(value))
        elif start == b"[":
            for element in jsontext.slice_elements(value):
                self.add(element)
        elif start == b"{":
            self._add_part(jsontext.slice_all_members(value), value)
        elif jsontext.is_present(value):
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
            return Raw(jsontext.NULL)
        plain = self.plain
        if plain is not None:
            return Raw(b'"' + plain + b'"')
        return self.array()

    def array(self) -> Raw:
        """Return what has come as a list of parts; empty texts are none."""
        parts = [_encode_part(part) for part in self._parts]
        return Raw(jsontext.encode_array([part for part in parts if part]))

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
        kind = jsontext.read_text(self._members.get("type", ABSENT))
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
        return jsontext.encode_object(self._members | grown)


def extract_answer_text(content: jsontext.Text) -> jsontext.LongText | None:
    """Return the answer in a content: a text, or the texts of its parts, but no thinking."""
    start = bytes(memoryview(content)[:1])
    if start == b'"':
        return jsontext.read_long_text(content)
    if start == b"[":
        parts = jsontext.slice_elements(content)
    elif start == b"{":
        parts = [Raw(bytes(content))]
    else:
        return None
    texts = [text for part in parts if (text := _extract_part_text(part))]
    return jsontext.join_texts(texts) or None


def _extract_part_text(part: Raw) -> jsontext.LongText | None:
    if bytes(memoryview(part)[:1]) == b'"':
        return jsontext.read_long_text(part)
    members = jsontext.slice_all_members(part)
    if jsontext.read_text(members.get("type", ABSENT)) not in _ANSWERS:
        return None
    text = members.get("text", ABSENT)
    return jsontext.read_long_text(text) or extract_answer_text(text)


def _encode_part(part: list[bytes] | _Part | Raw) -> bytes:
    if isinstance(part, _Part):
        return part.text()
    if isinstance(part, Raw):
        return bytes(part)
    text = b"".join(part)
    return (
        jsontext.encode_object({"type": "text", "text": Raw(b'"' + text + b'"')}) if text else b""
    )


_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ENVELOPES = ("data", "result", "response", "body", "completion")


def is_completion(text: jsontext.Text) -> bool:
    """Return whether a JSON object is a chat completion, by what it says of itself or holds."""
    return _is_completion(jsontext.slice_all_members(text))


def unwrap_completion(members: Members) -> Raw | None:
    """Return the completion in an envelope; None where the members are no envelope of one."""
    if "choices" in members:
        return None
    for name in _ENVELOPES:
        value = members.get(name, ABSENT)
        if bytes(memoryview(value)[:1]) == b"{" and _holds_choices(value):
            return value
    return None


def read_completion(text: jsontext.Text, state: State | None = State.COMPLETED) -> ParsedResponse:
    """Read a chat completion. Raises UnreadableError when `text` is no JSON object."""
    members = jsontext.slice_all_members(text)
    choices = _read_choices(members)
    api_error = read_error(members) or _find_bad_finish(choices)
    if api_error is not None:
        state = State.FAILED
    elif state is State.COMPLETED and (reason := _find_cut_reason(choices)) is not None:
        state, api_error = State.INCOMPLETE, ApiError(reason, None)
    return ParsedResponse(
        state=state,
        response_id=jsontext.read_text(members.get("id", ABSENT)) or None,
        model=jsontext.read_text(members.get("model", ABSENT)) or None,
        created_at=read_seconds(members.get("created", members.get("created_at", ABSENT))),
        partial=bytes(text),
        output_text=_read_first_text(choices),
        usage=read_usage(find_usage(members, choices)),
        error=api_error,
        service_tier=jsontext.read_text(members.get("service_tier", ABSENT)) or None,
    )


def _is_completion(members: Members) -> bool:
    kind = jsontext.read_text(members.get("object", ABSENT))
    if kind:
        return kind.startswith("chat.completion")
    return jsontext.is_present(members.get("choices", ABSENT))


def _holds_choices(text: Raw) -> bool:
    try:
        members = jsontext.slice_all_members(text)
    except jsontext.UnreadableError:
        return False
    return jsontext.is_present(members.get("choices", ABSENT))


def _read_choices(members: Members) -> list[Members]:
    choices = members.get("choices", ABSENT)
    try:
        return [jsontext.slice_all_members(choice) for choice in jsontext.slice_elements(choices)]
    except jsontext.UnreadableError:
        return []


def _find_bad_finish(choices: list[Members]) -> ApiError | None:
    reasons = (jsontext.read_text(choice.get("finish_reason", ABSENT)) for choice in choices)
    return ApiError("error") if "error" in reasons else None


def _find_cut_reason(choices: list[Members]) -> str | None:
    """Return why the first choice is not whole, in words of the Responses API; None if it is."""
    finish = choices[0].get("finish_reason", ABSENT) if choices else ABSENT
    return _REASONS.get(jsontext.read_text(finish) or "")


def _read_first_text(choices: list[Members]) -> jsontext.LongText | None:
    """Return the text of the first choice; some servers send its content in parts or as a delta."""
    if not choices:
        return None
    try:
        for name in ("message", "delta"):
            content = choices[0].get(name, ABSENT)
            if bytes(memoryview(content)[:1]) == b"{":
                return extract_answer_text(
                    jsontext.slice_all_members(content).get("content", ABSENT)
                )
    except jsontext.UnreadableError:
        return None
    return None
