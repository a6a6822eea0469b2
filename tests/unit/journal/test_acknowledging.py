"""`acknowledge: database`: waiters are told when the database has it, or when it fails."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import pytest

from response_store.store.acknowledging import Acknowledging
from response_store.store.ticket import Ticket


class Line:
    """An acknowledgement whose surroundings a test sets."""

    def __init__(self) -> None:
        self.sequence = 0
        self.ready = True
        self.told: list[list[str]] = []
        self.waiters: list[Future[None]] = []
        self.acknowledging: Acknowledging[Any] = Acknowledging(
            lambda: self.sequence,
            lambda: self.ready,
            lambda tickets: self.told.append([ticket.payload for ticket in tickets]),
        )

    def journalled(self, *names: str) -> None:
        self.sequence += len(names)
        self.waiters += [Future() for _ in names]
        waiters = self.waiters[-len(names) :]
        self.acknowledging.settled(
            [Ticket(name, 1, one) for name, one in zip(names, waiters, strict=True)]
        )


@pytest.fixture
def line() -> Line:
    return Line()


def test_told_once_drained(line: Line) -> None:
    """A batch is told when its last record is in the database, not before."""
    line.journalled("a", "b")
    line.journalled("c")
    line.acknowledging.drained(1)
    assert line.told == []
    line.acknowledging.drained(2)
    assert line.told == [["a", "b"]]
    line.acknowledging.drained(3)
    line.acknowledging.drained(3)
    assert line.told == [["a", "b"], ["c"]]


def test_several_batches_are_one_call(line: Line) -> None:
    """What one drained batch covers is told together, in order."""
    line.journalled("a")
    line.journalled("b")
    line.acknowledging.drained(2)
    assert line.told == [["a", "b"]]


def test_drained_before_it_was_settled(line: Line) -> None:
    """A drainer that is quicker than the writer leaves nobody waiting."""
    line.acknowledging.drained(1)
    line.journalled("a")
    assert line.told == [["a"]]


def test_a_failure_lets_go(line: Line) -> None:
    """Whoever waits when the database fails is told at once; later ones do not wait at all."""
    line.journalled("a")
    line.journalled("b")
    line.ready = False
    line.acknowledging.release()
    line.acknowledging.release()
    assert line.told == [["a", "b"]]
    line.journalled("c")
    assert line.told == [["a", "b"], ["c"]]
    line.ready = True
    line.journalled("d")
    line.acknowledging.drained(4)
    assert line.told[2:] == [["d"]]


def test_who_does_not_wait_is_told_at_once(line: Line) -> None:
    """Tickets without a waiter are not kept, whenever the others are told."""
    line.sequence = 2
    line.acknowledging.settled([Ticket("open", 1), Ticket("awaited", 1, Future())])
    assert line.told == [["open"]]
    line.acknowledging.drained(2)
    assert line.told == [["open"], ["awaited"]]


def test_waiters_that_gave_up_are_let_go(line: Line) -> None:
    """While a database hangs, only tickets that somebody still waits for are kept."""
    for name in "abc":
        line.journalled(name)
        line.waiters[-1].set_result(None)
    assert line.told == [["a"], ["b"]]
    line.acknowledging.drained(3)
    assert line.told == [["a"], ["b"], ["c"]]
