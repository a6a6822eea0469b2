"""Telling waiters when the database has their records, not when the journal has them.

Tickets come from the writer's thread with the journal's last sequence, progress from the
drainer's. While the database fails nobody is kept waiting: the records are safe in the journal.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from response_store.store.ticket import Ticket

P = TypeVar("P")


class Acknowledging(Generic[P]):
    """Hands each ticket on to `on_settled`, once: when it is drained, if somebody waits for it.

    At once where nobody does, or while `ready` is false.
    """

    def __init__(
        self,
        last_sequence: Callable[[], int],
        ready: Callable[[], bool],
        on_settled: Callable[[list[Ticket[P]]], None],
    ) -> None:
        self._last_sequence = last_sequence
        self._ready = ready
        self._on_settled = on_settled
        self._lock = threading.Lock()
        self._held: deque[tuple[int, list[Ticket[P]]]] = deque()
        self._through = 0  # the last sequence that the database has

    def settled(self, tickets: list[Ticket[P]]) -> None:
        """Tickets have reached the journal, or were put off. In the writer's thread."""
        sequence = self._last_sequence()
        at_once = tickets
        with self._lock:
            if sequence > self._through and self._ready():
                at_once = self._given_up()
                waiting: list[Ticket[P]] = []
                for ticket in tickets:  # asked once each: a waiter may give up meanwhile
                    (waiting if _has_waiter(ticket) else at_once).append(ticket)
                if waiting:
                    self._held.append((sequence, waiting))
        if at_once:
            self._on_settled(at_once)

    def drained(self, through: int) -> None:
        """The database has all up to this sequence. In the drainer's thread."""
        with self._lock:
            self._through = through
            done: list[Ticket[P]] = []
            while self._held and self._held[0][0] <= through:
                done += self._held.popleft()[1]
        if done:
            self._on_settled(done)

    def release(self) -> None:
        """The database fails: let go of all who wait. In the drainer's thread, or at the end."""
        with self._lock:
            rest = [ticket for _, tickets in self._held for ticket in tickets]
            self._held.clear()
        if rest:
            self._on_settled(rest)

    def _given_up(self) -> list[Ticket[P]]:
        """Tickets that nobody waits for any more: while a database hangs they are not kept."""
        done: list[Ticket[P]] = []
        while self._held and not any(map(_has_waiter, self._held[0][1])):
            done += self._held.popleft()[1]
        return done


def _has_waiter(ticket: Ticket[P]) -> bool:
    return ticket.future is not None and not ticket.future.done()
