"""A store that fails: what waits is kept in order, tried again, and lost only with a count."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from response_store.errors import PassingStoreError, PermanentStoreError, RowRefusedError
from response_store.store.health import Phase
from response_store.store.intake import Limits
from response_store.store.ticket import Fate
from tests.unit.store.conftest import MakeBench
from tests.unit.store.scripted import LOCKED, NEVER, PATIENT, Bench

CORRUPT = PermanentStoreError("corrupt")


@pytest.mark.parametrize("error", [LOCKED, CORRUPT], ids=["passing", "permanent"])
def test_a_failed_batch_stays_in_front(bench: Bench, error: Any) -> None:
    """A batch is tried again until it is in, before anything that came later."""
    bench.hang()
    tickets = bench.submit("a", "b")
    bench.store.script.extend([None, error, error, error])
    bench.go_on()
    bench.submit("c")
    summary = bench.close()
    assert bench.store.names == ["first", "a", "b", "c"]
    assert {ticket.fate for ticket in tickets} == {Fate.WRITTEN}
    assert (summary.written, summary.lost, bench.counts.get("store.failed")) == (4, 0, 3)


def test_waiters_are_released_at_the_first_failure(make_bench: MakeBench) -> None:
    """Whoever waits is woken by the first failure, in later batches too; the records wait on."""
    bench = make_bench(pause=NEVER, limits=Limits(batch_records=1)).start()
    first = bench.hang()
    bench.store.down = LOCKED
    tickets = bench.submit("a", "b", sync=True)
    bench.store.may_go_on.set()
    begun = time.monotonic()
    assert not any(ticket.wait(PATIENT) for ticket in tickets)
    assert time.monotonic() - begun < 1
    assert bench.writer.queue.records == 3
    assert bench.writer.health.phase is Phase.WAITING
    assert bench.settled == [first + tickets]
    bench.store.down = None
    bench.close()
    assert bench.store.names == ["first", "a", "b"]


def test_a_batch_is_put_off_once(bench: Bench) -> None:
    """However many attempts fail, a batch's waiters are called once, and once when it is in."""
    bench.store.script.extend([LOCKED] * 5)
    tickets = bench.submit("a")
    assert bench.writer.drain(PATIENT)
    bench.close()
    assert bench.settled == [tickets, tickets]


def test_a_paused_writer_does_nothing(make_bench: MakeBench) -> None:
    """Between two attempts the thread sleeps: no attempt, hardly any time of the processor."""
    bench = make_bench(pause=NEVER).start()
    bench.store.down = LOCKED
    bench.submit("a")
    assert bench.store.at_work.wait(PATIENT)
    used = time.process_time()
    time.sleep(0.1)
    assert time.process_time() - used < 0.05
    assert bench.store.attempts == 1


def test_pauses_follow_the_clock_that_is_given(make_bench: MakeBench) -> None:
    """`retry_in` and the pause are of the writer's clock."""
    bench = make_bench(pause=NEVER, clock=lambda: 5.0).start()
    bench.store.down = LOCKED
    bench.submit("a", sync=True)[0].wait(PATIENT)
    assert bench.writer.health.retry_at == 5.0 + NEVER
    assert bench.writer.health.retry_in() == NEVER


def test_an_outage_is_two_log_lines(make_bench: MakeBench, caplog: Any) -> None:
    """One line says that the store fails, one that it is back."""
    caplog.set_level(logging.INFO)
    bench = make_bench().start()
    bench.store.script.extend([LOCKED] * 20)
    bench.submit("a")
    assert bench.writer.drain(PATIENT)
    bench.submit("b")
    bench.close()
    assert len(caplog.messages) == 2
    assert "locked" in caplog.messages[0]
    assert "back" in caplog.messages[1]


def test_a_store_that_opens_late_needs_no_record(make_bench: MakeBench) -> None:
    """Opening is tried again by itself, also while nothing waits."""
    bench = make_bench()
    bench.store.openings.extend([LOCKED, CORRUPT, LOCKED])
    bench.start()
    deadline = time.monotonic() + PATIENT
    while not bench.writer.health.ready:
        assert time.monotonic() < deadline
    assert bench.counts.get("store.failed") == 3
    bench.submit("a")
    assert bench.close().written == 1


