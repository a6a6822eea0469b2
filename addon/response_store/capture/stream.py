"""A streamed body as it passes: kept within bounds, watched for its terminal event.

Chunks are decoded and cut into frames only as far as is needed to see the terminal event; all
else is read once, at the end, and mostly not at all.
"""

from __future__ import annotations

import re

from response_store.capture.memory import Budget
from response_store.openai_api.content_encoding import Decoding, EncodingError
from response_store.openai_api.response_events import is_terminal
from response_store.openai_api.sse import FRAME_END, Event, FrameSplitter, events
from response_store.store.records import Api

# A terminal event can't be in a block without one of these; searching is far cheaper than reading.
_MARKS = {
    Api.RESPONSES: re.compile(rb"response\.(?:completed|incomplete|failed|cancelled)").search,
    Api.CHAT_COMPLETIONS: re.compile(rb"\[DONE\]").search,
}


class StreamedBody:
    """The bytes of one streamed body, as they came.

    `terminal` is the terminal event once it has passed, `first_event` whether an event has.
    What is held counts against `budget`, until it is released.
    """

    def __init__(self, api: Api, content_encoding: str, limit: int, budget: Budget) -> None:
        self.chunks: list[bytes] = []
        self.too_large = False
        self.terminal: Event | None = None
        self.first_event = False
        self._api = api
        self._has_mark = _MARKS[api]
        self._limit = limit
        self._budget = budget
        self._released = False
        self._size = 0
        self._decoded = 0  # bytes so far
        self._unfinished = 0  # bytes of the decoded frame that is not whole yet
        self._decoding = _decoding(content_encoding)  # None: nothing is watched for any more
        self._frames = FrameSplitter()
        self._steady = False  # watched, and between two frames

    def passes(self, chunk: bytes) -> bool:
        """Take a chunk that changes nothing: whole frames between others, none of them terminal.

        False: nothing was taken, `feed` has to look. Most chunks pass here, and each costs the
        event loop its time while a client waits.
        """
        if (
            not self._steady
            or chunk[-2:] != FRAME_END
            or self._has_mark(chunk)
            or self._size + len(chunk) > self._limit
            or not self._budget.take(len(chunk))
        ):
            return False
        self._size += len(chunk)
        self.chunks.append(chunk)
        return True

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk; return True when it completes the terminal event."""
        self._keep(chunk)
        if self._decoding is None:
            return False
        if self._decoding.identity:
            self._watch(chunk)
            self._steady = self.first_event and self._frames.between
        else:
            self._watch_decoded(chunk, self._decoding)
        if self.terminal is None:
            return False
        self._stop_watching()
        return True

    def release(self) -> None:
        """Give the memory back; nothing is kept from here on."""
        self._stop_watching()
        self._released = True
        self._budget.give_back(self._size)
        self._size = 0
        self.chunks = []

    def _keep(self, chunk: bytes) -> None:
        if self._released:
            return
        if self._size + len(chunk) > self._limit or not self._budget.take(len(chunk)):
            self.too_large = True
            self.release()
            return
        self._size += len(chunk)
        self.chunks.append(chunk)

    def _watch_decoded(self, chunk: bytes, decoding: Decoding) -> None:
        try:
            for piece in decoding.feed(chunk):
                self._watch(piece)
                if self.terminal is not None:
                    return
                if not self._within_bounds(piece):
                    break
            else:
                return
        except EncodingError:
            pass  # unreadable from here on; the bytes are kept
        self._stop_watching()

    def _within_bounds(self, piece: bytes) -> bool:
        """Account for a decoded piece; False where the whole would be too large to be read."""
        self._decoded += len(piece)
        grown = self._frames.held - self._unfinished
        if self._decoded > self._limit or not self._budget.take(grown):
            return False
        self._unfinished += grown
        return True

    def _stop_watching(self) -> None:
        self._decoding = None
        self._steady = False
        self._frames = FrameSplitter()
        self._budget.give_back(self._unfinished)
        self._unfinished = 0

    def _watch(self, piece: bytes) -> None:
        block = self._frames.feed(piece)
        if not block:
            return
        if not self.first_event:
            self.first_event = b"data" in block
        if self._has_mark(block):
            self.terminal = next(filter(self._is_terminal, events(block)), None)

    def _is_terminal(self, event: Event) -> bool:
        if self._api is Api.CHAT_COMPLETIONS:
            return event.data.strip() == b"[DONE]"
        return is_terminal(event)


def _decoding(content_encoding: str) -> Decoding | None:
    try:
        return Decoding(content_encoding)
    except EncodingError:
        return None
