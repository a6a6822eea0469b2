"""Chat Completions: the chunks of a stream put together, as their readers do.

Members that a vendor adds (reasoning text, cost, provider) are kept: texts are joined, anything
else is taken as it came last. An empty string and null never replace a value.

Source: the API reference, "The chat completion chunk object".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from msgspec import Raw
from msgspec.structs import replace

from response_store import jsontext
from response_store.model.records import State
from response_store.openai_api.chat_completions import (
    ContentParts,
    read_completion,
    unwrap_completion,
)
from response_store.openai_api.chat_tool_calls import ToolCalls
from response_store.openai_api.error_body import read_error, read_error_body, read_error_value
from response_store.openai_api.outcome import (
    PLACE,
    ApiError,
    Held,
    ParsedResponse,
    find_usage,
    merge_usage,
    read_usage,
)
from response_store.openai_api.responses_stream import describe_parse_error
from response_store.openai_api.sse import DONE, Event, is_filler

Members = dict[str, Raw]
K = TypeVar("K")
_WHOLE = frozenset({"role", "id", "type", "name", "format", "expires_at"})  # they do not grow
_CONTENT = frozenset({"content", "reasoning_content", "reasoning", "thinking"})
_NESTED = frozenset({"function_call", "audio"})  # objects that grow like the delta itself
_DEPTH = 8  # levels that grow; the API needs three
_ERRORS = frozenset({b"error", b"response.error"})  # names of events
_ODD = frozenset({"error", "base_resp"})  # members that may report an error
_COUNTING = frozenset({"usage", "x_groq", "usageMetadata", "timings", "eval_count"})
_LOST = "a part of the stream is in none of the row's columns"


@dataclass(slots=True)
class _DeltaAccumulator:
    """An object that comes in deltas: texts and lists grow, indexed elements each by itself."""

    held: Held
    depth: int = 0
    members: Members = field(default_factory=dict)
    contents: dict[str, ContentParts] = field(default_factory=dict)
    rows: dict[str, list[bytes]] = field(default_factory=dict)
    lists: dict[str, dict[int, _DeltaAccumulator]] = field(default_factory=dict)
    nested: dict[str, _DeltaAccumulator] = field(default_factory=dict)
    calls: ToolCalls | None = None

    def grow(self, delta: Members) -> None:
        for name, value in delta.items():
            self._grow_member(name, value)

    def _grow_member(self, name: str, value: Raw) -> None:
        start = bytes(memoryview(value)[:1])
        deeper = self.depth < _DEPTH
        if name == "tool_calls" and start in (b"[", b"{") and not self.depth:
            self.calls = self.calls or ToolCalls(self.held)
            self.calls.add(value)
            self.members.setdefault(name, value)  # an empty list, or replaced when it is written
        elif name in self.contents or self._is_content(name, start):
            if name not in self.contents:
                self.contents[name] = ContentParts(self.held)
            self.contents[name].add(value)
        elif start == b"[":
            self._grow_list(name, value, deeper)
        elif start == b"{" and name in _NESTED and deeper:
            self._inner(self.nested, name).grow(jsontext.slice_all_members(value))
        elif name not in self.members or bytes(value) not in (b'""', jsontext.NULL):
            self.held.add(name not in self.members)
            self.members[name] = value

    def _inner(self, inner: dict[K, _DeltaAccumulator], place: K) -> _DeltaAccumulator:
        """Return what grows at a place, begun where nothing does yet."""
        if place not in inner:
            self.held.add(PLACE)
            inner[place] = _DeltaAccumulator(self.held, self.depth + 1)
        return inner[place]

    def _is_content(self, name: str, start: bytes) -> bool:
        if name in _CONTENT and not self.depth:
            return start in (b'"', b"[", b"{")
        return start == b'"' and name not in _WHOLE and name not in self.rows

    def _grow_list(self, name: str, value: Raw, deeper: bool) -> None:
        elements = jsontext.slice_elements(value)
        if deeper and elements and read_index(elements[0]) is not None:
            items = self.lists.setdefault(name, {})
            for element in elements:
                growing = self._inner(items, read_index(element) or 0)
                growing.grow(jsontext.slice_all_members(element))
        elif elements:
            self.rows.setdefault(name, []).append(jsontext.strip_brackets(value))
        else:
            self.rows.setdefault(name, [])

    def text(self) -> bytes:
        """Return what has been accumulated, as a JSON object."""
        fields = dict(self.members)
        for name, parts in self.contents.items():
            fields[name] = parts.value()
        for name, rows in self.rows.items():
            fields[name] = Raw(jsontext.encode_array(rows))
        for name, growing in self.nested.items():
            fields[name] = Raw(growing.text())
        for name, items in self.lists.items():
            fields[name] = Raw(jsontext.encode_array([items[i].text() for i in sorted(items)]))
        if self.calls is not None and self.calls.has_come:
            fields.pop("tool_calls", None)  # they stand last
            fields["tool_calls"] = self.calls.value()
        return jsontext.encode_object(fields)


@dataclass(slots=True)
class _ChoiceParts:
    message: _DeltaAccumulator
    logprobs: _DeltaAccumulator
    members: Members = field(default_factory=dict)
    has_delta: bool = False
    has_lost: bool = False

    def feed(self, fields: Members) -> None:
        message = fields.pop("message", jsontext.ABSENT)
        if delta := _read_members(fields.pop("delta", jsontext.ABSENT)):
            self.message.grow(delta)
            self.has_delta = self.has_delta or _has_text(delta)
        elif whole := _read_members(message):
            self._take_message(whole)
        if logprobs := _read_members(fields.get("logprobs", jsontext.ABSENT)):
            self.logprobs.grow(logprobs)
            del fields["logprobs"]
        self.members.update({k: v for k, v in fields.items() if not _is_empty(v)})

    def _take_message(self, message: Members) -> None:
        """Take a message in the place of a delta; behind deltas it only repeats what they said."""
        if not self.has_delta:
            self.message.grow(message)
            return
        accumulated = jsontext.slice_all_members(self.message.text())
        for name, value in message.items():
            if _is_empty(accumulated.get(name, jsontext.ABSENT)):
                self.message.grow({name: value})
            elif name in _CONTENT and jsontext.read_text(value) != jsontext.read_text(
                accumulated[name]
            ):
                self.has_lost = True

    @property
    def is_finished(self) -> bool:
        return "finish_reason" in self.members

    def text(self, index: int) -> bytes:
        fields = {"index": Raw(str(index).encode())} | self.members
        fields["message"] = Raw(self.message.text())
        fields["logprobs"] = Raw(self._logprobs())
        fields.setdefault("finish_reason", Raw(jsontext.NULL))
        return jsontext.encode_object(fields)

    def _logprobs(self) -> bytes:
        text = self.logprobs.text()
        return jsontext.NULL if text == b"{}" else text


class ChatAccumulator:
    """Accumulates the chunks of a stream into a chat completion.

    Feeding raises TooManyValuesError alone.
    """

    def __init__(self) -> None:
        self._held = Held()
        self._members: Members = {}
        self._choices: dict[int, _ChoiceParts] = {}
        self._usage = jsontext.ABSENT  # wherever it stood
        self._stated_usage = jsontext.ABSENT  # beside the choices
        self._api_error: ApiError | None = None
        self._done = False
        self._parse_error: str | None = None
        self._lost = False

    def feed(self, event: Event) -> None:
        """Take one event. What is no chunk is noted; what only keeps the connection alive is
        ignored.
        """
        data = event.data.strip()
        if data == DONE:
            self._done = True
            return
        jsontext.check_values(data)
        try:
            self._feed_data(event, data)
        except jsontext.TooManyValuesError:
            raise
        except jsontext.UnreadableError as error:
            self._feed_unreadable(event, error)

    def outcome(self) -> ParsedResponse:
        """Return what the chunks add up to: completed by `[DONE]` or when every choice has
        finished.
        """
        api_error = self._api_error
        ended = State.COMPLETED if self._done or self._is_finished() else None
        state = State.FAILED if api_error else ended
        has_lost = self._lost or any(one.has_lost for one in self._choices.values())
        lost = _LOST if has_lost else None
        if not self._members and not self._choices:
            return ParsedResponse(
                state=state,
                terminal=self._done,
                error=api_error,
                parse_error=self._parse_error,
                lost=lost,
            )
        whole = self._read(state)
        whole = replace(
            whole, terminal=self._done, parse_error=self._parse_error, lost=whole.lost or lost
        )
        return replace(whole, state=State.FAILED, error=api_error) if api_error else whole

    def _feed_data(self, event: Event, data: bytes) -> None:
        if data[:1] == b"[":
            for element in jsontext.slice_elements(data):
                self._feed_data(event, bytes(element))
            return
        chunk = jsontext.slice_all_members(data)
        inner = unwrap_completion(chunk)
        self._feed_chunk(event, jsontext.slice_all_members(inner) if inner is not None else chunk)

    def _feed_chunk(self, event: Event, chunk: Members) -> None:
        choices = _read_choices(chunk.get("choices", jsontext.ABSENT))
        if not choices or not _ODD.isdisjoint(chunk) or any("error" in one for one in choices):
            self._note_error(event, chunk)
            if "choices" not in chunk and self._api_error is not None:
                return
        elif event.name in _ERRORS:
            self._note_error(event, chunk)
        self._count(chunk, choices)
        for name, value in chunk.items():
            if name != "choices" and _replaces(value, self._members.get(name, jsontext.ABSENT)):
                self._held.add(name not in self._members)
                self._members[name] = value
        for choice in choices:
            self._choice(jsontext.read_int(choice.get("index", jsontext.ABSENT)) or 0).feed(choice)

    def _choice(self, index: int) -> _ChoiceParts:
        if index not in self._choices:
            self._held.add(PLACE)
            self._choices[index] = _ChoiceParts(
                _DeltaAccumulator(self._held), _DeltaAccumulator(self._held)
            )
        return self._choices[index]

    def _note_error(self, event: Event, chunk: Members) -> None:
        api_error = read_error(chunk)
        if api_error is None and event.name in _ERRORS:
            api_error = read_error_value(event.data)
        self._api_error = self._api_error or api_error

    def _count(self, chunk: Members, choices: list[Members]) -> None:
        """Take the tokens that a chunk counts, wherever they stand."""
        has_counts = any(name in chunk and jsontext.is_present(chunk[name]) for name in _COUNTING)
        if not has_counts and not any("usage" in one for one in choices):
            return
        self._usage = merge_usage(self._usage, find_usage(chunk, choices))
        self._stated_usage = merge_usage(self._stated_usage, chunk.get("usage", jsontext.ABSENT))

    def _feed_unreadable(self, event: Event, error: jsontext.UnreadableError) -> None:
        if event.name in _ERRORS:
            self._api_error = self._api_error or _read_plain_error(event.data)
            return
        self._parse_error = self._parse_error or describe_parse_error(event, error)
        self._lost = self._lost or not (is_filler(event) or event.data.lstrip()[:1] == b"{")

    def _read(self, state: State | None) -> ParsedResponse:
        fields = self._members | {"object": jsontext.encode_string("chat.completion")}
        choices = [self._choices[index].text(index) for index in sorted(self._choices)]
        fields["choices"] = Raw(jsontext.encode_array(choices))
        if jsontext.is_present(self._stated_usage):
            fields["usage"] = self._stated_usage
        text = jsontext.encode_object(fields)
        try:
            return replace(read_completion(text, state), usage=read_usage(self._usage))
        except jsontext.UnreadableError:  # nested one level too deep by now
            return ParsedResponse(state=state, partial=text, lost=_LOST)

    def _is_finished(self) -> bool:
        return bool(self._choices) and all(one.is_finished for one in self._choices.values())


def accumulate(events: Iterable[Event]) -> ParsedResponse:
    """Accumulate a whole stream. Raises TooManyValuesError."""
    chunks = ChatAccumulator()
    for event in events:
        chunks.feed(event)
    return chunks.outcome()


def read_index(element: Raw) -> int | None:
    """Return the `index` of a list's element; None where it has none."""
    try:
        return jsontext.read_int(jsontext.slice_all_members(element).get("index", jsontext.ABSENT))
    except jsontext.UnreadableError:
        return None


def _read_choices(choices: Raw) -> list[Members]:
    start = bytes(memoryview(choices)[:1])
    if start == b"{":
        return [jsontext.slice_all_members(choices)]
    elements = jsontext.slice_elements(choices) if start == b"[" else []
    return [jsontext.slice_all_members(choice) for choice in elements]


def _read_plain_error(data: bytes) -> ApiError | None:
    api_error = read_error_body(data)
    text = jsontext.replace_unstorable(data.decode(errors="replace")).strip()
    return api_error or (ApiError(None, text) if text else None)


def _read_members(value: Raw) -> Members:
    return jsontext.slice_all_members(value) if bytes(memoryview(value)[:1]) == b"{" else {}


def _has_text(delta: Members) -> bool:
    return any(name != "role" and not _is_empty(value) for name, value in delta.items())


def _replaces(value: Raw, before: Raw) -> bool:
    """Return whether a value replaces another: an empty one does where there is not even that."""
    return not _is_empty(value) or not jsontext.is_present(before)


def _is_empty(value: Raw) -> bool:
    return not jsontext.is_present(value) or bytes(value) == b'""'