@pytest.mark.parametrize("place", [0, 1, 7, 63])
def test_a_bad_row_is_set_aside(bench: Bench, caplog: Any, place: int) -> None:
    """A row that is refused is dropped and counted; its batch goes in, in order."""
    names = [f"n{at}" for at in range(64)]
    bench.hang()
    tickets = bench.submit(*names)
    bench.store.refused = {names[place]}
    bench.go_on()
    summary = bench.close()
    assert bench.store.names == ["first", *names[:place], *names[place + 1 :]]
    assert tickets[place].fate is Fate.DROPPED
    assert (summary.written, summary.lost) == (64, 1)
    assert bench.counts.get("dropped.row_refused") == 1
    assert len([line for line in caplog.messages if "refused" in line]) == 1
    assert bench.store.attempts < 20, "a batch is halved, not written row by row"


def test_only_bad_rows(bench: Bench) -> None:
    """A batch of nothing but bad rows leaves a store that works."""
    bench.hang()
    bench.store.refused = {"a", "b", "c"}
    bench.submit(*"abc")
    bench.go_on()
    bench.submit("d")
    summary = bench.close()
    assert (bench.store.names, summary.lost) == (["first", "d"], 3)
    assert bench.writer.health.busy_since is None


def test_a_failure_between_the_halves_repeats_nothing(bench: Bench) -> None:
    """Where the store fails after half of a split batch, that half is not written again."""
    bench.hang()
    bench.submit(*"abcd")
    bench.store.refused = {"d"}
    bench.store.script.extend([None, None, None, LOCKED])
    bench.go_on()
    summary = bench.close()
    assert bench.store.names == ["first", "a", "b", "c"]
    assert (summary.written, summary.lost) == (4, 1)
    assert bench.counts.get("written") == 4


def test_an_error_that_nobody_thought_of_costs_one_row(bench: Bench) -> None:
    """An unexpected exception of a write is bisected like a refusal; the thread lives on."""
    bench.hang()
    bench.submit(*"abc")
    bench.store.script.extend([None, TypeError(), None, TypeError(), TypeError()])
    bench.go_on()
    bench.submit("d")
    summary = bench.close()
    assert bench.store.names[-1] == "d"
    assert summary.written + summary.lost == 5
    assert summary.lost == bench.counts.get("dropped.row_refused") > 0
    assert bench.counts.get("fault.write") == 3


def test_an_unexpected_error_while_opening_is_an_outage(make_bench: MakeBench) -> None:
    """An exception of no known kind makes opening fail, for now."""
    bench = make_bench()
    bench.store.openings.extend([ValueError("odd"), None])
    bench.start()
    bench.submit("a")
    assert bench.writer.drain(PATIENT)
    assert bench.close().written == 1
    assert bench.counts.get("fault.open") == 1


def test_a_thread_that_dies_leaves_nobody_waiting(make_bench: MakeBench) -> None:
    """Whatever ends the thread, its tickets are dropped and new ones are turned away."""
    bench = make_bench().start()
    bench.hang()
    bench.store.down = SystemExit()
    waiting = bench.submit("a", sync=True)
    bench.store.may_go_on.set()
    assert waiting[0].wait(PATIENT)
    assert bench.writer.drain(PATIENT)
    late = bench.submit("late")
    assert late[0].fate is Fate.DROPPED
    summary = bench.close()
    assert (summary.written, summary.lost) == (0, 3)
    assert bench.writer.health.phase is Phase.FAILED
    assert bench.store.closed == 1


def test_refusals_are_told_once_a_kind(bench: Bench, caplog: Any) -> None:
    """Many bad rows for one reason are one line, and many counts."""
    bench.store.script.extend([RowRefusedError("one"), RowRefusedError("one")])
    for name in "ab":
        bench.submit(name)
        assert bench.writer.drain(PATIENT)
    bench.store.script.append(RowRefusedError("two"))
    bench.submit("c")
    assert bench.close().lost == 3
    assert len(caplog.messages) == 2


def test_passing_and_permanent_are_told_apart(make_bench: MakeBench) -> None:
    """The phase says whether somebody has to mend something."""
    bench = make_bench(pause=NEVER).start()
    bench.store.down = CORRUPT
    bench.submit("a", sync=True)[0].wait(PATIENT)
    assert bench.writer.health.phase is Phase.FAILED
    assert isinstance(bench.writer.health.error, PermanentStoreError)
    assert not isinstance(bench.writer.health.error, PassingStoreError)
