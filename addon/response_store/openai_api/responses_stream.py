"""Accumulate the events of the Responses API into what a body would have said.

The terminal event is the truth where it says something: it carries the whole object. What its
output lacks, or has poorer than the stream had it, is taken from the increments, so that nothing
that came is missing in the row.

Source: the API reference, "Streaming events".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from response_store import jsontext
from response_store.model.records import State
from response_store.openai_api.error_body import read_error_body
from response_store.openai_api.outcome import PLACE, ApiError, Held, ParsedResponse
from response_store.openai_api.output_items import (
    CONTENT,
    MEMBERS,
    SUMMARY,
    ContentPart,
    OutputItem,
    OutputItems,
    Piecewise,
    read_members,
)
from response_store.openai_api.responses import join_output_text, read_response
from response_store.openai_api.sse import TERMINAL, Event, determine_type, is_filler

Match = dict[int, int]
_UNSTABLE = ("id", "status", "annotations", "logprobs", "phase", "encrypted_content")
_CONTENT_MEMBERS = ("content", "summary", "arguments", "input", "code", "action", "operation")
_LARGE = 1 << 20  # bytes above which values are compared as they came


def merge_output(
    final: Sequence[bytes], streamed: Sequence[bytes]
) -> tuple[tuple[bytes, ...], bool]:
    """Return the items of both, JSON text each, and whether anything streamed is in none of them.

    Items are the same by id or call_id, else by what they say, else by type and position. The
    final one counts, unless it is poorer: it says nothing where the streamed one did.
    """
    if not final:
        return tuple(streamed), False
    if not streamed:
        return tuple(final), False
    match = _match_items([_Seen(item) for item in final], [_Seen(item) for item in streamed])
    merged = list(final)
    has_lost = False
    for at, other in match.items():
        mine, theirs = _Seen(final[other]).content_key, _Seen(streamed[at]).content_key
        if theirs and not mine:
            merged[other] = streamed[at]
        elif theirs and theirs != mine:
            has_lost = True
    return tuple(_insert_missing(merged, streamed, match)), has_lost


def _insert_missing(merged: list[bytes], streamed: Sequence[bytes], match: Match) -> list[bytes]:
    """Return the items with the streamed ones that have no match, each behind the one before."""
    following: dict[int, list[bytes]] = {}
    last = -1
    for at, item in enumerate(streamed):
        if at in match:
            last = match[at]
        else:
            following.setdefault(last, []).append(item)
    result = following.get(-1, [])
    for at, item in enumerate(merged):
        result += [item, *following.get(at, [])]
    return result


class _Seen:
    """What an item can be known by."""

    def __init__(self, item: bytes) -> None:
        members = read_members(item)
        self.type = jsontext.read_text(members.get("type", jsontext.ABSENT))
        self.id = jsontext.read_text(members.get("id", jsontext.ABSENT))
        self.call_id = jsontext.read_text(members.get("call_id", jsontext.ABSENT))
        self.content_key = _build_comparison_text(
            {name: members[name] for name in _CONTENT_MEMBERS if name in members}
        )


def _match_items(final: list[_Seen], streamed: list[_Seen]) -> Match:
    match: Match = {}
    taken: set[int] = set()

    def pair(how: Any) -> None:
        for at, item in enumerate(streamed):
            if at in match:
                continue
            for other, candidate in enumerate(final):
                if other not in taken and item.type == candidate.type and how(item, candidate):
                    match[at] = other
                    taken.add(other)
                    break

    places = {id(item): at for seen in (final, streamed) for at, item in enumerate(seen)}
    pair(lambda a, b: a.id is not None and a.id == b.id and a.content_key == b.content_key)
    pair(lambda a, b: a.call_id is not None and a.call_id == b.call_id)
    pair(lambda a, b: a.id is not None and a.id == b.id and a.call_id == b.call_id)
    pair(lambda a, b: a.content_key == b.content_key and a.call_id == b.call_id)
    pair(lambda a, b: places[id(a)] == places[id(b)] and a.call_id == b.call_id)
    return match


def _build_comparison_text(members: dict[str, Any]) -> str:
    """Return what an item says as a text to compare; empty where it says nothing."""
    if sum(len(memoryview(value)) for value in members.values()) > _LARGE:
        return hashlib.sha256(b"".join(map(bytes, members.values()))).hexdigest()
    try:
        decoded = {name: json.loads(bytes(value)) for name, value in members.items()}
    except (ValueError, RecursionError):
        return repr(members)
    values = {name: kept for name, value in decoded.items() if (kept := _drop_unstable(value))}
    return json.dumps(values, sort_keys=True) if values else ""


def _drop_unstable(value: Any) -> Any:
    """Return a value without what changes between events, and without what is empty."""
    if isinstance(value, list):
        return [kept for one in value if (kept := _drop_unstable(one))]
    if not isinstance(value, dict):
        return value
    kept = {k: _drop_unstable(v) for k, v in value.items() if k not in _UNSTABLE}
    kept = {k: v for k, v in kept.items() if v}
    return kept if kept.keys() - {"type"} else {}


P = TypeVar("P", bound=Piecewise)
_SNAPSHOTS = frozenset({"response.created", "response.queued", "response.in_progress"})
RATE_LIMITS = "codex.rate_limits"
"""The type of the event in which Codex's backend tells of rate limits."""
_ERRORS = frozenset({"error", "response.error"})
_DONE_MEMBERS = ("text", "refusal", "transcript", "arguments", "input", "code", "command", "diff")
_LOST = "a part of the stream is in none of the row's columns"


