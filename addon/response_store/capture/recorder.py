"""The recorder: follows live exchanges and has each written to the journal, as it goes on.

It belongs to the event loop and never waits, but for the bounded wait of a stream whose end is
not acknowledged at once: for `durability: power`, for what has to be cleaned first, for a frame
of megabytes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from response_store.capture.acknowledgement import Acknowledgement
from response_store.capture.budget import Budget
from response_store.capture.draft import DeletionHead, RequestHead, encode_head
from response_store.capture.exchange import Exchange
from response_store.capture.outbox import LARGE, AckDependency, Chain, Job, Outbox, OutgoingFrame
from response_store.config import Config, OnStoreFailure, RawBodies
from response_store.journal.frames import FrameKind
from response_store.model.records import EndedBy
from response_store.openai_api.credentials import marks_of

if TYPE_CHECKING:
    import asyncio

    from response_store.diagnostics import Counters, ErrorReporter
    from response_store.journal.receipts import Receipt

OPEN_AFTER = 0.125  # seconds, and at most a tick more
TICK = 0.125  # seconds
SSE_WAIT = 0.015  # seconds: below the 20 ms that a stalled loop may last
LARGE_WAIT = 0.005  # seconds: what has megabytes may take long, and all others stand still


class StoreHealth(Protocol):
    """What records are kept in, as far as requests depend on it."""

    def unavailable_for(self) -> float | None:
        """Return the seconds until what fails is tried again; None where records are kept."""


class Recorder:
    """Live exchanges by flow id. Used by the event loop's thread only."""

    def __init__(
        self,
        config: Config,
        outbox: Outbox,
        store: StoreHealth,
        acknowledgement: Acknowledgement,
        *,
        counters: Counters,
        errors: ErrorReporter,
        loop: asyncio.AbstractEventLoop,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._outbox = outbox
        self._store = store
        self._acknowledgement = acknowledgement
        self._counters = counters
        self._errors = errors
        self._loop = loop
        self._clock = clock
        self._monotonic = monotonic
        self._exchanges: dict[str, Exchange] = {}
        self._limit = config.capture.max_body_bytes
        self._redacts = bool(config.redact)
        self._wait = min(SSE_WAIT, config.completion_wait_ms / 1000)
        self._large_wait = min(LARGE_WAIT, self._wait)
        self._keys = 0
        self._ticker: asyncio.TimerHandle | None = None
        self._has_stopped = False
        self.budget = Budget(self._limit)

    @property
    def open_exchanges(self) -> int:
        """Return how many exchanges live."""
        return len(self._exchanges)

    @property
    def may_reject(self) -> bool:
        """Return whether requests are refused whenever what they bring could not be kept."""
        return self._config.on_store_failure is OnStoreFailure.REJECT

    @property
    def rejects(self) -> bool:
        """Return whether requests are refused now."""
        return self.may_reject and self._store.unavailable_for() is not None

    @property
    def retry_after(self) -> float:
        """Return the seconds until it is worth asking again."""
        return self._store.unavailable_for() or 0.0

    @property
    def has_stopped(self) -> bool:
        """Return whether the proxy stops: connections that are cut now are cut by it."""
        return self._has_stopped

    def begin(
        self,
        flow_id: str,
        request: RequestHead,
        body: bytes | None,
        *,
        live: bool,
        credentials: tuple[bytes, ...] = (),
    ) -> Exchange:
        """Follow an exchange whose request has passed; `body` is encoded as it came.

        `credentials` are the client's own, which its answer may not repeat in what is written.
        """
        self.close(flow_id, EndedBy.PROXY)  # a replayed flow keeps its id
        self._keys += 1
        elapsed = max(0.0, self._clock() - request.started_at) if live else 0.0
        if credentials:
            request = msgspec.structs.replace(request, marks=marks_of(credentials))
        exchange = Exchange(
            self._keys,
            request,
            body,
            live=live,
            limit=self._limit,
            budget=self.budget,
            redacts=self._redacts,
            elapsed=elapsed,
            now=self._monotonic(),
            credentials=credentials,
            keeps_times=self._config.capture.raw_bodies is not RawBodies.NEVER,
        )
        self._exchanges[flow_id] = exchange
        self._counters.add("seen")
        if live and self._ticker is None:
            self._ticker = self._loop.call_later(TICK, self._tick)
        return exchange

    def find(self, flow_id: str) -> Exchange | None:
        """Return the live exchange of a flow."""
        return self._exchanges.get(flow_id)

    def feed(
        self,
        exchange: Exchange,
        chunk: bytes | Sequence[bytes],
        *,
        ends: bool = True,
        at: float | None = None,
        is_terminal: bool = False,
    ) -> bool:
        """Take a chunk of a streamed answer; return whether it completes the terminal event.

        That ends the exchange, and is waited for a moment, where `ends` says so. `at` (Unix
        seconds) is when it came, where that is not now. A large message of a socket comes in
        pieces, and `is_terminal` says what it is.
        """
        now = self.find_moment(exchange, at)
        is_terminal = exchange.feed(chunk, now, is_terminal=is_terminal)
        if is_terminal and ends and not exchange.ended:
            self._end(exchange, EndedBy.TERMINAL_EVENT, exchange.elapsed_ms(now), None)
            self._wait_for(exchange)
        elif exchange.has_large_part and exchange.live and not exchange.ended:
            self._write_progress(exchange, now, is_due=True)
        return is_terminal

    def finish(
        self, flow_id: str, by: EndedBy, body: bytes | None = None, at: float | None = None
    ) -> Exchange | None:
        """End the exchange of a flow; return it where its end was not known before.

        `body` is that of an answer that was not streamed; `at` (Unix seconds) when it ended,
        where that is not now.
        """
        exchange = self._exchanges.pop(flow_id, None)
        if exchange is None:
            return None
        duration = self._duration_ms(exchange, at)
        if not exchange.ended:
            self._end(exchange, by, duration, body)
            return exchange
        keeps_raw = self._config.capture.raw_bodies is RawBodies.ALWAYS
        return exchange if keeps_raw and self._amend(exchange, duration) else None

    def find_moment(self, exchange: Exchange, at: float | None) -> float:
        """Return the monotonic time of `at`, which counts for what is read from a file alone."""
        return self._monotonic() if at is None or exchange.live else exchange.moment(at)

    def end_early(self, flow_id: str, by: EndedBy, at: float) -> Exchange | None:
        """End an exchange whose flow goes on; `finish` may still add to it."""
        exchange = self._exchanges.get(flow_id)
        if exchange is None or exchange.ended:
            return None
        self._end(exchange, by, self._duration_ms(exchange, at), None)
        return exchange

    def amend(self, exchange: Exchange, at: float) -> bool:
        """Write an exchange once more, where more of its stream came after its end."""
        return self._amend(exchange, self._duration_ms(exchange, at))

    def acknowledged(self, exchange: Exchange) -> Awaitable[None] | None:
        """Return what to await before the end of an exchange goes to its client."""
        if not exchange.live:
            return self._acknowledgement.room()
        return self._acknowledgement.of(exchange.receipts, exchange.last_receipt)

    def delete(self, tenant_id: str, response_id: str) -> Receipt:
        """Write that a response was deleted here."""
        head = encode_head(DeletionHead(tenant_id, response_id, self._clock()))
        self._keys += 1
        return self._outbox.send(
            OutgoingFrame(FrameKind.DELETION, self._keys, head, (), self._redacts)
        )

    def close(self, flow_id: str, by: EndedBy) -> None:
        """End an exchange whose flow will say nothing more."""
        exchange = self._exchanges.pop(flow_id, None)
        if exchange is not None and not exchange.ended:
            self._end(exchange, by, self._duration_ms(exchange, None), None)

    def stop(self) -> int:
        """Write what has come of every live exchange; return how many there are.

        They count as interrupted from here on, unless their true end is still written.
        """
        self._has_stopped = True
        live = [one for one in self._exchanges.values() if one.live and not one.ended]
        for exchange in live:
            self._errors.guard("progress", self._write_progress, exchange, self._monotonic())
        if live:
            self._keys += 1
            self._outbox.send(OutgoingFrame(FrameKind.STOP, self._keys, b"", (), private=False))
        return len(live)

    def _duration_ms(self, exchange: Exchange, at: float | None) -> float:
        return exchange.elapsed_ms(self.find_moment(exchange, at))

    def _end(self, exchange: Exchange, by: EndedBy, duration: float, body: bytes | None) -> None:
        exchange.ended = True
        large = exchange.is_large(body)
        answered = exchange.gather(body)
        if large or exchange.chain is not None:
            self._put(exchange, lambda: exchange.end_frame(by, duration, answered), large=large)
        else:
            self._note(exchange, self._outbox.send(exchange.end_frame(by, duration, answered)))

    def _amend(self, exchange: Exchange, duration: float) -> bool:
        """Write it once more, whole, where that is still to be had."""
        stream = exchange.stream
        if stream is None or stream.pending_size == 0 or not stream.is_terminated:
            return False
        answered = exchange.gather(None, alone=True)
        stream.take(all_of_it=True)
        if not answered.pieces:
            return False
        by, large = EndedBy.TERMINAL_EVENT, sum(map(len, answered.pieces)) > LARGE
        self._put(
            exchange,
            lambda: exchange.end_frame(by, duration, answered, alone=True),
            large=large or exchange.is_large(),
        )
        return True

    def _tick(self) -> None:
        """Write what has come since the last tick, and go on while anything lives."""
        self._ticker = None
        now = self._monotonic()
        live = [one for one in self._exchanges.values() if one.live]
        for exchange in live:
            if not exchange.ended:
                self._errors.guard("progress", self._write_progress, exchange, now)
        if live:
            self._ticker = self._loop.call_later(TICK, self._tick)

    def _write_progress(self, exchange: Exchange, now: float, *, is_due: bool = False) -> None:
        # Whether somebody who asks after a response gets one is known only at the end.
        if not exchange.creates or (exchange.chain is not None and exchange.chain.waiting):
            return
        if not exchange.is_open:
            if not (is_due or self._has_stopped) and exchange.age(now) < OPEN_AFTER:
                return
            large = exchange.is_large()
            exchange.is_open = True
            self._put(exchange, exchange.open_frame, large=large)
            if large:
                return
        stream = exchange.stream
        if stream is not None and exchange.has_parts():
            large = exchange.is_large()
            elapsed, pieces = exchange.elapsed_ms(now), stream.take(all_of_it=False)
            if pieces:
                arrivals = exchange.take_arrivals()
                self._put(
                    exchange, lambda: exchange.part_frame(pieces, elapsed, arrivals), large=large
                )

    def _put(self, exchange: Exchange, job: Job, *, large: bool = False) -> None:
        """Send a frame behind those of the same exchange that wait."""
        chain = exchange.chain
        if chain is None:
            if not large:
                frame = job()
                if frame is not None:
                    self._note(exchange, self._outbox.send(frame))
                return
            chain = exchange.chain = Chain()
        self._note(exchange, self._outbox.put(chain, job, large=large))

    def _note(self, exchange: Exchange, receipt: Receipt) -> None:
        exchange.last_receipt = receipt
        if not receipt.is_settled:
            exchange.receipts = [one for one in exchange.receipts if not one.is_settled]
            exchange.receipts.append(receipt)

    def _wait_for(self, exchange: Exchange) -> None:
        receipts = [one for one in exchange.receipts if not one.is_settled]
        if not (receipts and self._wait and self._acknowledgement.is_worth_waiting(receipts)):
            return
        is_large = any(self._outbox.find_dependency(one) is AckDependency.LARGE for one in receipts)
        if not self._outbox.wait(receipts, self._large_wait if is_large else self._wait):
            self._acknowledgement.ran_out(receipts)
