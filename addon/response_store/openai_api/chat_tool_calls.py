"""The tool calls of a chat message as they grow, whatever a server says of where a piece belongs.

A piece names its call by `index`. Some servers give all calls index 0, or none, or one only in the
first piece; then a new id, or a new name behind arguments that are whole, begins a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec import Raw

from response_store import jsontext
from response_store.openai_api.outcome import PLACE, Held

Members = dict[str, Raw]
_BODIES = ("function", "custom")
_GROWING = ("arguments", "input")
_ARGUMENT_ENDS = (b"}", b"]", b'"')


@dataclass(slots=True)
class _Call:
    index: int
    members: Members = field(default_factory=dict)
    body_name: str = ""
    body: Members = field(default_factory=dict)
    name: str = ""
    id: str = ""
    pieces: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def has_arguments(self) -> bool:
        has_members = any(name in self.body for name in _GROWING)
        return has_members or any(piece for pieces in self.pieces.values() for piece in pieces)

    @property
    def is_whole(self) -> bool:
        """Return whether its arguments are a JSON value; a custom tool's input always may be."""
        if any(name in self.body for name in _GROWING):
            return True
        text = b"".join(self.pieces.get("arguments", []))
        return bool(self.pieces.get("input")) or _is_json_in_string(text)

    def add(self, piece: Members) -> None:
        """Take a piece; what is empty replaces nothing."""
        for name, value in piece.items():
            if name in _BODIES and _is_object(value):
                self.body_name = self.body_name or name
                self.add_body(jsontext.slice_all_members(value))
            elif name in ("name", *_GROWING):  # not within an object, as some servers have it
                self.add_body({name: value})
            elif name not in self.members or not _is_empty(value):
                self.members[name] = value
        self.id = _read_id(self.members)

    def add_body(self, body: Members) -> None:
        """Take more of what is called, and with what."""
        for name, value in body.items():
            if name == "name":
                self._add_name(value)
            elif name in _GROWING:
                self._add_arguments(name, value)
            elif name not in self.body or not _is_empty(value):
                self.body[name] = value

    def text(self) -> bytes:
        """Return it as JSON."""
        fields: Members = dict(self.members)
        if self.body_name or self.name or self.pieces or self.body:
            fields[self.body_name or "function"] = Raw(self.body_text())
        return jsontext.encode_object(fields)

    def body_text(self) -> bytes:
        """Return what is called as JSON: its name, then its arguments, then anything else."""
        fields: Members = {"name": jsontext.encode_string(self.name)} if self.name else {}
        for name, pieces in self.pieces.items():
            fields[name] = Raw(b'"' + b"".join(pieces) + b'"')
        return jsontext.encode_object(fields | self.body)

    def _add_name(self, value: Raw) -> None:
        new = jsontext.read_text(value) or ""
        if new.startswith(self.name):  # the first one, or it is repeated, as far as it came
            self.name = new
        elif not self.has_arguments:
            self.name += new

    def _add_arguments(self, name: str, value: Raw) -> None:
        if bytes(memoryview(value)[:1]) == b'"':
            self.pieces.setdefault(name, []).append(jsontext.strip_quotes(value))
        elif not _is_empty(value):
            self.body[name] = value  # an object, as some servers send it


