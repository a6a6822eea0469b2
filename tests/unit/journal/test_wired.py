"""Writer, journal and drainer together: payloads in at one end, rows out at the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from response_store.counts import Counts
from response_store.errors import PassingStoreError
from response_store.faults import Faults
from response_store.store.acknowledging import Acknowledging
from response_store.store.backoff import Backoff
from response_store.store.health import Phase
from response_store.store.intake import Limits
from response_store.store.journal.errors import JournalFullError
from response_store.store.ticket import Fate
from response_store.store.writer import Writer
from tests.harness.records import record
from tests.unit.journal.bench import JournalBench
from tests.unit.journal.conftest import MakeBench
from tests.unit.store.scripted import LOCKED, PATIENT, Payload

MakeWriter = Callable[..., Writer[Payload]]


def build(payload: Payload) -> Any:
    return record(payload.name, output_text="x" * payload.size)


@pytest.fixture
def make_writer() -> Iterator[MakeWriter]:
    """Makes writers into a journal; they end with the test."""
    made: list[Writer[Payload]] = []

    def make(bench: JournalBench, **how: Any) -> Writer[Payload]:
        counts = Counts()
        made.append(
            Writer(
                bench.journal,
                build,
                counts=counts,
                faults=Faults(counts),
                backoff=Backoff(first=0.001, cap=0.001, jitter=0.0),
                **how,
            )
        )
        made[-1].start()
        assert made[-1].health.wait_opened(PATIENT)
        return made[-1]

    yield make
    for writer in made:
        writer.close(PATIENT)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_through_all_of_it(make_bench: MakeBench, make_writer: MakeWriter) -> None:
    """What is submitted arrives, in order, and the journal outlives the writer until then."""
    bench = make_bench()
    writer = make_writer(bench)
    bench.target.down = LOCKED
    drainer = bench.start()
    tickets = [writer.submit(Payload(f"e{at}")) for at in range(500)]
    assert writer.close(PATIENT).written == 500
    assert {ticket.fate for ticket in tickets} == {Fate.WRITTEN}
    assert drainer.status.records == 500
    bench.target.down = None
    assert drainer.drain(PATIENT)
    assert bench.target.names == [f"e{at}" for at in range(500)]


def test_an_outage_that_fills_the_journal(make_bench: MakeBench, make_writer: MakeWriter) -> None:
    """A full journal holds the writer up until the database takes some; nothing is lost."""
    bench = make_bench(max_bytes=30_000)
    writer = make_writer(bench, limits=Limits(batch_records=2))
    bench.target.down = LOCKED
    bench.start()
    names = [f"e{at}" for at in range(30)]
    for name in names:
        writer.submit(Payload(name, 2000))
    wait_for(lambda: isinstance(writer.health.error, JournalFullError))
    assert writer.health.phase is Phase.WAITING
    assert bench.journal.status.bytes <= 30_000
    assert writer.queue.records > 0
    bench.target.down = None
    assert writer.drain(PATIENT)
    bench.drain()
    assert bench.target.names == names
    assert writer.health.ready


def test_a_record_that_never_fits(make_bench: MakeBench, make_writer: MakeWriter) -> None:
    """One that is larger than the journal is dropped and counted; those around it go in."""
    bench = make_bench(max_bytes=30_000)
    writer = make_writer(bench)
    bench.start()
    for name, size in (("a", 1), ("b", 40_000), ("c", 1)):
        writer.submit(Payload(name, size))
    assert writer.drain(PATIENT)
    bench.drain()
    summary = writer.close(PATIENT)
    assert (summary.written, summary.lost) == (2, 1)
    assert bench.target.names == ["a", "c"]


def test_waiting_for_the_database(make_bench: MakeBench, make_writer: MakeWriter) -> None:
    """Waiters are told when the database has their records, and at once when it fails."""
    bench = make_bench()
    told: list[str] = []
    some = threading.Event()

    def tell(tickets: Any) -> None:
        told.extend(ticket.payload.name for ticket in tickets)
        some.set()

    acknowledging: Acknowledging[Payload] = Acknowledging(
        lambda: bench.journal.last_sequence, lambda: bench.drainer.health.ready, tell
    )
    drainer = bench.start(
        on_drained=acknowledging.drained, on_failed=acknowledging.release, pause=0.001
    )
    writer = make_writer(bench, on_settled=acknowledging.settled)
    assert drainer.health.wait_opened(PATIENT)
    bench.target.hang()
    writer.submit(Payload("a"), Future())
    assert bench.target.at_work.wait(PATIENT)
    assert not some.wait(0.02)
    bench.target.may_go_on.set()
    assert some.wait(PATIENT)
    assert told == ["a"]
    some.clear()
    bench.target.down = PassingStoreError("away")
    writer.submit(Payload("b"), Future())
    assert some.wait(PATIENT)
    assert told == ["a", "b"]
    assert bench.target.names == ["a"]