class _Data(msgspec.Struct):
    type: Raw = jsontext.ABSENT
    response: Raw = jsontext.ABSENT
    output_index: Raw = jsontext.ABSENT
    content_index: Raw = jsontext.ABSENT
    summary_index: Raw = jsontext.ABSENT
    command_index: Raw = jsontext.ABSENT
    item_id: Raw = jsontext.ABSENT
    item: Raw = jsontext.ABSENT
    part: Raw = jsontext.ABSENT
    delta: Raw = jsontext.ABSENT
    annotation: Raw = jsontext.ABSENT
    text: Raw = jsontext.ABSENT
    refusal: Raw = jsontext.ABSENT
    transcript: Raw = jsontext.ABSENT
    arguments: Raw = jsontext.ABSENT
    input: Raw = jsontext.ABSENT
    code: Raw = jsontext.ABSENT
    command: Raw = jsontext.ABSENT
    diff: Raw = jsontext.ABSENT
    error: Raw = jsontext.ABSENT


class ResponseAccumulator:
    """Accumulates events, in the order they came, into an Outcome.

    Feeding raises TooManyValuesError alone.
    """

    def __init__(self) -> None:
        self._held = Held()
        self._snapshot: dict[str, Raw] = {}
        self._terminal: tuple[str, bytes] | None = None
        self._items = OutputItems(self._held)
        self._api_error: ApiError | None = None
        self._parse_error: str | None = None
        self._rate_limits: bytes | None = None
        self._lost = False
        self._unknown = False  # a delta of a type that is not known

    def feed(self, event: Event) -> None:
        """Take one event; what is not an event of this API is passed over."""
        jsontext.check_values(event.data)
        try:
            data = jsontext.slice_members(event.data, _Data)
        except jsontext.UnreadableError as error:
            self._feed_unreadable(event, error)
            return
        kind = determine_type(event, data.type)
        if kind in TERMINAL:
            self._terminal = self._terminal or (kind, bytes(data.response))
        elif kind in _SNAPSHOTS:
            self._snapshot = read_members(data.response) or self._snapshot
        elif kind in _ERRORS:
            self._api_error = read_error_body(event.data) or ApiError()
        elif kind == RATE_LIMITS:
            self._rate_limits = bytes(event.data)
        elif kind.startswith("response."):
            self._feed_item(kind, data)
        elif len(event.data) > 2 and (api_error := read_error_body(event.data)) is not None:
            self._api_error = api_error

    def outcome(self) -> ParsedResponse:
        """Return what the events add up to."""
        outcome = self._outcome()
        return replace(outcome, rate_limits=self._rate_limits) if self._rate_limits else outcome

    def _outcome(self) -> ParsedResponse:
        items = tuple(item.text() for item in self._items)
        if self._terminal is None:
            return self._partial(items)
        kind, text = self._terminal
        try:
            whole = read_response(text)
        except jsontext.UnreadableError:
            return replace(self._partial(items), state=TERMINAL[kind], terminal=True)
        unsure = whole.state is None or not whole.state.is_final
        return replace(
            self._completed(whole, items),
            state=TERMINAL[kind] if unsure else whole.state,
            error=whole.error or self._api_error,
            terminal=True,
        )

    def _completed(self, whole: ParsedResponse, items: tuple[bytes, ...]) -> ParsedResponse:
        """Return the terminal object's outcome with what only the events before it said."""
        incremental = not whole.items
        merged, has_lost = merge_output(whole.items, items)
        if merged != whole.items:
            whole = replace(whole, items=merged, output_text=join_output_text(merged))
        before = ParsedResponse()
        if self._snapshot:
            before = _read_partial(jsontext.encode_object(self._snapshot), ())
        has_lost = has_lost or self._lost or (self._unknown and incremental)
        return replace(
            whole,
            response_id=whole.response_id or before.response_id,
            model=whole.model or before.model,
            created_at=before.created_at if whole.created_at is None else whole.created_at,
            previous_response_id=whole.previous_response_id or before.previous_response_id,
            conversation_id=whole.conversation_id or before.conversation_id,
            parse_error=self._parse_error if incremental else None,
            lost=_LOST if has_lost else None,
        )

    def _partial(self, items: tuple[bytes, ...]) -> ParsedResponse:
        state = State.FAILED if self._api_error else None
        lost = _LOST if self._lost or self._unknown else None
        if not self._snapshot and not items:
            return ParsedResponse(
                state=state, error=self._api_error, parse_error=self._parse_error, lost=lost
            )
        fields = dict(self._snapshot)
        if items or "output" not in fields:
            fields["output"] = Raw(jsontext.encode_array(list(items)))
        text = jsontext.encode_object(fields)
        seen = _read_partial(text, items)
        return replace(
            seen,
            state=state,
            response=None,
            partial=text,
            error=self._api_error or seen.error,
            parse_error=self._parse_error,
            lost=lost,
        )

    def _feed_unreadable(self, event: Event, error: jsontext.UnreadableError) -> None:
        if event.name.decode(errors="replace") in _ERRORS:
            words = jsontext.replace_unstorable(event.data.decode(errors="replace")).strip()
            self._api_error = ApiError(None, words or None)
            return
        if (api_error := read_error_body(event.data.strip())) is not None:  # in a list
            self._api_error = api_error
            return
        self._parse_error = self._parse_error or describe_parse_error(event, error)
        text = event.data.strip()
        self._lost = self._lost or not (is_filler(event) or text == b"[DONE]" or text[:1] == b"{")

    def _feed_item(self, kind: str, data: _Data) -> None:
        index = jsontext.read_int(data.output_index)
        base, dot, step = kind.rpartition(".")
        if kind == "response.output_item.added":
            self._items.add(index, read_members(data.item))
        elif kind == "response.output_item.done":
            if members := read_members(data.item):
                self._items.finish(index, members, bytes(data.item))
        elif base in CONTENT or base in SUMMARY or base in MEMBERS:
            self._feed_text(base, dot + step, data)
        elif kind == "response.output_text.annotation.added":
            self._part(data).annotations.append(bytes(data.annotation))
        elif step == "delta" and jsontext.is_present(data.delta):
            self._unknown = True

    def _feed_text(self, base: str, step: str, data: _Data) -> None:
        if step == ".delta":
            self._text_of(base, data).pieces.append(
                jsontext.strip_quotes(_unwrap_delta(data.delta))
            )
            return
        whole = _get_whole_text(data)
        if base == "response.content_part" and jsontext.is_present(data.part):
            part = read_members(data.part)
            kind = {"type": part["type"]} if "type" in part else {}
            self._part(data).others |= part if step == ".done" else kind
        if step == ".done" and whole:
            self._text_of(base, data).whole = whole
        elif step == ".added" and whole:
            self._text_of(base, data).pieces.append(whole)

    def _text_of(self, base: str, data: _Data) -> Piecewise:
        """Return the text that an event is about."""
        if base in SUMMARY:
            summary = self._item(data).summary
            return self._place(summary, _read_index(data.summary_index), Piecewise)
        if base in MEMBERS:
            texts = self._item(data).members.setdefault(MEMBERS[base], {})
            return self._place(texts, _read_index(data.command_index), Piecewise)
        part = self._part(data)
        kind, member = CONTENT[base]
        if not kind:
            kind, member = _choose_part_type(part)
        part.kind, part.member = part.kind or kind, member
        return part

    def _item(self, data: _Data) -> OutputItem:
        index = jsontext.read_int(data.output_index)
        return self._items.target(index, jsontext.read_text(data.item_id) or "")

    def _part(self, data: _Data) -> ContentPart:
        return self._place(self._item(data).content, _read_index(data.content_index), ContentPart)

    def _place(self, texts: dict[int, P], index: int, new: type[P]) -> P:
        if index not in texts:
            self._held.add(PLACE)
            texts[index] = new()
        return texts[index]


