"""What becomes of a payload, and how its waiter learns of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from response_store.store.ticket import Fate, Ticket


def test_a_wait_runs_out() -> None:
    """Nobody wakes this waiter."""
    assert not Ticket("payload", 1, lock=threading.Lock()).wait(0)


def test_a_decided_ticket_wakes_its_waiter() -> None:
    """A release after the fate is decided says so; one before it says that it is put off."""
    ticket = Ticket("payload", 1, lock=threading.Lock())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ticket.wait, 10)
        ticket.fate = Fate.WRITTEN
        ticket.release()
        assert waiting.result()
    put_off = Ticket("payload", 1, lock=threading.Lock())
    put_off.release()
    assert not put_off.wait(10)


def test_releasing_again_is_harmless() -> None:
    """Several threads may release one ticket, any number of times."""
    for _ in range(200):
        ticket = Ticket("payload", 1, lock=threading.Lock())
        barrier = threading.Barrier(2)

        def release(ticket: Ticket[str] = ticket, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            ticket.release()
            ticket.release()

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(release), pool.submit(release)]:
                done.result()


def test_without_a_lock_nobody_waits() -> None:
    """A ticket that nobody blocks for answers at once."""
    assert not Ticket("payload", 1).wait(10)
