"""Closing: what waits is written, within a deadline, and what is lost is said."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from response_store.errors import PermanentStoreError
from response_store.store.ticket import Fate
from tests.unit.store.conftest import MakeBench
from tests.unit.store.scripted import LOCKED, NEVER, PATIENT, Bench, Payload


def timed(bench: Bench, seconds: float) -> tuple[Any, float]:
    begun = time.monotonic()
    summary = bench.close(seconds)
    return summary, time.monotonic() - begun


def test_closing_writes_what_waits(bench: Bench) -> None:
    """All that was submitted before is written."""
    bench.hang()
    bench.submit(*"abc")
    bench.store.may_go_on.set()
    summary = bench.close()
    assert bench.store.names == ["first", "a", "b", "c"]
    assert (summary.written, summary.lost) == (4, 0)


def test_closing_twice_says_the_same(bench: Bench) -> None:
    """The second close does nothing."""
    bench.submit("a")
    assert bench.close() == bench.close()
    assert bench.store.closed == 1


def test_after_closing_nothing_is_taken(bench: Bench) -> None:
    """A late record is dropped at once, and counted."""
    bench.close()
    (ticket,) = bench.submit("late", sync=True)
    assert ticket.fate is Fate.DROPPED
    assert bench.writer.wait(ticket, PATIENT)
    assert bench.counts.get("dropped.stopped") == 1
    assert bench.close().lost == 1


def test_a_writer_that_never_started_loses_what_it_was_given(make_bench: MakeBench) -> None:
    """Without a thread nothing is written, and nobody is left waiting."""
    bench = make_bench()
    (ticket,) = bench.submit("a", sync=True)
    summary = bench.close()
    assert (ticket.fate, summary.written, summary.lost) == (Fate.DROPPED, 0, 1)


def test_a_pause_is_cut_short_for_one_more_attempt(make_bench: MakeBench) -> None:
    """A store that has come back meanwhile gets what waits, however long the pause would be."""
    bench = make_bench(pause=NEVER).start()
    bench.store.script.append(LOCKED)
    bench.submit("a", sync=True)[0].wait(PATIENT)
    bench.submit("b")
    summary, took = timed(bench, PATIENT)
    assert bench.store.names == ["a", "b"]
    assert (summary.written, summary.lost) == (2, 0)
    assert took < 2


def test_a_store_that_stays_down_ends_the_close_in_time(make_bench: MakeBench) -> None:
    """Closing tries more than once, gives up at its deadline, and says what was lost."""
    bench = make_bench(pause=NEVER).start()
    bench.store.down = LOCKED
    waiting = bench.submit("a", sync=True)
    waiting[0].wait(PATIENT)
    waiting += bench.submit("b", "c", sync=True)
    summary, took = timed(bench, 0.6)
    assert took < 0.7
    assert bench.store.attempts >= 3
    assert (summary.written, summary.lost) == (0, 3)
    assert bench.counts.get("dropped.stopped") == 3
    assert {ticket.fate for ticket in waiting} == {Fate.DROPPED}


def test_a_store_that_must_be_mended_is_tried_once_more(make_bench: MakeBench) -> None:
    """A permanent failure does not keep the proxy from stopping."""
    bench = make_bench(pause=NEVER).start()
    bench.store.down = PermanentStoreError("corrupt")
    bench.submit("a", sync=True)[0].wait(PATIENT)
    summary, took = timed(bench, PATIENT)
    assert (took < 1, bench.store.attempts, summary.lost) == (True, 2, 1)


def test_a_store_that_never_opened_closes_at_once_when_nothing_waits(
    make_bench: MakeBench,
) -> None:
    """With nothing to write there is nothing to wait for."""
    bench = make_bench(pause=NEVER)
    bench.store.openings.extend([LOCKED] * 1000)
    bench.start()
    summary, took = timed(bench, PATIENT)
    assert (took < 1, summary.lost) == (True, 0)


def test_a_store_that_opens_during_the_close_gets_what_waits(make_bench: MakeBench) -> None:
    """Records of a store that never opened are written, should it open at the last moment."""
    bench = make_bench(pause=NEVER)
    bench.store.openings.append(LOCKED)
    bench.start()
    bench.submit(*"ab")
    assert bench.close().written == 2


@pytest.mark.parametrize("deaf", [False, True], ids=["interrupted", "deaf"])
def test_a_hung_store_ends_the_close_in_time(make_bench: MakeBench, deaf: bool) -> None:
    """A commit that hangs is broken off, or left: the close returns, and counts it as lost."""
    bench = make_bench().start()
    bench.submit("before")
    assert bench.writer.drain(PATIENT)
    bench.store.deaf = deaf
    waiting = bench.hang() + bench.submit("a", "b", sync=True)
    summary, took = timed(bench, 0.3)
    assert took < 0.4
    assert (summary.written, summary.lost) == (1, 3)
    assert bench.store.names == ["before"]
    assert all(ticket.wait(0) for ticket in waiting[1:])
    again, took = timed(bench, 0.3)
    assert again == summary
    assert took < 0.4


def test_the_waiter_of_a_hung_commit_is_woken(make_bench: MakeBench) -> None:
    """Whoever waits for the commit that hangs is told by the close."""
    bench = make_bench().start()
    bench.store.deaf = True
    waiting = bench.hang()
    bench.close(0.05)
    assert bench.settled == [waiting]


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_submitting_while_closing_leaves_nothing_pending(make_bench: MakeBench) -> None:
    """Threads that submit while another closes: each ticket is written or dropped, and counted."""
    for _ in range(60):
        bench = make_bench().start()
        tickets: list[list[Any]] = [[] for _ in range(3)]
        barrier = threading.Barrier(4)

        def fill(mine: list[Any], bench: Bench = bench, barrier: Any = barrier) -> None:
            barrier.wait()
            mine.extend(bench.writer.submit(Payload("x"), sync=True) for _ in range(50))

        threads = [threading.Thread(target=fill, args=(mine,)) for mine in tickets]
        for thread in threads:
            thread.start()
        barrier.wait()
        bench.close()
        for thread in threads:
            thread.join()
        everything = [ticket for mine in tickets for ticket in mine]
        written = sum(ticket.fate is Fate.WRITTEN for ticket in everything)
        dropped = sum(ticket.fate is Fate.DROPPED for ticket in everything)
        assert written + dropped == len(everything) == 150
        summary = bench.close()
        assert (summary.written, summary.lost) == (written, dropped)
        assert len(bench.store.names) == written
