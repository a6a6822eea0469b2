"""One exchange while it lives: from the request to whichever end comes first.

Ends race: a terminal event, the end of the body, the client or the upstream gone, the proxy
stopped. The first one counts; what comes later changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from response_store.capture.draft import Answer, Draft, Ending, RequestSource
from response_store.capture.facts import AnswerHead
from response_store.capture.memory import Budget
from response_store.capture.stream import StreamedBody
from response_store.store.records import EndedBy, Transport


class Exchange:
    """State of one exchange. Used by the event loop's thread only.

    `live` is False for one that is read from a file.
    """

    def __init__(self, request: RequestSource, live: bool, limit: int, budget: Budget) -> None:
        self.request = request
        self.live = live
        self.timer: Any = None  # the handle of what will write the open row
        self.ended = False
        self.rejected = False  # answered by this proxy instead of the upstream
        self.head: AnswerHead | None = None
        self.stream: StreamedBody | None = None
        self._limit = limit
        self._budget = budget
        self._first_event_ms: float | None = None
        self._bytes_at_end = 0

    @property
    def regular_end(self) -> EndedBy:
        """What a body that came whole says of its end."""
        return EndedBy.PROXY if self.rejected else EndedBy.BODY

    def answered(self, head: AnswerHead) -> None:
        """The answer's head has come."""
        self.head = head

    def start_stream(self, head: AnswerHead) -> StreamedBody:
        """The answer's body will pass in chunks."""
        self.stream = StreamedBody(
            self.request.api, head.content_encoding, self._limit, self._budget
        )
        return self.stream

    def feed(self, chunk: bytes, now: float) -> Draft | None:
        """A chunk has come; `now` is Unix seconds. Returns a draft when it ends the exchange."""
        stream = self.stream
        if stream is None:
            return None
        ends = stream.feed(chunk)
        if self._first_event_ms is None and stream.first_event:
            self._first_event_ms = self._ms(now)
        return self.end(EndedBy.TERMINAL_EVENT, now) if ends else None

    def end(self, by: EndedBy, now: float, body: bytes | None = None) -> Draft | None:
        """The exchange ends, unless it has already. `body` is a whole answer's, not streamed."""
        if self.ended:
            return None
        self.ended = True
        if self.timer is not None:
            self.timer.cancel()
        return self._draft(by, now, body)

    def amended(self, now: float) -> Draft | None:
        """The exchange once more, where more of its stream came after the terminal event."""
        stream = self.stream
        if stream is None or stream.terminal is None or stream.too_large:
            return None
        if len(stream.chunks) == self._bytes_at_end:
            return None
        return self._draft(EndedBy.TERMINAL_EVENT, now, None)

    def _draft(self, by: EndedBy, now: float, body: bytes | None) -> Draft:
        if self.stream is not None:
            self._bytes_at_end = len(self.stream.chunks)
        return Draft(
            self.request, Ending(by, self._ms(now), self._first_event_ms, self._answer(body))
        )

    def _answer(self, body: bytes | None) -> Answer | None:
        head, stream = self.head, self.stream
        if head is None:
            return None
        too_large = stream.too_large if stream else body is not None and len(body) > self._limit
        chunks: Sequence[bytes] | None = (body,) if body is not None else None
        if stream is not None:
            chunks = tuple(stream.chunks)
        return Answer(
            transport=Transport.SSE if head.is_event_stream else Transport.HTTP,
            status_code=head.status_code,
            content_encoding=head.content_encoding,
            upstream_request_id=head.upstream_request_id,
            body=None if too_large else chunks,
            terminal=stream.terminal if stream else None,
            too_large=too_large,
        )

    def _ms(self, now: float) -> float:
        return round(max(0.0, now - self.request.started_at) * 1000, 3)
