"""The writer: order, group commit, bounds, and acknowledgement after the commit."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from response_store.store.intake import Limits
from response_store.store.ticket import Fate
from tests.harness.records import record
from tests.unit.store.conftest import MakeBench
from tests.unit.store.scripted import LOCKED, PATIENT, Bench, Payload, thread_of


def fates(tickets: list[Any]) -> set[Fate]:
    return {ticket.fate for ticket in tickets}


def test_what_waits_is_written_together_and_in_order(bench: Bench) -> None:
    """While one batch is committed the next gathers, and goes in one transaction."""
    bench.hang()
    tickets = bench.submit(*"abcdef")
    assert fates(tickets) == {Fate.PENDING}
    bench.go_on()
    assert bench.store.batches == [["first"], list("abcdef")]
    assert fates(tickets) == {Fate.WRITTEN}


def test_nothing_waits_for_a_timer(bench: Bench) -> None:
    """A single record goes at once."""
    (ticket,) = bench.submit("a", sync=True)
    assert bench.writer.wait(ticket, PATIENT)
    assert bench.store.batches == [["a"]]


@pytest.mark.parametrize(
    ("limits", "sizes", "batches"),
    [
        (Limits(batch_records=2), [1, 1, 1, 1, 1], [2, 2, 1]),
        (Limits(batch_bytes=10), [4, 4, 4, 4], [3, 1]),
        (Limits(batch_bytes=10), [100, 1, 1], [1, 2]),
    ],
    ids=["records", "bytes", "one that is large"],
)
def test_a_batch_is_bounded(
    make_bench: MakeBench, limits: Limits, sizes: list[int], batches: list[int]
) -> None:
    """A batch ends with the record that reaches a bound."""
    bench = make_bench(limits=limits).start()
    bench.hang()
    for at, size in enumerate(sizes):
        bench.writer.submit(Payload(str(at), size))
    bench.go_on()
    assert [len(batch) for batch in bench.store.batches] == [1, *batches]


def test_the_queue_is_bounded_in_records(make_bench: MakeBench) -> None:
    """What does not fit is dropped at once, and counted; there is room again after a commit."""
    bench = make_bench(limits=Limits(records=3)).start()
    bench.hang()
    tickets = bench.submit("a", "b", "c")
    assert [ticket.fate for ticket in tickets] == [Fate.PENDING, Fate.PENDING, Fate.DROPPED]
    bench.go_on()
    bench.submit("d")
    summary = bench.close()
    assert bench.store.names == ["first", "a", "b", "d"]
    assert bench.counts.get("dropped.queue_full") == 1
    assert (summary.written, summary.lost) == (4, 1)


def test_the_queue_is_bounded_in_bytes(make_bench: MakeBench) -> None:
    """Bytes count from submission to the commit; one beyond the bound goes in when alone."""
    bench = make_bench(limits=Limits(bytes=10)).start()
    bench.store.hang()
    fits = [bench.writer.submit(Payload(name, size)) for name, size in (("a", 1000), ("b", 1))]
    assert [ticket.fate for ticket in fits] == [Fate.PENDING, Fate.DROPPED]
    assert (bench.writer.queue.records, bench.writer.queue.bytes) == (1, 1000)
    bench.go_on()
    assert bench.writer.queue.bytes == 0
    assert bench.writer.submit(Payload("c", 10)).fate is not Fate.DROPPED


def test_acknowledgement_comes_after_the_commit(bench: Bench) -> None:
    """While the commit hangs nobody is told; afterwards each ticket is, once, by its batch."""
    tickets = bench.hang() + bench.submit("a", "b")
    assert bench.settled == []
    bench.go_on()
    assert bench.close().written == 3
    assert bench.settled == [tickets[:1], tickets[1:]]


def test_what_can_wait_comes_after_the_acknowledgement(make_bench: MakeBench) -> None:
    """The store is told to do what can wait once the waiters have been told."""
    seen: list[int] = []
    bench = make_bench(on_settled=lambda tickets: seen.append(bench.store.after)).start()
    bench.submit("a")
    assert bench.writer.drain(PATIENT)
    bench.close()
    assert seen == [0]
    assert bench.store.after == 1


def test_a_record_that_is_skipped_is_no_loss(make_bench: MakeBench) -> None:
    """`build` may say why there is no row: the ticket tells the reason, nothing is lost."""
    bench = make_bench(build=lambda payload: "not wanted").start()
    (ticket,) = bench.submit("a", sync=True)
    assert bench.writer.drain(PATIENT)
    assert (ticket.fate, ticket.reason) == (Fate.SKIPPED, "not wanted")
    summary = bench.close()
    assert (summary.written, summary.lost, bench.store.attempts) == (0, 0, 0)


def test_a_record_that_can_not_be_built_is_counted(make_bench: MakeBench) -> None:
    """An error of our own costs its record, and no other one."""

    def build(payload: Payload) -> Any:
        return record(payload.name) if payload.name != "bad" else 1 / 0

    bench = make_bench(build=build).start()
    bench.hang()
    tickets = bench.submit("a", "bad", "b")
    bench.go_on()
    assert [ticket.fate for ticket in tickets] == [Fate.WRITTEN, Fate.DROPPED, Fate.WRITTEN]
    summary = bench.close()
    assert (summary.written, summary.lost) == (3, 1)
    assert bench.counts.get("dropped.build_failed") == bench.counts.get("fault.build") == 1


@pytest.mark.parametrize("where", ["on_settled", "after_acknowledge"])
def test_a_callback_that_raises_stops_nothing(make_bench: MakeBench, where: str) -> None:
    """What is called after a commit may fail; the next batch is written all the same."""

    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    bench = make_bench(on_settled=fail if where == "on_settled" else None).start()
    if where == "after_acknowledge":
        bench.store.after_acknowledge = fail  # type: ignore[method-assign]
    for name in "ab":
        bench.submit(name)
        assert bench.writer.drain(PATIENT)
    assert bench.close().written == 2
    assert bench.counts.get(f"fault.{where}") == 2


def test_a_wait_that_ran_out_is_the_last_until_a_commit(bench: Bench) -> None:
    """One waiter pays for a store that hangs; the next do not wait until a commit succeeded."""
    bench.hang()
    first, second = bench.submit("a", "b", sync=True)
    assert not bench.writer.wait(first, 0)
    assert not bench.writer.wait(second, PATIENT), "this one must not block"
    assert (bench.counts.get("wait.ran_out"), bench.counts.get("wait.skipped")) == (1, 1)
    bench.go_on()
    (third,) = bench.submit("c", sync=True)
    assert bench.writer.wait(third, PATIENT)


def test_nobody_waits_for_a_store_that_is_not_ready(make_bench: MakeBench) -> None:
    """While the store is away a wait ends at once."""
    bench = make_bench(pause=1000.0)
    bench.store.openings.append(LOCKED)
    bench.start()
    (ticket,) = bench.submit("a", sync=True)
    assert not bench.writer.wait(ticket, PATIENT)
    assert bench.counts.get("wait.skipped") == 1


def test_drain_waits_for_what_was_submitted_so_far(bench: Bench) -> None:
    """`drain` ends when the earlier records are settled, whatever came later."""
    bench.hang()
    assert not bench.writer.drain(0)
    done = threading.Event()
    drained: list[bool] = []

    def drain() -> None:
        drained.append(bench.writer.drain(PATIENT))
        done.set()

    threading.Thread(target=drain).start()
    bench.store.may_go_on.set()
    assert done.wait(PATIENT)
    assert drained == [True]
    assert bench.writer.drain(0)


def test_the_thread_has_a_name_and_an_end(bench: Bench) -> None:
    """The thread says what it is, and closing ends it with its store."""
    thread = thread_of(bench.writer)
    assert thread.name == "response-store-writer"
    bench.close()
    assert not thread.is_alive()
    assert bench.store.closed == 1