class ToolCalls:
    """Accumulates pieces of calls."""

    def __init__(self, held: Held) -> None:
        self._held = held
        self._calls: list[_Call] = []
        self._latest: dict[int, _Call] = {}

    def add(self, pieces: Raw) -> None:
        """Take the `tool_calls` of a delta; raises UnreadableError where it is no list."""
        elements = [pieces] if _is_object(pieces) else jsontext.slice_elements(pieces)
        fed: set[int] = set()  # the calls in this list, which has one piece of a call at most
        for piece in filter(_is_object, elements):
            fed.add(id(self._add_piece(jsontext.slice_all_members(piece), fed)))

    @property
    def has_come(self) -> bool:
        """Return whether there is any."""
        return bool(self._calls)

    def value(self) -> Raw:
        """Return the calls as a JSON list, by index, then as they began."""
        calls = sorted(self._calls, key=lambda call: call.index)
        return Raw(jsontext.encode_array([call.text() for call in calls]))

    def _add_piece(self, piece: Members, fed: set[int]) -> _Call:
        index = _read_index(piece.get("index", jsontext.ABSENT))
        call = self._target(index, piece)
        is_fed = id(call) in fed and bool(_read_id(piece) or _read_name(piece))
        if call is None or is_fed or _is_another_call(call, piece):
            last = self._calls[-1].index if self._calls else 0
            self._held.add(PLACE)
            call = _Call(last if index is None else index)
            self._calls.append(call)
        self._latest[call.index if index is None else index] = call
        call.add(piece)
        return call

    def _target(self, index: int | None, piece: Members) -> _Call | None:
        """Return the call that a piece goes to, unless it begins one of its own."""
        new_id = _read_id(piece)
        same = [call for call in reversed(self._calls) if new_id and call.id == new_id]
        last = self._calls[-1] if self._calls else None
        if index is None:
            return same[0] if same else last
        latest = self._latest.get(index)
        if latest is None:  # some servers count the pieces, not the calls
            open_call = same[0] if same else last
            goes_on = same or not (new_id or _read_name(piece))
            return open_call if open_call and goes_on and not open_call.is_whole else None
        if new_id and latest.id != new_id:
            return next((call for call in same if call.index == index), latest)
        return latest


def _is_another_call(call: _Call, piece: Members) -> bool:
    new_id, new_name = _read_id(piece), _read_name(piece)
    if not (new_name or _has_arguments(piece)):
        return bool(new_id and call.id and new_id != call.id and "index" not in piece)
    if new_id and call.id:
        if new_id == call.id:
            return False
        differs = bool(new_name) and new_name != call.name
        return call.is_whole or (differs and bool(call.name))
    return (
        bool(new_name) and bool(call.name) and call.is_whole and not _is_continuation(call, piece)
    )


def _is_continuation(call: _Call, piece: Members) -> bool:
    """Return whether a piece with a name repeats that of its call, and brings no arguments."""
    return _read_name(piece) == call.name and not _has_arguments(piece)


def _has_arguments(piece: Members) -> bool:
    body = _find_body(piece)
    return any(not _is_empty(body.get(name, jsontext.ABSENT)) for name in _GROWING)


def _read_id(piece: Members) -> str:
    return jsontext.read_text(piece.get("id", jsontext.ABSENT)) or ""


def _read_name(piece: Members) -> str:
    return jsontext.read_text(_find_body(piece).get("name", jsontext.ABSENT)) or ""


def _find_body(piece: Members) -> Members:
    bodies = (piece[name] for name in _BODIES if _is_object(piece.get(name, jsontext.ABSENT)))
    return next(map(jsontext.slice_all_members, bodies), piece)


def _is_json_in_string(inner: bytes) -> bool:
    """Return whether a text (JSON, without its quotes) is a JSON object, list or string itself."""
    text = jsontext.read_text(b'"' + inner + b'"')
    body = (text or "").strip().encode()
    if not body.endswith(_ARGUMENT_ENDS):
        return False
    try:
        jsontext.slice_elements(b"[" + body + b"]")
    except jsontext.UnreadableError:
        return False
    return True


def _read_index(value: Raw) -> int | None:
    index = jsontext.read_int(value)
    if index is None and (text := jsontext.read_text(value)):
        index = jsontext.read_int(text.encode())
    return index


def _is_object(value: Raw) -> bool:
    return bytes(memoryview(value)[:1]) == b"{"


def _is_empty(value: Raw) -> bool:
    return not jsontext.is_present(value) or bytes(value) == b'""'
