"""The Responses API's events, folded into an outcome.

The terminal event is the truth: it carries the whole object. Only where it is missing, or where
its object comes without output (as some backends send it), do the increments count. Texts are
joined as JSON text, so a surrogate pair cut between two deltas becomes one character again.

Source: the API reference, "Streaming events".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec
from msgspec import Raw

from response_store import json_text
from response_store.json_text import ABSENT
from response_store.limits import PLACES, VALUES
from response_store.openai_api.outcome import Fault, Outcome
from response_store.openai_api.response_object import output_text, read_fault, read_response
from response_store.openai_api.sse import Event
from response_store.openai_api.terminal_events import TERMINAL, event_type
from response_store.store.records import UNFINISHED, State

_PLACE = VALUES // PLACES  # what one counts as
_SNAPSHOTS = frozenset({"response.created", "response.queued", "response.in_progress"})
# Which member of an item a text delta goes to.
_CONTENT = {
    "response.output_text.delta": ("output_text", "text"),
    "response.refusal.delta": ("refusal", "refusal"),
    "response.reasoning_text.delta": ("reasoning_text", "text"),
}
_SUMMARY = "response.reasoning_summary_text.delta"
_MEMBER = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}


class _Data(msgspec.Struct):
    type: Raw = ABSENT
    response: Raw = ABSENT
    output_index: Raw = ABSENT
    content_index: Raw = ABSENT
    summary_index: Raw = ABSENT
    item: Raw = ABSENT
    delta: Raw = ABSENT
    error: Raw = ABSENT
    code: Raw = ABSENT
    message: Raw = ABSENT


@dataclass(slots=True)
class _Item:
    """An output item as far as it came."""

    start: dict[str, Raw] = field(default_factory=dict)
    done: bytes | None = None
    content: dict[int, tuple[str, str, list[bytes]]] = field(default_factory=dict)
    summary: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    members: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def text(self) -> bytes:
        """The item as JSON text: as it was sent whole, else put together of its parts."""
        if self.done is not None:
            return self.done
        fields = dict(self.start)
        if self.content:
            fields.setdefault("type", _item_type(self.content))
            fields["content"] = Raw(json_text.array([self._part(i) for i in sorted(self.content)]))
        if self.summary:
            fields.setdefault("type", json_text.string("reasoning"))
            fields["summary"] = Raw(
                json_text.array([_summary(self.summary[i]) for i in sorted(self.summary)])
            )
        for name, pieces in self.members.items():
            fields[name] = _joined(pieces)
        return json_text.object_of(fields)

    def _part(self, index: int) -> bytes:
        kind, name, pieces = self.content[index]
        return json_text.object_of({"type": kind, name: _joined(pieces)})


class ResponseEvents:
    """Folds events, in the order they came, into an Outcome.

    Feeding raises TooManyValuesError alone.
    """

    def __init__(self) -> None:
        self._held = 0  # members and places
        self._snapshot: dict[str, Raw] = {}
        self._terminal: tuple[str, bytes] | None = None
        self._items: dict[int, _Item] = defaultdict(_Item)
        self._fault: Fault | None = None
        self._flaw: str | None = None

    def feed(self, event: Event) -> None:
        """Take one event; what is not an event of this API is passed over."""
        json_text.check_values(event.data)
        try:
            data = json_text.members(event.data, _Data)
        except json_text.UnreadableError as error:
            self._flaw = self._flaw or flaw(event, error)
            return
        kind = event_type(event, data.type)
        if kind in TERMINAL:
            self._terminal = self._terminal or (kind, bytes(data.response))
        elif kind in _SNAPSHOTS:
            self._snapshot = _members_of(data.response) or self._snapshot
        elif kind == "error" or (not kind and json_text.present(data.error)):
            self._fault = _fault(data)
        elif json_text.present(data.output_index):
            self._feed_item(kind, data)

    def outcome(self) -> Outcome:
        """What the events came to."""
        items = tuple(self._items[index].text() for index in sorted(self._items))
        if self._terminal is None:
            return self._partial(items)
        kind, text = self._terminal
        try:
            whole = read_response(text, items)
        except json_text.UnreadableError:
            return replace(self._partial(items), state=TERMINAL[kind], terminal=True)
        unsure = whole.state is None or whole.state in UNFINISHED
        return replace(
            whole,
            state=TERMINAL[kind] if unsure else whole.state,
            fault=whole.fault or self._fault,
            terminal=True,
            flaw=self._flaw if whole.items is items else None,
        )

    def _partial(self, items: tuple[bytes, ...]) -> Outcome:
        state = State.FAILED if self._fault else None
        if not self._snapshot and not items:
            return Outcome(state=state, fault=self._fault, flaw=self._flaw)
        fields = dict(self._snapshot)
        if items or "output" not in fields:
            fields["output"] = Raw(json_text.array(list(items)))
        text = json_text.object_of(fields)
        seen = _read_partial(text, items)
        fault = self._fault or seen.fault
        return replace(seen, state=state, response=None, partial=text, fault=fault, flaw=self._flaw)

    def _feed_item(self, kind: str, data: _Data) -> None:
        if kind == "response.output_item.added":
            start = self._item(data).start = _members_of(data.item)
            self._hold(len(start))
        elif kind == "response.output_item.done":
            if _members_of(data.item):
                self._item(data).done = bytes(data.item)
        elif kind in _CONTENT:
            content, place = self._item(data).content, _index(data.content_index)
            if place not in content:
                self._hold(_PLACE)
                content[place] = (*_CONTENT[kind], [])
            content[place][2].append(json_text.string_inner(data.delta))
        elif kind == _SUMMARY:
            summary, place = self._item(data).summary, _index(data.summary_index)
            self._hold(0 if place in summary else _PLACE)
            summary[place].append(json_text.string_inner(data.delta))
        elif kind in _MEMBER:
            self._item(data).members[_MEMBER[kind]].append(json_text.string_inner(data.delta))

    def _item(self, data: _Data) -> _Item:
        index = _index(data.output_index)
        self._hold(0 if index in self._items else _PLACE)
        return self._items[index]

    def _hold(self, members: int) -> None:
        """Count what is held until the end. Raises TooManyValuesError."""
        self._held += members
        if self._held > VALUES:
            raise json_text.TooManyValuesError("more items and parts than are kept")


def fold(events: Iterable[Event]) -> Outcome:
    """Fold a whole stream. Raises TooManyValuesError."""
    folded = ResponseEvents()
    for event in events:
        folded.feed(event)
    return folded.outcome()


def read_terminal(event: Event) -> Outcome | None:
    """Read a terminal event alone; None where its object lacks what the increments would give."""
    alone = fold([event])
    return alone if alone.items else None


def flaw(event: Event, error: json_text.UnreadableError) -> str | None:
    """Why an event could not be read; None for pings, marks and an event that was cut off."""
    data = event.data.strip()
    return f"event: {error}" if data[:1] == b"{" and data[-1:] == b"}" else None


def _read_partial(text: bytes, items: tuple[bytes, ...]) -> Outcome:
    try:
        return read_response(text)
    except json_text.UnreadableError:  # nested one level too deep by now
        return Outcome(items=items, output_text=output_text(items))


def _fault(data: _Data) -> Fault:
    nested = read_fault(data.error)
    if nested is not None:
        return nested
    return Fault(json_text.as_text(data.code), json_text.as_text(data.message))


def _members_of(text: json_text.Text) -> dict[str, Raw]:
    try:
        return json_text.all_members(text)
    except json_text.UnreadableError:
        return {}


def _index(text: Raw) -> int:
    return json_text.as_int(text) or 0


def _joined(pieces: list[bytes]) -> Raw:
    return Raw(b'"' + b"".join(pieces) + b'"')


def _summary(pieces: list[bytes]) -> bytes:
    return json_text.object_of({"type": "summary_text", "text": _joined(pieces)})


def _item_type(content: dict[int, tuple[str, str, list[bytes]]]) -> Raw:
    kinds = {kind for kind, _, _ in content.values()}
    return json_text.string("reasoning" if kinds == {"reasoning_text"} else "message")
