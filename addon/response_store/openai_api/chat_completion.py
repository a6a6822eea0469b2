"""Chat Completions: the whole object, or the chunks of a stream put together.

Source: the API reference, "The chat completion object" and "The chat completion chunk object".
Members that a vendor adds (reasoning text, cost, provider) are kept: texts are joined, anything
else is taken as it came last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.limits import PLACES, VALUES
from response_store.openai_api.outcome import Fault, Outcome
from response_store.openai_api.response_events import flaw
from response_store.openai_api.response_object import read_fault
from response_store.openai_api.sse import Event
from response_store.openai_api.terminal_events import DONE
from response_store.openai_api.usage import read_usage
from response_store.store.records import State

# Members of a delta that are names, not texts that grow.
_WHOLE = frozenset({"role", "id", "type", "name", "format"})
# Members of a delta that are objects and grow like the delta itself.
_NESTED = frozenset({"function", "function_call", "audio"})
_PLACE = VALUES // PLACES  # what one counts as
K = TypeVar("K")
_DEEPEST = 8  # levels that grow; the API needs three


class _Completion(msgspec.Struct):
    id: Raw = ABSENT
    object: Raw = ABSENT
    created: Raw = ABSENT
    model: Raw = ABSENT
    choices: Raw = ABSENT
    usage: Raw = ABSENT
    error: Raw = ABSENT


class _Choice(msgspec.Struct):
    index: Raw = ABSENT
    message: Raw = ABSENT
    delta: Raw = ABSENT
    finish_reason: Raw = ABSENT


class _Message(msgspec.Struct):
    content: Raw = ABSENT


class _Part(msgspec.Struct):
    text: Raw = ABSENT


class _Indexed(msgspec.Struct):
    index: Raw = ABSENT


def is_completion(text: json_text.Text) -> bool:
    """Whether a JSON object is a chat completion, by what it says of itself or holds."""
    seen = json_text.members(text, _Completion)
    kind = json_text.as_text(seen.object)
    return kind.startswith("chat.completion") if kind else json_text.present(seen.choices)


def read_completion(text: json_text.Text, state: State | None = State.COMPLETED) -> Outcome:
    """Read a chat completion. Raises UnreadableError when `text` is no JSON object."""
    seen = json_text.members(text, _Completion)
    fault = read_fault(seen.error)
    reason = _cut_short(seen.choices) if state is State.COMPLETED and fault is None else None
    if reason is not None:
        state, fault = State.INCOMPLETE, Fault(reason, None)
    elif fault is not None:
        state = State.FAILED
    return Outcome(
        state=state,
        response_id=json_text.as_text(seen.id) or None,
        model=json_text.as_text(seen.model),
        created_at=json_text.as_int(seen.created),
        partial=bytes(text),
        output_text=_first_text(seen.choices),
        usage=read_usage(seen.usage, "prompt", "completion"),
        fault=fault,
    )


@dataclass(slots=True)
class _Held:
    """How many members and places a stream holds until its end."""

    count: int = 0

    def add(self, members: int) -> None:
        """Count some more. Raises TooManyValuesError."""
        self.count += members
        if self.count > VALUES:
            raise json_text.TooManyValuesError("more choices and members than are kept")


@dataclass(slots=True)
class _Growing:
    """An object that comes in deltas: texts and lists grow, indexed elements each by itself."""

    held: _Held
    depth: int = 0
    members: dict[str, Raw] = field(default_factory=dict)
    texts: dict[str, list[bytes]] = field(default_factory=dict)
    rows: dict[str, list[bytes]] = field(default_factory=dict)
    lists: dict[str, dict[int, _Growing]] = field(default_factory=dict)
    nested: dict[str, _Growing] = field(default_factory=dict)

    def grow(self, delta: Raw) -> None:
        for name, value in json_text.all_members(delta).items():
            self._grow_member(name, value)

    def _grow_member(self, name: str, value: Raw) -> None:
        start = bytes(memoryview(value)[:1])
        grows = self.depth < _DEEPEST
        if start == b'"' and name not in _WHOLE:
            self.held.add(name not in self.texts)
            self.texts.setdefault(name, []).append(json_text.string_inner(value))
        elif start == b"[":
            self._grow_list(name, value, grows)
        elif start == b"{" and name in _NESTED and grows:
            self._inner(self.nested, name).grow(value)
        elif name not in self.members or bytes(value) not in (b'""', json_text.NULL):
            self.held.add(name not in self.members)
            self.members[name] = value

    def _inner(self, inner: dict[K, _Growing], place: K) -> _Growing:
        """Return what grows at a place, begun where nothing does yet."""
        if place not in inner:
            self.held.add(_PLACE)
            inner[place] = _Growing(self.held, self.depth + 1)
        return inner[place]

    def _grow_list(self, name: str, value: Raw, grows: bool) -> None:
        elements = json_text.elements(value)
        if grows and elements and _indexed(elements[0]):
            items = self.lists.setdefault(name, {})
            for element in elements:
                self._inner(items, _index(element)).grow(element)
        elif elements:
            self.rows.setdefault(name, []).append(json_text.array_inner(value))
        else:
            self.rows.setdefault(name, [])

    def text(self) -> bytes:
        """What has grown, as a JSON object."""
        fields = dict(self.members)
        for name, pieces in self.texts.items():
            fields[name] = Raw(b'"' + b"".join(pieces) + b'"')
        for name, rows in self.rows.items():
            fields[name] = Raw(json_text.array(rows))
        for name, growing in self.nested.items():
            fields[name] = Raw(growing.text())
        for name, items in self.lists.items():
            fields[name] = Raw(json_text.array([items[i].text() for i in sorted(items)]))
        return json_text.object_of(fields)


@dataclass(slots=True)
class _ChoiceParts:
    message: _Growing
    logprobs: _Growing
    members: dict[str, Raw] = field(default_factory=dict)

    def feed(self, choice: Raw) -> None:
        fields = json_text.all_members(choice)
        for name, growing in (("delta", self.message), ("logprobs", self.logprobs)):
            if bytes(memoryview(fields.get(name, ABSENT))[:1]) == b"{":
                growing.grow(fields.pop(name))
        fields.pop("delta", None)
        self.members.update({k: v for k, v in fields.items() if json_text.present(v)})

    def text(self, index: int) -> bytes:
        fields = {"index": Raw(str(index).encode())} | self.members
        fields["message"] = Raw(self.message.text())
        fields["logprobs"] = Raw(self._logprobs())
        fields.setdefault("finish_reason", Raw(json_text.NULL))
        return json_text.object_of(fields)

    def _logprobs(self) -> bytes:
        text = self.logprobs.text()
        return json_text.NULL if text == b"{}" else text


class ChatChunks:
    """Folds the chunks of a stream into a chat completion.

    Feeding raises TooManyValuesError alone.
    """

    def __init__(self) -> None:
        self._held = _Held()
        self._members: dict[str, Raw] = {}
        self._choices: dict[int, _ChoiceParts] = {}
        self._done = False
        self._flaw: str | None = None

    def feed(self, event: Event) -> None:
        """Take one event; what is not a chunk is passed over."""
        if event.data.strip() == DONE:
            self._done = True
            return
        json_text.check_values(event.data)
        try:
            self._feed_chunk(json_text.all_members(event.data))
        except json_text.TooManyValuesError:
            raise
        except json_text.UnreadableError as error:
            self._flaw = self._flaw or flaw(event, error)

    def _feed_chunk(self, chunk: dict[str, Raw]) -> None:
        choices = chunk.pop("choices", ABSENT)
        for name, value in chunk.items():
            if json_text.present(value) or name not in self._members:
                self._held.add(name not in self._members)
                self._members[name] = value
        if not json_text.present(choices):
            return
        for choice in json_text.elements(choices):
            self._choice(_index(choice)).feed(choice)

    def _choice(self, index: int) -> _ChoiceParts:
        if index not in self._choices:
            self._held.add(_PLACE)
            self._choices[index] = _ChoiceParts(_Growing(self._held), _Growing(self._held))
        return self._choices[index]

    def outcome(self) -> Outcome:
        """What the chunks came to: completed by `[DONE]` or when every choice has finished."""
        ended = State.COMPLETED if self._done or self._finished() else None
        if not self._members and not self._choices:
            return Outcome(state=ended, terminal=self._done, flaw=self._flaw)
        fields = self._members | {"object": json_text.string("chat.completion")}
        choices = [self._choices[index].text(index) for index in sorted(self._choices)]
        fields["choices"] = Raw(json_text.array(choices))
        text = json_text.object_of(fields)
        try:
            whole = read_completion(text, ended)
        except json_text.UnreadableError:  # nested one level too deep by now
            whole = Outcome(state=ended, partial=text)
        return replace(whole, terminal=self._done, flaw=self._flaw)

    def _finished(self) -> bool:
        return bool(self._choices) and all(
            json_text.present(choice.members.get("finish_reason", ABSENT))
            for choice in self._choices.values()
        )


def fold(events: Iterable[Event]) -> Outcome:
    """Fold a whole stream. Raises TooManyValuesError."""
    chunks = ChatChunks()
    for event in events:
        chunks.feed(event)
    return chunks.outcome()


def _indexed(element: Raw) -> bool:
    try:
        return json_text.present(json_text.members(element, _Indexed).index)
    except json_text.UnreadableError:
        return False


def _index(element: Raw) -> int:
    return json_text.as_int(json_text.members(element, _Indexed).index) or 0


def _cut_short(choices: Raw) -> str | None:
    """Return why the first choice is not whole, in the words of the Responses API; None if it is.

    What cannot be read says nothing: its own reader tells of it.
    """
    try:
        first = json_text.elements(choices)[0] if json_text.present(choices) else ABSENT
        reason = json_text.as_text(json_text.members(first, _Choice).finish_reason)
    except (json_text.UnreadableError, IndexError):
        return None
    return _REASONS.get(reason or "")


_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


def _first_text(choices: Raw) -> str | None:
    """The text of the first choice; a few servers send its content in parts."""
    if not json_text.present(choices):
        return None
    try:
        first = json_text.elements(choices)[0]
        content = json_text.members(json_text.members(first, _Choice).message, _Message).content
        if bytes(memoryview(content)[:1]) != b"[":
            return json_text.as_text(content)
        parts = [json_text.members(part, _Part).text for part in json_text.elements(content)]
    except (json_text.UnreadableError, IndexError):
        return None
    return "".join(filter(None, map(json_text.as_text, parts))) or None