def accumulate(events: Iterable[Event]) -> ParsedResponse:
    """Accumulate a whole stream. Raises TooManyValuesError."""
    accumulator = ResponseAccumulator()
    for event in events:
        accumulator.feed(event)
    return accumulator.outcome()


def read_terminal(event: Event, limits: Event | None = None) -> ParsedResponse | None:
    """Read a terminal event alone; None where its object lacks what the increments would give.

    `limits` is the event that tells of rate limits.
    """
    alone = accumulate([event] if limits is None else [limits, event])
    return alone if alone.items and alone.model and alone.response_id else None


def describe_parse_error(event: Event, error: jsontext.UnreadableError) -> str | None:
    """Return why an event could not be read; None for pings, marks and an event that was cut
    off.
    """
    data = event.data.strip()
    return f"event: {error}" if data[:1] == b"{" and data[-1:] == b"}" else None


def _read_partial(text: bytes, items: tuple[bytes, ...]) -> ParsedResponse:
    try:
        return read_response(text)
    except jsontext.UnreadableError:  # nested one level too deep by now
        return ParsedResponse(items=items, output_text=join_output_text(items))


def _read_index(text: Raw) -> int:
    return jsontext.read_int(text) or 0


def _unwrap_delta(delta: Raw) -> Raw:
    """Return the text of a delta; some servers send it within an object."""
    if bytes(memoryview(delta)[:1]) != b"{":
        return delta
    members = read_members(delta)
    return next((members[name] for name in _DONE_MEMBERS if name in members), jsontext.ABSENT)


def _get_whole_text(data: _Data) -> bytes:
    """Return the whole text (JSON, without quotes) that an event has, in itself or its part."""
    for name in _DONE_MEMBERS:
        if text := jsontext.strip_quotes(getattr(data, name)):
            return text
    part = read_members(data.part)
    texts = (jsontext.strip_quotes(part.get(name, jsontext.ABSENT)) for name in _DONE_MEMBERS)
    return next(filter(None, texts), b"")


def _choose_part_type(part: ContentPart) -> tuple[str, str]:
    """Return the kind of a part and its text's member, by what was said when it was added."""
    kind = jsontext.read_text(part.others.get("type", jsontext.ABSENT)) or part.kind
    member = {"refusal": "refusal", "output_audio": "transcript"}.get(kind, "text")
    return kind, member
