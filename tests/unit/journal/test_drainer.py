"""The drainer: what the journal holds reaches the target, in order, and leaves the journal."""

from __future__ import annotations

import time
from typing import Any

from response_store.store.health import Phase
from response_store.store.journal.level import JournalStatus
from tests.harness.records import numbered, record, response
from tests.unit.journal.bench import JournalBench
from tests.unit.journal.conftest import MakeBench
from tests.unit.store.files import opened, rows, store_on
from tests.unit.store.scripted import PATIENT


def test_records_arrive_in_order(bench: JournalBench) -> None:
    """What is written before and while the drainer runs arrives once, in order, and is gone."""
    bench.write_records(*numbered(20))
    bench.start(batch=7)
    bench.write_records(*numbered(300, start=20))
    bench.drain()
    assert bench.target.records == numbered(320)
    assert bench.journal.status == JournalStatus()
    assert bench.drained[-1] == 320
    assert bench.drained == sorted(bench.drained)
    assert bench.counts.snapshot() == {"drained": 320}


def test_a_drainer_wakes_at_once(bench: JournalBench) -> None:
    """A record that arrives while nothing waits does not wait for a poll."""
    bench.start()
    assert bench.drainer is not None
    assert bench.drainer.health.wait_opened(PATIENT)
    for at in range(20):
        begun = time.monotonic()
        bench.write(f"e{at}")
        bench.drain()
        assert time.monotonic() - begun < 1
    assert len(bench.target.batches) == 20


def test_an_idle_drainer_sleeps(bench: JournalBench) -> None:
    """With nothing to do the thread does not look again and again."""
    drainer = bench.start()
    assert drainer.health.wait_opened(PATIENT)
    used = time.process_time()
    time.sleep(0.1)
    assert time.process_time() - used < 0.05
    assert bench.target.attempts == 0


def test_records_gather_for_a_moment(bench: JournalBench) -> None:
    """What arrives within the gathering time goes together; a close does not wait for it."""
    drainer = bench.start(gather=60.0)
    assert drainer.health.wait_opened(PATIENT)
    for name in "abc":
        bench.write(name)
    begun = time.monotonic()
    assert drainer.close(PATIENT).records == 0
    assert time.monotonic() - begun < 5
    assert bench.target.names == ["a", "b", "c"]


def test_a_full_batch_does_not_gather(bench: JournalBench) -> None:
    """A backlog is drained without pauses, all but what does not fill a batch."""
    bench.write_records(*numbered(50))
    drainer = bench.start(gather=60.0, batch=10)
    assert drainer.drain(PATIENT)
    assert [len(batch) for batch in bench.target.batches] == [10] * 5


def test_batches_are_bounded_in_bytes(bench: JournalBench) -> None:
    """Large records go one by one, however many may go together."""
    bench.write("a", "b", "c", output_text="x" * 1000)
    bench.start(batch_bytes=1000)
    bench.drain()
    assert bench.target.batches == [["a"], ["b"], ["c"]]


def test_an_exchange_that_began_and_ended(bench: JournalBench) -> None:
    """Its open row is left out where the end is in the same batch; in order where it is not."""
    bench.write("e1", "e2", state="open")
    bench.write("e1")
    drainer = bench.start()
    bench.drain()
    assert bench.target.names == ["e2", "e1"]
    bench.write("e2")
    bench.drain()
    assert bench.target.names == ["e2", "e1", "e2"]
    assert drainer.status.records == 0
    assert bench.counts.get("drained") == 4


def test_an_open_row_of_a_killed_run(bench: JournalBench) -> None:
    """What a killed proxy left open is closed on its way, but not where its end waits behind."""
    bench.write("e1", "e2", state="open", recorder_id="dead")
    bench.write("between")
    bench.write("e2", state="interrupted", ended_by="client", recorder_id="dead")
    bench.start(batch=2, recorder_id="alive")
    bench.drain()
    told = [(one.exchange.exchange_id, one.exchange.ended_by) for one in bench.target.records]
    assert told == [("e1", "proxy_stopped"), ("e2", None), ("between", None), ("e2", "client")]


def test_a_close_drains_what_it_can(bench: JournalBench) -> None:
    """What waits at the end is drained, the target closed, the journal left to others."""
    bench.write_records(*numbered(30))
    drainer = bench.start(batch=4)
    assert drainer.close(PATIENT) == JournalStatus()
    assert len(bench.target.names) == 30
    assert bench.target.closed == 1
    assert drainer.close(PATIENT) == JournalStatus()


def test_a_close_that_comes_first(bench: JournalBench) -> None:
    """A run that ends at once still drains, as an import of a flow file needs it."""
    bench.write("a")
    drainer = bench.start()
    drainer.close(PATIENT)
    assert bench.target.names == ["a"]


def test_what_one_run_leaves_the_next_one_drains(
    bench: JournalBench, make_bench: MakeBench
) -> None:
    """Records of an earlier run are drained without anything new coming."""
    bench.write_records(*numbered(5))
    bench.close()
    again = make_bench()
    again.start()
    again.drain()
    assert again.target.records == numbered(5)


def test_the_target_hears_of_each_batch(bench: JournalBench) -> None:
    """The target may do what can wait after each batch."""
    bench.write("a", "b")
    bench.start(batch=1)
    bench.drain()
    bench.close()
    assert bench.target.after == 2


def test_health_is_that_of_the_target(bench: JournalBench) -> None:
    """Opening makes it ready, commits are counted."""
    drainer = bench.start()
    assert drainer.health.wait_opened(PATIENT)
    assert drainer.health.phase is Phase.READY
    bench.write("a")
    bench.drain()
    assert drainer.health.commits == 1


def test_into_a_real_database(bench: JournalBench, tmp_path: Any) -> None:
    """Late snapshots and repeated records change nothing in the end."""
    path = tmp_path / "responses.db"
    bench.write_records(
        record("e1", state="open"),
        record("e1", response("r1", "completed", asked=[])),
        record("e2", response("r1", "queued")),
    )
    bench.start(store_on(path), batch=1)
    bench.drain()
    bench.write_records(record("e1", state="open"))
    bench.drain()
    bench.close()
    with opened(path):
        states = rows(path, "SELECT exchange_id, state FROM openai_exchanges ORDER BY 1")
        (answer,) = rows(path, "SELECT response_object FROM openai_responses")
    assert states == [("e1", "completed"), ("e2", "completed")]
    assert "completed" in answer[0]
