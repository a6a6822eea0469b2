"""A socket for tests: messages in, rows out, on real exchanges and without a proxy."""

from __future__ import annotations

import json
from typing import Any

from response_store.capture.draft import Draft, RequestSource
from response_store.capture.exchange import Exchange
from response_store.capture.facts import AnswerHead
from response_store.capture.memory import Budget
from response_store.capture.websocket_socket import Socket
from response_store.counts import Counts
from response_store.store.records import EndedBy, ExchangeRow, Record
from tests.fakes import bodies
from tests.unit.ingest.drafts import STARTED, builder, request

Json = dict[str, Any]
HEAD = AnswerHead(101, "text/event-stream", "", "req_1")
LIMIT = 1 << 16


class LiveExchanges:
    """Live exchanges by key, as the recorder has them."""

    def __init__(self, limit: int = LIMIT, total: int = 1 << 20) -> None:
        self.budget = Budget(total)
        self.live: dict[str, Exchange] = {}
        self._limit = limit

    def begin(self, flow_id: str, request: RequestSource, live: bool) -> Exchange:
        assert flow_id not in self.live
        self.live[flow_id] = Exchange(request, live, self._limit, self.budget)
        return self.live[flow_id]

    def finish(
        self, flow_id: str, by: EndedBy, body: bytes | None = None, at: float | None = None
    ) -> Draft | None:
        exchange = self.live.pop(flow_id, None)
        return exchange.end(by, at or 0.0, body) if exchange else None


class Played:
    """A socket on which a test plays; each message takes ten milliseconds."""

    def __init__(self, **how: int) -> None:
        self.exchanges = LiveExchanges(**how)
        self.counts = Counts()
        self.drafts: list[Draft] = []
        self.now = STARTED
        self.socket = Socket(
            "flow",
            request(b""),
            HEAD,
            exchanges=self.exchanges,
            counts=self.counts,
            limit=how.get("limit", LIMIT),
        )

    def client(self, *messages: Json | bytes) -> Played:
        """The client sends messages."""
        for message in messages:
            self.now += 0.01
            self.socket.client(_encoded(message), self.now)
        return self

    def server(self, *messages: Json | bytes) -> Played:
        """The server sends messages."""
        for message in messages:
            self.now += 0.01
            self.drafts += self.socket.server(_encoded(message), self.now)
        return self

    def end(self, by: EndedBy = EndedBy.CLIENT) -> list[ExchangeRow]:
        """The socket ends; the rows of all turns, in the order in which they began."""
        self.drafts += self.socket.end(by, self.now)
        assert not self.exchanges.live
        assert self.exchanges.budget.held == 0
        return self.rows

    @property
    def records(self) -> list[Record]:
        """The records of the turns that have ended; of a turn that was told twice the last."""
        build = builder().build
        built = [build(draft) for draft in self.drafts]
        records = {one.exchange.exchange_id: one for one in built if isinstance(one, Record)}
        return sorted(records.values(), key=lambda record: record.exchange.started_at)

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
