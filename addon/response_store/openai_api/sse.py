"""Decode server-sent events: bytes to frames, frames to events, and which event ends a response.

Names and ids stand at the beginning, and what some servers write behind the large part is a few
short members. What lies between is left out.

Source: the WHATWG HTML standard, "Server-sent events", section 9.2.6. Real servers differ in
line ends (LF, CRLF, CR), byte order marks, comments and a last frame without its blank line;
all of these come out alike. Chunks may be cut anywhere, also inside a character or a CRLF.

Against the standard, but read as they are meant: frames with one line end between them, `data:`
twice, JSON without `data:`, and a field `error:`, which is an event of that name.

Source: the API reference, "Streaming events"; `[DONE]` ends the chunks of Chat Completions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Raw

from response_store import jsontext
from response_store.jsontext import ABSENT, TooManyValuesError
from response_store.limits import OUTLINE_END, OUTLINED, READ_SECONDS, VALUES, Deadline
from response_store.model.records import State

_MAX_DEPTH = 4  # levels that are told apart
_CLOSERS = {b"{": b"}", b"[": b"]"}
_token = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[{}\[\],]', re.DOTALL).finditer
_short_member = re.compile(
    rb',\s*+"(?:[^"\\]++|\\.)*+"\s*+:\s*+(?:"(?:[^"\\]++|\\.)*+"|[-+0-9.eE]++|true|false|null)\s*+',
    re.DOTALL,
).finditer
_is_end = re.compile(rb"\}\s*+\Z").match


def outline_if_large(text: bytes) -> bytes:
    """Return a JSON text as it is, or the outline of a large one."""
    if len(text) <= OUTLINED:
        return text
    return outline(text[:OUTLINE_END], text[-OUTLINE_END:])


def outline(head: bytes, tail: bytes) -> bytes:
    """Return a JSON object with the members that the two ends of a large one hold whole.

    What is no object comes out as a text that is none either.
    """
    start, closers = _close_head(head)
    if closers[-1:] != b"}":
        return start + closers
    members = _find_last_members(tail)
    if start.rstrip().endswith((b"{", b"[")) and len(closers) == 1:
        members = members.removeprefix(b",")
    return start + closers[:-1] + members + b"}"


def _close_head(head: bytes) -> tuple[bytes, bytes]:
    """Return the beginning up to its last whole member, and the brackets that close it."""
    open_brackets: list[bytes] = []
    kept, closers = 0, b""
    for token in _token(head):
        mark = token[0]
        if mark[:1] == b'"':
            if token[1] is None:
                break
            continue
        if mark in _CLOSERS:
            open_brackets.append(_CLOSERS[mark])
        elif mark != b",":
            del open_brackets[-1:]
        if len(open_brackets) <= _MAX_DEPTH:
            kept = token.start() if mark == b"," else token.end()
            closers = b"".join(reversed(open_brackets))
        if not open_brackets:
            break
    return head[:kept], closers


def _find_last_members(tail: bytes) -> bytes:
    """Return the short members at the end of an object, each behind a comma."""
    start = end = 0
    for member in _short_member(tail):
        if member.start() != end or not end:
            start = member.start()
        end = member.end()
    return tail[start:end] if end and _is_end(tail, end) else b""


BOM = b"\xef\xbb\xbf"
FRAME_END = b"\n\n"
_begins_stream = re.compile(rb"\s*(?::|(?:data|event|id|retry|error)[ \t]*:|data\r?\n)").match
_drop_names = re.compile(rb"(?:data: ?)++").sub
_json_line = re.compile(rb"(?:\A|[\r\n])[ \t]*([{\[])").search
_data_line = re.compile(rb"(?:\A|[\r\n])data").search
_blank_line = re.compile(rb"(\n\n)\n*").finditer
_any_blank_line = re.compile(rb"((?:\r\n|\n|\r(?!\n)){2})[\r\n]*").finditer
_MAX_BEFORE = 1 << 20  # bytes of keep-alives before a body
_CLOCK_INTERVAL = 256  # frames
_DONE = b"[DONE]"
_ERROR = b"error"
_MARKS = (b"data", b"{", b"[", b"error:")  # a frame without one has no event
_FILLERS = frozenset({b"ping", b"pong", b"keepalive", b"keep-alive", b"heartbeat", b"null"})


class Event(NamedTuple):
    """One event: its name (empty where the server sends none) and its data, lines joined by LF."""

    name: bytes
    data: bytes


class SSEDecoder:
    """Decode chunks into blocks of whole frames, with LF as the only line end.

    It holds at most the bytes of one unfinished frame, `held` of them, as a list, so that a frame
    of many chunks costs no more than its length.
    """

    def __init__(self) -> None:
        self.held = 0
        self._pending: list[bytes] = []
        self._tail = b""  # the last byte of what is pending: a frame's end may be cut in two
        self._after_cr = False
        self._at_start = True

    @property
    def between(self) -> bool:
        """Return whether the stream is between two frames: nothing is held, no byte is missing."""
        return not (self.held or self._pending or self._at_start or self._after_cr)

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk; return the whole frames that it completes, or nothing."""
        before, block = self.feed_pieces(chunk)
        return b"".join((*before, block)) if before else block

    def feed_pieces(self, chunk: bytes) -> tuple[list[bytes], bytes]:
        """Take a chunk; return the pieces that were held before it, and its part of whole frames.

        Both are empty where it completes none. The first frame begins with the pieces.
        """
        if self._at_start or self._after_cr or b"\r" in chunk:
            chunk = self._normalised(chunk)
        end = chunk.rfind(FRAME_END) + len(FRAME_END)
        if end < len(FRAME_END):
            end = 1 if chunk[:1] == self._tail == b"\n" else 0
        if not end:
            self._keep(chunk)
            return [], b""
        before = self._pending
        self._pending, self._tail, self.held = [], b"", 0
        self._keep(chunk[end:])
        return before, chunk[:end]

    def rest(self) -> bytes:
        """Return what is left at the end of the stream: a last frame without its blank line."""
        rest = b"".join(self._pending)
        self._pending, self._tail, self.held = [], b"", 0
        return rest

    def _keep(self, chunk: bytes) -> None:
        if chunk:
            self._pending.append(chunk)
            self._tail = chunk[-1:]
            self.held += len(chunk)

    def _normalised(self, chunk: bytes) -> bytes:
        if self._at_start and chunk:
            chunk = self._without_bom(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _without_bom(self, chunk: bytes) -> bytes:
        # A mark that is cut in two waits in `_pending` and is taken off again here.
        start = b"".join((*self._pending, chunk))
        self._pending, self._tail = [], b""
        if len(start) < len(BOM) and BOM.startswith(start):
            self._pending = [start]
            return b""
        self._at_start = False
        return start.removeprefix(BOM)


def parse_events(block: bytes) -> Iterator[Event]:
    """Yield the events of a block of frames. Frames without data are none.

    Raises TooManyValuesError where one has too many lines, or where it all takes too long.
    """
    deadline: Deadline | None = None  # most blocks are short, and the clock is dear
    for number, frame in enumerate(_split_frames(block)):
        if number % _CLOCK_INTERVAL == _CLOCK_INTERVAL - 1:
            deadline = deadline or Deadline(READ_SECONDS, processor=True)
            if deadline.has_passed:
                raise TooManyValuesError("a stream that takes too long to read")
        if frame:
            yield from parse_frame_events(frame)


def parse_frame_events(frame: bytes) -> list[Event]:
    """Read one frame: its `event` and `data` lines; several events where lines are whole JSON.

    Raises TooManyValuesError where it has too many lines.
    """
    if frame.startswith(b"data:") and b"\n" not in frame:
        return [Event(b"", _read_data_value(frame))]
    if not any(mark in frame for mark in _MARKS):
        return []
    return _parse_lines(frame)


def _parse_lines(frame: bytes) -> list[Event]:
    if len(frame) > VALUES and frame.count(b"\n") > VALUES:
        raise TooManyValuesError(f"an event of more than {VALUES} lines")
    name = b""
    data: list[Event] = []
    others: list[bytes] = []
    for line in frame.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(Event(name, _read_data_value(line)))
        elif line.startswith(b"event:"):
            name = _read_value(line, 6)
        elif line == b"data":
            data.append(Event(name, b""))
        elif line:
            others.append(line)
    if others:
        data += _parse_lines_without_data(others, name)
    if len(data) > 1:
        return _split_data_lines(data, name)
    return [data[0]._replace(name=data[0].name or name)] if data else []


def _parse_lines_without_data(lines: list[bytes], name: bytes) -> list[Event]:
    """Return the events of lines that are no data: a field `error:`, JSON on its own."""
    events = [Event(_ERROR, _read_value(line, 6)) for line in lines if line.startswith(b"error:")]
    start = next((at for at, line in enumerate(lines) if line[:1] in (b"{", b"[")), None)
    if start is not None:
        events.append(Event(name, b"\n".join(lines[start:])))
    return events


def parse_frame(frame: bytes) -> Event | None:
    """Return the last event of a frame; None where it has none."""
    events = parse_frame_events(frame)
    return events[-1] if events else None


def begins_stream(text: bytes) -> bool:
    """Return whether a body begins as a stream does, with a comment or a field."""
    return _begins_stream(text) is not None


def skip_comments(text: bytes) -> bytes:
    """Return a body without the lines before it that say nothing, as of a keep-alive."""
    if text[:1] == b"{":
        return text
    line = _json_line(text, 0, _MAX_BEFORE)
    if line is None or _data_line(text, 0, line.start(1)):
        return text
    return text[line.start(1) :]


def is_filler(event: Event) -> bool:
    """Return whether an event only keeps a connection alive."""
    data = event.data.strip()
    return not data or data[:1] == b":" or data.lower() in _FILLERS or event.name in _FILLERS


def outline_event(pieces: Sequence[bytes]) -> Event:
    """Return a large event by its ends: its name, and the outline of its data."""
    head, tail = _take_start(pieces), _take_end(pieces)
    first = parse_frame(head) or Event(b"", b"")
    name, data = first.name, []
    for line in tail.split(b"\n"):
        if line.startswith(b"event:"):
            name = _read_value(line, 6)
        else:
            data.append(_read_value(line, 5) if line.startswith(b"data:") else line)
    return Event(name, outline(first.data, b"\n".join(data).rstrip()))


def parse_stream(stream: bytes) -> Iterator[Event]:
    """Yield the events of a whole recorded stream, the unfinished last one included."""
    splitter = SSEDecoder()
    yield from parse_events(splitter.feed(stream))
    yield from parse_events(splitter.rest())


def find_frame_ends(stream: bytes) -> Iterator[int]:
    """Yield where each frame of a whole recorded stream ends: those of comments, an unfinished
    last one too.
    """
    rest = 0
    for blank in (_any_blank_line if b"\r" in stream else _blank_line)(stream):
        if blank.start():
            yield blank.end(1)
        rest = blank.end()
    if rest < len(stream):
        yield len(stream)


def split_stream(stream: bytes) -> Iterator[bytes]:
    """Yield the frames of a whole recorded stream, as `find_frame_ends` finds them."""
    start = 0
    for end in find_frame_ends(stream):
        yield stream[start:end]
        start = end


def _split_frames(block: bytes) -> Iterator[bytes]:
    start = 0
    while (end := block.find(FRAME_END, start)) >= 0:
        yield block[start:end]
        start = end + len(FRAME_END)
    yield block[start:]


def _take_start(pieces: Sequence[bytes]) -> bytes:
    start, size = [], 0
    for piece in pieces:
        if size >= OUTLINE_END:
            break
        start.append(piece[:OUTLINE_END])
        size += len(start[-1])
    return b"".join(start)[:OUTLINE_END]


def _take_end(pieces: Sequence[bytes]) -> bytes:
    end: list[bytes] = []
    size = 0
    for piece in reversed(pieces):
        if size >= OUTLINE_END:
            break
        end.append(piece[-OUTLINE_END:])
        size += len(end[-1])
    return b"".join(reversed(end))[-OUTLINE_END:]


def _read_value(line: bytes, at: int) -> bytes:
    return line[at + 1 :] if line[at : at + 1] == b" " else line[at:]


def _read_data_value(line: bytes) -> bytes:
    value = _read_value(line, 5)
    return _drop_names(b"", value, 1) if value.startswith(b"data:") else value


def _split_data_lines(lines: list[Event], name: bytes) -> list[Event]:
    """Return the data lines of a frame as one event, or as several where each is one itself."""
    data_lines = [line for line in lines if line.data.strip()]
    if len(data_lines) > 1 and all(_is_whole(one.data) for one in data_lines):
        return data_lines
    errors = [line for line in lines if line.name == _ERROR != name]
    texts = [line.data for line in lines if line not in errors]
    return [Event(name, b"\n".join(texts)), *errors] if texts else errors


def _is_whole(data: bytes) -> bool:
    data = data.strip()
    if data == _DONE:
        return True
    try:
        jsontext.slice_all_members(data)
    except jsontext.UnreadableError:
        return False
    return True


TERMINAL = {
    "response.completed": State.COMPLETED,
    "response.incomplete": State.INCOMPLETE,
    "response.failed": State.FAILED,
    "response.cancelled": State.CANCELLED,
    "response.done": State.COMPLETED,  # OpenRouter, Codex's sockets
}
DONE = b"[DONE]"


class _Data(msgspec.Struct):
    type: Raw = ABSENT


def is_terminal(event: Event) -> bool:
    """Return whether an event ends its response: its data says so, or else its name does."""
    return read_type(event) in TERMINAL


def read_type(event: Event) -> str:
    """Return the type of an event; empty where its data is no object, or too odd to be read."""
    try:
        data = jsontext.slice_members(outline_if_large(event.data), _Data)
    except jsontext.UnreadableError:
        return ""
    return determine_type(event, data.type)


def determine_type(event: Event, stated: Raw) -> str:
    """Return the type that the event's data states, else the event's name."""
    return jsontext.read_text(stated) or event.name.decode(errors="replace")
