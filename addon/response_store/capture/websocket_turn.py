"""A turn: one response on a socket, and what asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from response_store.capture.draft import Draft
from response_store.capture.exchange import Exchange
from response_store.capture.websocket_request import TurnRequest
from response_store.openai_api.websocket_event import as_frame


@dataclass(slots=True, eq=False)
class Turn:
    """An exchange that gets its answer in messages; they are kept as a stream of events.

    `key` is its name among the live exchanges, `held` the bytes of its request that count
    against the budget. `response_id` is known once the server has named it.
    """

    key: str
    request: TurnRequest
    exchange: Exchange
    lane: bytes
    held: int
    previous_response_id: str | None = None
    response_id: str | None = field(default=None)

    def feed(self, content: bytes, at: float) -> Draft | None:
        """A message of the answer came; returns a draft where it ends the exchange."""
        frame, stream = as_frame(content), self.exchange.stream
        if stream is not None and stream.passes(frame):
            return None
        return self.exchange.feed(frame, at)

    def refused(self, status: int | None) -> None:
        """The server answered with an error that stands for this HTTP status."""
        head = self.exchange.head
        if head is not None and status is not None:
            self.exchange.answered(replace(head, status_code=status))

    def release(self) -> None:
        """Give back the memory of the answer."""
        if self.exchange.stream is not None:
            self.exchange.stream.release()
