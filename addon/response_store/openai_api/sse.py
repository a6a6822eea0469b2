"""Server-sent events: bytes to frames, frames to events.

Source: the WHATWG HTML standard, "Server-sent events", section 9.2.6. Real servers differ in
line ends (LF, CRLF, CR), byte order marks, comments and a last frame without its blank line;
all of these come out alike. Chunks may be cut anywhere, also inside a character or a CRLF.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from response_store.json_text import TooManyValuesError
from response_store.limits import OUTLINE_END, READ_SECONDS, VALUES, Deadline
from response_store.openai_api.outline import outline

BOM = b"\xef\xbb\xbf"
FRAME_END = b"\n\n"
_LOOK_EVERY = 256  # frames


class Event(NamedTuple):
    """One event: its name (empty where the server sends none) and its data, lines joined by LF."""

    name: bytes
    data: bytes


class FrameSplitter:
    """Gather chunks into blocks of whole frames, with LF as the only line end.

    Holds at most the bytes of one unfinished frame, `held` of them, as a list, so that a frame of
    many chunks costs no more than its length.
    """

    def __init__(self) -> None:
        self.held = 0
        self._pending: list[bytes] = []
        self._tail = b""  # the last byte of what is pending: a frame's end may be cut in two
        self._after_cr = False
        self._at_start = True

    @property
    def between(self) -> bool:
        """Whether the stream stands between two frames: nothing is held, nothing is awaited."""
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


def events(block: bytes) -> Iterator[Event]:
    """Yield the events of a block of frames. Frames without data are none.

    Raises TooManyValuesError where one has too many lines, or where it all takes too long.
    """
    deadline = Deadline(READ_SECONDS, processor=True)
    for number, frame in enumerate(_frames(block)):
        if number % _LOOK_EVERY == _LOOK_EVERY - 1 and deadline.has_passed:
            raise TooManyValuesError("a stream that takes too long to read")
        event = parse_frame(frame)
        if event is not None:
            yield event


def parse_frame(frame: bytes) -> Event | None:
    """Read one frame: its `event` and `data` lines. Comments and other fields are passed over."""
    if len(frame) > VALUES and frame.count(b"\n") > VALUES:
        raise TooManyValuesError(f"an event of more than {VALUES} lines")
    name = b""
    data: list[bytes] = []
    for line in frame.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(_value(line, 5))
        elif line.startswith(b"event:"):
            name = _value(line, 6)
        elif line == b"data":
            data.append(b"")
    return Event(name, b"\n".join(data)) if data else None


def outlined_event(pieces: Sequence[bytes]) -> Event:
    """Return a large event by its ends: its name, and the outline of its data."""
    head, tail = _start_of(pieces), _end_of(pieces)
    first = parse_frame(head) or Event(b"", b"")
    name, data = first.name, []
    for line in tail.split(b"\n"):
        if line.startswith(b"event:"):
            name = _value(line, 6)
        else:
            data.append(_value(line, 5) if line.startswith(b"data:") else line)
    return Event(name, outline(first.data, b"\n".join(data).rstrip()))


def all_events(stream: bytes) -> Iterator[Event]:
    """Yield the events of a whole recorded stream, the unfinished last one included."""
    splitter = FrameSplitter()
    yield from events(splitter.feed(stream))
    yield from events(splitter.rest())


def _frames(block: bytes) -> Iterator[bytes]:
    start = 0
    while (end := block.find(FRAME_END, start)) >= 0:
        yield block[start:end]
        start = end + len(FRAME_END)
    yield block[start:]


def _start_of(pieces: Sequence[bytes]) -> bytes:
    start, size = [], 0
    for piece in pieces:
        if size >= OUTLINE_END:
            break
        start.append(piece[:OUTLINE_END])
        size += len(start[-1])
    return b"".join(start)[:OUTLINE_END]


def _end_of(pieces: Sequence[bytes]) -> bytes:
    end: list[bytes] = []
    size = 0
    for piece in reversed(pieces):
        if size >= OUTLINE_END:
            break
        end.append(piece[-OUTLINE_END:])
        size += len(end[-1])
    return b"".join(reversed(end))[-OUTLINE_END:]


def _value(line: bytes, at: int) -> bytes:
    return line[at + 1 :] if line[at : at + 1] == b" " else line[at:]
