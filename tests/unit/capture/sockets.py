"""A socket for tests: messages in, rows out, on a real recorder and without a proxy."""

from __future__ import annotations

import json
from typing import Any

from response_store.capture.exchange import Exchange
from response_store.capture.websocket_session import Socket
from response_store.diagnostics import Counters
from response_store.model.records import EndedBy, ExchangeRow, Record
from tests.fakes import bodies
from tests.unit.capture.borders import answer_head, request_head
from tests.unit.capture.capturing import STARTED, Capturing

Json = dict[str, Any]
HEAD = answer_head(status_code=101)
LIMIT = 1 << 16
MESSAGE_SECONDS = 0.01


class Played:
    """A socket on which a test plays; each message takes ten milliseconds.

    `ended` are the exchanges whose ends were to be acknowledged.
    """

    def __init__(self, *, limit: int = LIMIT, total: int = 1 << 20, **settings: Any) -> None:
        self.capturing = Capturing(**{"capture": {"max_body_bytes": limit}} | settings)
        self.recorder = self.capturing.recorder
        self.budget = self.recorder.budget
        self.budget._total = total
        self.counters = Counters()
        self.ended: list[Exchange] = []
        self.socket = Socket(
            "flow",
            request_head(),
            HEAD,
            exchanges=self.recorder,
            counters=self.counters,
            limit=limit,
        )

    @property
    def now(self) -> float:
        """The time of the last message, in Unix seconds."""
        return STARTED + self.capturing.loop.now - 1000.0

    def client(self, *messages: Json | bytes) -> Played:
        """The client sends messages."""
        for message in messages:
            self.capturing.loop.pass_time(MESSAGE_SECONDS)
            self.socket.client(_encoded(message), self.now)
        return self

    def server(self, *messages: Json | bytes) -> Played:
        """The server sends messages."""
        for message in messages:
            self.capturing.loop.pass_time(MESSAGE_SECONDS)
            self.ended += self.socket.server(_encoded(message), self.now)
        return self

    def end(self, by: EndedBy = EndedBy.CLIENT) -> list[ExchangeRow]:
        """The socket ends; the rows of all turns, in the order in which they began."""
        self.ended += self.socket.end(by, self.now)
        self.capturing.settle()
        assert not self.recorder.open_exchanges
        assert self.budget.held == 0
        return self.rows

    @property
    def records(self) -> list[Record]:
        """The records of the turns that have ended; of a turn that was written twice the last."""
        return [one for one in self.capturing.records if one.exchange.state != "open"]

    @property
    def rows(self) -> list[ExchangeRow]:
        """The exchanges of the turns that have ended."""
        return [record.exchange for record in self.records]


def creating(model: str = "gpt-5", **fields: Any) -> Json:
    """A message that asks for a response."""
    return {"type": "response.create", "model": model, "input": "Hi"} | fields


def answering(lane: str | None = None, **how: Any) -> list[Json]:
    """The messages of a response."""
    named = {"stream_id": lane} if lane is not None else {}
    return [named | event for event in bodies.stream_events(**how)]


def refusing(lane: str | None = None, **fields: Any) -> Json:
    """An error."""
    named = {"stream_id": lane} if lane is not None else {}
    return {"type": "error"} | named | fields


def _encoded(message: Json | bytes) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode()
