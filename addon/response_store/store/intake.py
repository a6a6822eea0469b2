"""The tickets on their way to the writer's thread: bounded, in order, and each accounted for."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from response_store.store.ticket import Fate, Ticket

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the queue, and of one batch."""

    records: int = 20_000
    bytes: int = 256 * 1024 * 1024
    batch_records: int = 256
    batch_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Queue:
    """What waits to be written."""

    records: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """How a writer ended: records that were committed, and records that were not."""

    written: int
    lost: int


class Intake(Generic[P]):
    """A queue that any thread fills and one thread empties in batches.

    That one tells the fate of each ticket (`written`, `dropped`, or its own doing where it makes
    no row), then says that the batch is `settled`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._settled_some = threading.Condition(self._lock)
        self._incoming: SimpleQueue[Ticket[P] | None] = SimpleQueue()
        self._put_off: deque[Ticket[P]] = deque()  # taken out once, to go before what comes in
        self._at_work: Sequence[Ticket[P]] = ()
        self._records = self._bytes = 0  # what waits, the batch at work included
        self._accepted = self._settled = self._written = self._dropped = 0
        self._ended = False

    # From any thread

    def put(self, ticket: Ticket[P]) -> str | None:
        """Take a ticket in, or drop it and return the reason."""
        with self._lock:
            refusal = self._refusal(ticket.size)
            if refusal is not None:
                ticket.fate = Fate.DROPPED
                self._dropped += 1
                return refusal
            self._accepted += 1
            self._records += 1
            self._bytes += ticket.size
            self._incoming.put(ticket)  # under the lock: nothing comes behind the end mark
            return None

    def end(self) -> None:
        """Take nothing more in. Idempotent."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._incoming.put(None)

    def wait_settled(self, seconds: float) -> bool:
        """Block until all that was put in so far has settled, at most `seconds`."""
        with self._lock:
            accepted = self._accepted
            return self._settled_some.wait_for(lambda: self._settled >= accepted, seconds)

    def leave(self) -> list[Ticket[P]]:
        """Drop what no batch has taken, once the end has been marked; return it."""
        self.put_off()
        rest: list[Ticket[P]] = []
        with contextlib.suppress(IndexError):
            while True:
                rest.append(self._put_off.popleft())
        for ticket in rest:
            self.dropped(ticket)
        self._account(rest)
        return rest

    @property
    def at_work(self) -> list[Ticket[P]]:
        """The batch at work."""
        return list(self._at_work)

    @property
    def queue(self) -> Queue:
        """What waits to be written, the batch at work included."""
        with self._lock:
            return Queue(self._records, self._bytes)

    def summary(self) -> Summary:
        """What was written, and what was not; a batch whose commit hangs was not."""
        with self._lock:
            done = sum(ticket.fate is not Fate.PENDING for ticket in self._at_work)
            return Summary(self._written, self._dropped + self._records - done)

    # In the writer's thread

    def take(self) -> list[Ticket[P]] | None:
        """Wait for a ticket and take those that wait behind it; None when all is done."""
        first = self._next(wait=True)
        if first is None:
            return None
        batch, size = [first], first.size
        self._at_work = batch
        while len(batch) < self._limits.batch_records and size < self._limits.batch_bytes:
            ticket = self._next(wait=False)
            if ticket is None:
                break
            batch.append(ticket)
            size += ticket.size
        return batch

    def put_off(self) -> list[Ticket[P]]:
        """Return what waits behind the batch at work; it goes on waiting, in order."""
        with contextlib.suppress(Empty):
            while (ticket := self._incoming.get_nowait()) is not None:
                self._put_off.append(ticket)
            self._incoming.put(None)  # the end stays marked
        return list(self._put_off)

    def _next(self, wait: bool) -> Ticket[P] | None:
        """The next ticket; None at the end, or where there is none and `wait` is false."""
        if self._put_off:
            with contextlib.suppress(IndexError):  # left by another thread at this moment
                return self._put_off.popleft()
        try:
            ticket = self._incoming.get(wait)
        except Empty:
            return None
        if ticket is None:
            self._incoming.put(None)
        return ticket

    def written(self, tickets: Sequence[Ticket[P]]) -> None:
        """Tickets whose records are committed."""
        with self._lock:
            self._written += len(tickets)
            for ticket in tickets:
                ticket.fate = Fate.WRITTEN

    def dropped(self, ticket: Ticket[P]) -> None:
        """A ticket is lost."""
        with self._lock:
            self._dropped += 1
            ticket.fate = Fate.DROPPED

    def settled(self) -> None:
        """The batch at work is done with: every fate is decided."""
        self._account(self._at_work)

    def _account(self, tickets: Sequence[Ticket[P]]) -> None:
        with self._lock:
            self._records -= len(tickets)
            self._bytes -= sum(ticket.size for ticket in tickets)
            self._settled += len(tickets)
            if tickets is self._at_work:
                self._at_work = ()
            self._settled_some.notify_all()

    def _refusal(self, size: int) -> str | None:
        if self._ended:
            return "dropped.stopped"
        if self._records == 0:
            return None  # one that is larger than the whole bound still goes in alone
        fits = self._records < self._limits.records and self._bytes + size <= self._limits.bytes
        return None if fits else "dropped.queue_full"
