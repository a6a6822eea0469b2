"""Tee a streamed body as it passes: decoded for the journal, kept for the flow, watched for its
end.

Chunks are decoded and cut into frames only as far as is needed to see the terminal event; all else
is read later, by the ingester.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from response_store.capture.arrivals import ArrivalLog
from response_store.capture.budget import Budget
from response_store.limits import CHUNK_SECONDS, OUTLINED, Deadline
from response_store.model.records import Api
from response_store.openai_api.content_encoding import Decoding, DecodingTimeoutError, EncodingError
from response_store.openai_api.sse import (
    DONE,
    FRAME_END,
    Event,
    SSEDecoder,
    is_terminal,
    outline_event,
    parse_events,
)

# A terminal event can't be in a block without one of these; searching is far cheaper than reading.
_MARKS = {
    Api.RESPONSES: re.compile(rb"response\.(?:completed|incomplete|failed|cancelled|done)").search,
    Api.CHAT_COMPLETIONS: re.compile(rb"\[DONE\]").search,
    Api.COMPLETIONS: re.compile(rb"\[DONE\]").search,
}
_ENDS_WITH_MARK = (Api.CHAT_COMPLETIONS, Api.COMPLETIONS)
_MAX_MARK = 24  # bytes
_TOO_SLOW = "the body takes too long to decode"
_FRAME_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_FAST_PATH_BYTES = 1 << 16  # bytes
_MAX_BEFORE = 3  # bytes, and pieces, in which such an end may begin before one


class StreamTee:
    """One streamed body. Used by the event loop's thread only.

    `chunks` are the bytes as they came, for the flow: empty once they no longer fit in `budget`.
    What was decoded waits until `take`; at most `limit` bytes in all, which `too_large` says.
    `is_terminated` says that the terminal event has passed, `first_event` whether an event has,
    `decode_error` why decoding ended early. `is_deferred` says that decoding would hold up the
    event loop, so that nothing is watched any more and another thread decodes what came, from its
    beginning, where that is kept. With `holds_whole` what was decoded stays until the end, and
    counts against the budget. `arrivals` notes when what was decoded came.
    """

    def __init__(
        self,
        api: Api,
        content_encoding: str,
        limit: int,
        budget: Budget,
        *,
        holds_whole: bool = False,
        arrivals: ArrivalLog | None = None,
    ) -> None:
        self.chunks: list[bytes] = []
        self.too_large = False
        self.is_terminated = False
        self.first_event = False
        self.decode_error: str | None = None
        self.is_deferred = False
        self.has_chunks = False
        self.taken = False
        self.arrivals = arrivals
        self._api = api
        self._has_mark = _MARKS.get(api, _MARKS[Api.RESPONSES])
        self._limit = limit
        self._budget = budget
        self.holds_whole = holds_whole
        self._keeps_chunks = True
        self._held = 0  # bytes of chunks that count against the budget
        self._pending: list[bytes] = []
        self._searched = 0  # pieces of `_pending` in which no event ends
        self._decoded = 0  # bytes so far
        self._taken_bytes = 0  # of these
        self._held_decoded = 0  # bytes of `_pending` that count against the budget
        self._decoding = self._open(content_encoding)
        self._is_identity = self._decoding is not None and self._decoding.identity
        self._frames: SSEDecoder | None = SSEDecoder()
        self._is_marked = False  # whether the frame that is not whole yet has a mark
        self._last = b""  # the end of the last piece, in which one may begin
        self._room = -1  # bytes that may pass without a look: watched, and between two frames
        self._granted = 0  # what it was at first
        self._counted = 0  # chunks that are accounted for
        self._passed_at: list[float] = []  # when those came that are not

    def feed_fast(self, chunk: bytes, now: float = 0.0) -> bool:
        """Take a chunk that changes nothing: whole frames between others, none of them terminal.

        Return False where nothing was taken, as `feed` has to look. Most chunks pass here, and
        each costs the event loop its time while a client waits.
        """
        size = len(chunk)
        if size > self._room or chunk[-2:] != FRAME_END or self._has_mark(chunk):
            return False
        self._room -= size
        self.chunks.append(chunk)
        self._passed_at.append(now)
        return True

    def feed(self, chunk: bytes, now: float = 0.0) -> bool:
        """Take a chunk; return True when it completes the terminal event."""
        self._account()
        self.has_chunks = True
        self._keep(chunk)
        if self._decoding is None:
            return False
        was_terminated = self.is_terminated
        if self._is_identity:
            self._take_decoded(chunk)
        else:
            self._decode(chunk, self._decoding)
        if self.arrivals is not None:
            self.arrivals.note(now, self._decoded)
        frames = self._frames
        is_watched = self._is_identity and self._keeps_chunks and self.first_event
        if is_watched and frames is not None and frames.between:
            self._let_pass()
        return self.is_terminated and not was_terminated

    def feed_frame(self, pieces: Sequence[bytes], now: float = 0.0, *, is_terminal: bool) -> bool:
        """Take a large frame whose type is known, in pieces; return as `feed` does."""
        self._account()
        self.has_chunks = self.first_event = True
        for piece in pieces:
            self._keep(piece)
            if kept := self._within_bounds(piece):
                self._pending.append(kept)
                self._decoded += len(kept)
        if self.arrivals is not None:
            self.arrivals.note(now, self._decoded)
        if not is_terminal or self.is_terminated:
            return False
        self.is_terminated = True
        self._stop_watching()
        if self.too_large:
            self._pending = [*self._take_whole_events(), *pieces]
            self._searched = 0
        return True

    def take(self, *, all_of_it: bool) -> list[bytes]:
        """Return what was decoded and not taken yet: up to the last whole event, or all of it."""
        self._account()
        if all_of_it:
            pieces, self._pending, self._searched = self._pending, [], 0
        else:
            pieces = self._take_whole_events()
        if pieces:
            self.taken = True
            self._taken_bytes += sum(map(len, pieces))
        return pieces

    def hold_whole(self) -> None:
        """Keep what is decoded until the end from here on; it counts against the budget."""
        size = self.pending_size
        self.holds_whole = True
        if self._take_room(size):
            self._held_decoded += size
        else:
            self.too_large = True

    def whole(self) -> list[bytes] | None:
        """Return all that was decoded, also what was taken; None where that is not kept."""
        self._account()
        if not self.taken:
            return list(self._pending)
        if not (self._is_identity and self._keeps_chunks and not self.too_large):
            return None
        return list(self.chunks)

    def release(self) -> None:
        """Give the memory back; nothing is kept from here on."""
        self._account()
        self._give_up_chunks()
        self._budget.release(self._held_decoded)
        self._held_decoded = 0
        self._stop_watching()
        self._decoding = None
        self._pending = []

    @property
    def pending_size(self) -> int:
        """Return how many decoded bytes wait to be taken."""
        self._account()
        return sum(map(len, self._pending))

    @property
    def untaken(self) -> int:
        """Return about how many decoded bytes wait to be taken, without counting them."""
        return self._decoded - self._taken_bytes

    @property
    def raw_size(self) -> int:
        """Return how many bytes as they came are to be kept, where they can't be decoded."""
        return self._held if self.decode_error is not None or self.is_deferred else 0

    @property
    def has_whole_body(self) -> bool:
        """Return whether `chunks` are all that came, so that the flow may have them."""
        return self._keeps_chunks

    def _open(self, content_encoding: str) -> Decoding | None:
        try:
            return Decoding(content_encoding, stepwise=True)
        except EncodingError as error:
            self.decode_error = str(error)
            return None

    def _let_pass(self) -> None:
        """Let so many bytes pass without a look, which are accounted for later, all at once."""
        room = min(_FAST_PATH_BYTES, self._limit - self._decoded)
        if room > 0 and self._budget.lend(room * self._copies, self._account):
            self._granted = self._room = room
            self._counted = len(self.chunks)

    @property
    def _copies(self) -> int:
        """Return how often a byte counts against the budget: for the flow, and for the journal."""
        return 2 if self.holds_whole else 1

    def _account(self) -> None:
        """Account for the chunks that have passed."""
        if not self._granted:
            return
        size, passed = self._granted - self._room, self.chunks[self._counted :]
        if self.arrivals is not None and passed:
            self.arrivals.note_chunks(self._passed_at, self._decoded, passed)
        self._passed_at = []
        self._pending += passed
        self._held += size
        self._decoded += size
        if self.holds_whole:
            self._held_decoded += size
        self._budget.repay(self._room * self._copies, self._account)
        self._granted, self._room = 0, -1

    def _keep(self, chunk: bytes) -> None:
        if not self._keeps_chunks:
            return
        if not self._budget.take(len(chunk)):
            self._give_up_chunks()
            return
        self._held += len(chunk)
        self.chunks.append(chunk)

    def _give_up_chunks(self) -> None:
        self._keeps_chunks = False
        self._budget.release(self._held)
        self._held = 0
        self.chunks = []
        if self.is_deferred:
            self.is_deferred = False
            self.decode_error = None if self.too_large else _TOO_SLOW

    def _decode(self, chunk: bytes, decoding: Decoding) -> None:
        deadline = Deadline(CHUNK_SECONDS, processor=True)
        try:
            for piece in decoding.feed(chunk):
                if piece:
                    self._take_decoded(piece)
                if deadline.has_passed:
                    raise DecodingTimeoutError(_TOO_SLOW)
            return
        except DecodingTimeoutError:
            self._defer()
        except EncodingError as error:
            self.decode_error = str(error)
        self._decoding = None
        self._stop_watching()

    def _defer(self) -> None:
        """Leave the decoding to another thread, unless enough is known by now."""
        if self.is_terminated:
            return
        if self._keeps_chunks:
            self.is_deferred = True
        elif not self.too_large:
            self.decode_error = _TOO_SLOW

    def _take_decoded(self, piece: bytes) -> None:
        """Keep a decoded piece within bounds, and watch it."""
        kept = self._within_bounds(piece)
        if kept:
            self._pending.append(kept)
            self._decoded += len(kept)
        terminal = self._watch(piece)
        if terminal and self.too_large:
            # Only the beginning is kept, and this event: it may say everything.
            self._pending = [*self._take_whole_events(), *terminal]
            self._searched = 0

    def _within_bounds(self, piece: bytes) -> bytes:
        if self.too_large:
            return b""
        room = self._limit - self._decoded
        if len(piece) > room:
            self.too_large = True
            piece = piece[:room]
        if self.holds_whole:
            if not self._take_room(len(piece)):
                self.too_large = True
                return b""
            self._held_decoded += len(piece)
        return piece

    def _take_room(self, size: int) -> bool:
        """Take budget for what the journal gets; what the flow gets back gives way to that."""
        if self._budget.take(size):
            return True
        self._give_up_chunks()
        return self._budget.take(size)

    def _watch(self, piece: bytes) -> list[bytes]:
        """Look for the terminal event; return its frame, in pieces, when it has come whole."""
        frames = self._frames
        if frames is None:
            return []
        is_marked = self._is_marked or self._has_mark_in(piece)
        before, block = frames.feed_pieces(piece)
        if not block:
            self._is_marked = is_marked
            if frames.held > self._limit:
                self._stop_watching()
            return []
        self._is_marked = is_marked and frames.held > 0
        if not self.first_event:
            self.first_event = _has_data(before, block)
        terminal = self._find_terminal(before, block) if is_marked else []
        if terminal:
            self.is_terminated = True
            self._stop_watching()
        return terminal

    def _has_mark_in(self, piece: bytes) -> bool:
        """Return whether a mark ends in a piece; it may begin in those before."""
        joint = self._last + piece[:_MAX_MARK]
        mark = self._has_mark(piece) or self._has_mark(joint)
        self._last = piece[-_MAX_MARK:] if len(piece) >= _MAX_MARK else joint[-_MAX_MARK:]
        return mark is not None

    def _find_terminal(self, before: list[bytes], block: bytes) -> list[bytes]:
        """Return the frame of the first terminal event in whole frames, in pieces.

        Only frames with a mark are read.
        """
        if sum(map(len, before)) > OUTLINED:
            is_cut = block[:1] == before[-1][-1:] == b"\n"  # between the two line ends
            end = 0 if is_cut else max(block.find(FRAME_END), 0)
            first = [*before, block[:end]]
            if self._is_terminal(outline_event(first)):
                return [*first, FRAME_END]
            block = block[end:]
        elif before:
            block = b"".join((*before, block))
        at = 0
        while mark := self._has_mark(block, at):
            start = block.rfind(FRAME_END, at, mark.start())
            end = block.find(FRAME_END, mark.end())
            start = at if start < 0 else start + len(FRAME_END)
            at = len(block) if end < 0 else end + len(FRAME_END)
            for event in filter(self._is_terminal, parse_events(block[start:at])):
                return [_format_frame(event)]
        return []

    def _take_whole_events(self) -> list[bytes]:
        """Return what is whole of what waits; the rest goes on waiting, if there is a rest.

        Nothing is joined, and no piece is searched twice: an event may have megabytes.
        """
        pending = self._pending
        for at in range(len(pending) - 1, self._searched - 1, -1):
            end = _find_event_end(pending, at)
            if end:
                rest = pending[at][end:]
                self._pending = [rest, *pending[at + 1 :]] if rest else pending[at + 1 :]
                self._searched = len(self._pending)
                return [*pending[:at], pending[at][:end]]
        self._searched = len(pending)
        return []

    def _stop_watching(self) -> None:
        self._frames = None

    def _is_terminal(self, event: Event) -> bool:
        if self._api in _ENDS_WITH_MARK:
            return event.data.strip() == DONE
        return is_terminal(event)


def _find_event_end(pieces: list[bytes], at: int) -> int:
    """Return the place behind the last event that ends in a piece; 0 where none does."""
    piece = pieces[at]
    if piece.endswith(FRAME_END):
        return len(piece)
    before = b"".join(one[-_MAX_BEFORE:] for one in pieces[max(0, at - _MAX_BEFORE) : at])
    joint = before + piece[:_MAX_BEFORE]
    ends = [0]
    for mark in _FRAME_ENDS:
        for text, start in ((piece, 0), (joint, len(before))):
            place = text.rfind(mark)
            if place >= 0:
                ends.append(place + len(mark) - start)
    return max(ends)


def _has_data(before: list[bytes], block: bytes) -> bool:
    if sum(map(len, before)) > OUTLINED:
        return True
    return b"data" in b"".join((*before, block))


def _format_frame(event: Event) -> bytes:
    lines = [b"event: " + event.name] if event.name else []
    lines += [b"data: " + line for line in event.data.split(b"\n")]
    return b"\n".join((*lines, b"", b""))
