"""A turn: one response on a socket, and what asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from response_store.capture.exchange import Exchange


@dataclass(slots=True, eq=False)
class WebSocketTurn:
    """An exchange that gets its answer in messages; they are kept as a stream of events.

    `key` is its name among the live exchanges, `held` the bytes of its request that count
    against the budget. `response_id` is known once the server has named it.
    """

    key: str
    number: int
    exchange: Exchange
    stream_id: bytes
    held: int
    previous_response_id: str | None = None
    response_id: str | None = field(default=None)

    def refused(self, status: int | None) -> None:
        """Note that the server answered with an error that stands for this HTTP status."""
        answer = self.exchange.answer
        if answer is not None and status is not None:
            self.exchange.answer = msgspec.structs.replace(answer, status_code=status)

    def release(self) -> None:
        """Give back the memory of the answer."""
        if self.exchange.stream is not None:
            self.exchange.stream.release()
