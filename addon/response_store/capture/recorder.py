"""The recorder: follows live exchanges and hands each to the writer, at its start and at its end.

It belongs to the event loop and never waits, but for the bounded wait that makes a streamed
answer durable before its terminal event goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from response_store.capture.draft import Draft, RequestSource
from response_store.capture.exchange import Exchange
from response_store.capture.gathering import Gathering
from response_store.capture.memory import Budget
from response_store.config import Config, OnStoreFailure, RawBodies
from response_store.counts import Counts
from response_store.store.records import EndedBy
from response_store.store.storage import Storage
from response_store.store.ticket import Fate, Ticket

OPEN_ROW_AFTER = 0.25  # seconds
SSE_WAIT = 0.015  # seconds: below the 20 ms that a stalled loop may last
_BUDGET_BODIES = 4  # bodies of full length that may be held at once


class Recorder:
    """Live exchanges by flow id."""

    def __init__(
        self,
        config: Config,
        storage: Storage[Draft],
        counts: Counts,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._storage = storage
        self._writer = storage.writer
        self._counts = counts
        self._loop = loop
        self._clock = clock
        self._exchanges: dict[str, Exchange] = {}
        self._gathering = Gathering(loop, self._submit)
        self.budget = Budget(config.capture.max_body_bytes * _BUDGET_BODIES)

    @property
    def open_exchanges(self) -> int:
        """How many exchanges live."""
        return len(self._exchanges)

    @property
    def may_reject(self) -> bool:
        """Whether requests are refused whenever what they bring could not be kept."""
        return self._config.on_store_failure is OnStoreFailure.REJECT

    @property
    def rejects(self) -> bool:
        """Whether requests are refused now."""
        return self.may_reject and self._storage.unavailable_for() is not None

    @property
    def retry_after(self) -> float:
        """Seconds until it is worth asking again."""
        return self._storage.unavailable_for() or 0.0

    def begin(self, flow_id: str, request: RequestSource, live: bool) -> Exchange:
        """A request has been read."""
        self.close(flow_id, EndedBy.PROXY)  # a replayed flow keeps its id
        exchange = Exchange(request, live, self._config.capture.max_body_bytes, self.budget)
        self._exchanges[flow_id] = exchange
        self._counts.add("seen")
        # Whether somebody who asks after a response gets one is known only at the end.
        if live and request.follows is None:
            exchange.timer = self._loop.call_later(OPEN_ROW_AFTER, self._write_open, exchange)
        return exchange

    def find(self, flow_id: str) -> Exchange | None:
        """The live exchange of a flow."""
        return self._exchanges.get(flow_id)

    def feed(self, exchange: Exchange, chunk: bytes) -> None:
        """A chunk of a streamed answer passes; where it ends the exchange, wait for the commit."""
        draft = exchange.feed(chunk, self._clock())
        if draft is not None:
            ticket = self._writer.submit(draft, sync=True)
            self._writer.wait(ticket, min(SSE_WAIT, self._config.completion_wait_ms / 1000))

    def finish(
        self, flow_id: str, by: EndedBy, body: bytes | None = None, at: float | None = None
    ) -> Draft | None:
        """A flow has ended. Returns the draft to hand over, unless its end was known before.

        `body` is that of an answer that was not streamed; `at` (Unix seconds) when it ended,
        where that is not now.
        """
        exchange = self._exchanges.pop(flow_id, None)
        if exchange is None:
            return None
        now = at if at is not None else self._clock()
        return exchange.end(by, now, body) or self._amended(exchange, now)

    def hand_over(self, draft: Draft) -> None:
        """Give a draft to the writer; nobody waits for it."""
        self._writer.submit(draft)

    def hand_over_and_wait(self, draft: Draft, live: bool) -> Awaitable[None] | None:
        """Give a draft to the writer; returns what to await before its end goes to the client.

        What is read from a file waits without a limit: it may not run ahead of the store.
        """
        if live and not (self._config.completion_wait_ms and self._worth_waiting()):
            self._writer.submit(draft)
            return None
        future: asyncio.Future[None] = self._loop.create_future()
        self._gathering.add((draft, future))
        return self._wait(future, self._storage.commits) if live else future

    def flush(self) -> None:
        """Give the writer all that has gathered for it."""
        self._gathering.flush()

    def _submit(self, gathered: tuple[Draft, asyncio.Future[None]]) -> None:
        draft, future = gathered
        ticket = self._writer.submit(draft, future)
        if ticket.fate is not Fate.PENDING and not future.done():
            future.set_result(None)

    def close(self, flow_id: str, by: EndedBy) -> None:
        """End an exchange whose flow will say nothing more."""
        exchange = self._exchanges.pop(flow_id, None)
        if exchange is not None:
            self._close(exchange, by)

    def close_all(self) -> int:
        """End every live exchange because the proxy stops; return how many were open."""
        self.flush()
        exchanges, self._exchanges = list(self._exchanges.values()), {}
        return sum(self._close(exchange, EndedBy.PROXY_STOPPED) for exchange in exchanges)

    def settle(self, tickets: list[Ticket[Draft]]) -> None:
        """Wake the waiters of a batch. Runs on the event loop."""
        for ticket in tickets:
            future = ticket.future
            if future is not None and not future.done():
                future.set_result(None)

    def _close(self, exchange: Exchange, by: EndedBy) -> bool:
        draft = exchange.end(by, self._clock())
        if draft is not None:
            self._writer.submit(draft)
        return draft is not None

    def _write_open(self, exchange: Exchange) -> None:
        if not exchange.ended:
            self._writer.submit(Draft(exchange.request))

    def _amended(self, exchange: Exchange, now: float) -> Draft | None:
        keeps_raw = self._config.capture.raw_bodies is RawBodies.ALWAYS
        return exchange.amended(now) if keeps_raw else None

    def _worth_waiting(self) -> bool:
        storage, patience = self._storage, self._writer.async_patience
        if storage.acknowledges and patience.left(storage.commits):
            return True
        self._counts.add("wait.skipped")
        return False

    async def _wait(self, future: asyncio.Future[None], commits: int) -> None:
        seconds = self._config.completion_wait_ms / 1000
        timer = self._loop.call_later(seconds, self._expire, future, commits)
        await future
        timer.cancel()

    def _expire(self, future: asyncio.Future[None], commits: int) -> None:
        if not future.done():
            future.set_result(None)
            self._writer.async_patience.ran_out(commits)
            self._counts.add("wait.ran_out")
