"""A target that fails: nothing is lost, nothing blocks for good, and the numbers say how it is."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest

from response_store.errors import PassingStoreError, PermanentStoreError
from response_store.store.health import Phase
from response_store.store.journal.reading import JournalReading
from tests.harness.records import numbered, record
from tests.unit.journal.bench import JournalBench
from tests.unit.store.files import script
from tests.unit.store.scripted import LOCKED, NEVER, PATIENT

DENIED = PermanentStoreError("password refused")


def failures(bench: JournalBench, at_least: int) -> None:
    """Wait until so many attempts have failed."""
    deadline = time.monotonic() + PATIENT
    while bench.counts.get("drain.failed") < at_least:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(("error", "phase"), [(LOCKED, Phase.WAITING), (DENIED, Phase.FAILED)])
def test_away_and_back(bench: JournalBench, caplog: Any, error: Any, phase: Phase) -> None:
    """What is written during an outage arrives after it, in order; two lines tell of it."""
    caplog.set_level(logging.INFO)
    drainer = bench.start()
    bench.write("before")
    bench.drain()
    bench.target.down = error
    bench.write_records(*numbered(10))
    failures(bench, 3)
    bench.write_records(*numbered(10, start=10))
    assert drainer.health.phase is phase
    assert (drainer.health.error, bench.journal.status.records) == (error, 20)
    assert not drainer.drain(0.01)
    bench.target.down = None
    bench.drain()
    bench.close()
    assert bench.target.records == [record("before"), *numbered(20)]
    assert len(caplog.messages) == 2
    assert "back" in caplog.messages[1]


def test_a_target_that_opens_late(bench: JournalBench) -> None:
    """Opening is tried again by itself, also while nothing waits."""
    bench.target.openings.extend([LOCKED, DENIED, LOCKED])
    drainer = bench.start()
    failures(bench, 3)
    bench.write("a")
    bench.drain()
    assert drainer.health.ready
    assert bench.counts.get("drain.failed") == 3


def test_a_first_failure_is_known_at_once(bench: JournalBench) -> None:
    """Whoever waits for the opening is told that it failed, and why."""
    bench.target.openings.append(DENIED)
    drainer = bench.start(pause=NEVER)
    assert drainer.health.wait_opened(PATIENT)
    assert (drainer.health.phase, drainer.health.error) == (Phase.FAILED, DENIED)


def test_pauses_follow_the_clock_that_is_given(bench: JournalBench) -> None:
    """`retry_in` and the pause are of the drainer's clock."""
    bench.target.openings.append(LOCKED)
    drainer = bench.start(pause=NEVER, clock=lambda: 5.0)
    assert drainer.health.wait_opened(PATIENT)
    assert drainer.health.retry_at == 5.0 + NEVER
    assert drainer.health.retry_in() == NEVER


def test_a_close_does_not_wait_for_a_target_that_is_away(bench: JournalBench) -> None:
    """What waits stays in the journal; the end comes at once."""
    bench.target.down = LOCKED
    bench.write("a")
    drainer = bench.start(pause=NEVER)
    assert drainer.health.wait_opened(PATIENT)
    begun = time.monotonic()
    assert drainer.close(PATIENT).records == 1
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("deaf", [False, True])
def test_a_target_that_hangs(bench: JournalBench, deaf: bool) -> None:
    """Writing to the journal goes on; a close keeps its deadline; nothing is lost."""
    bench.target.deaf = deaf
    bench.target.hang()
    drainer = bench.start()
    bench.write("a")
    assert bench.target.at_work.wait(PATIENT)
    bench.write("b")
    assert bench.journal.status.records == 2
    assert drainer.health.busy_since is not None
    begun = time.monotonic()
    assert drainer.close(0.3).records == 2
    assert time.monotonic() - begun < 1


@pytest.mark.parametrize("place", [0, 1, 7, 63])
def test_a_bad_row_is_buried(bench: JournalBench, caplog: Any, place: int) -> None:
    """A row that is refused goes to the dead letters; its batch goes in, in order."""
    bench.target.refused = {f"e{place}"}
    bench.write_records(*numbered(64))
    drainer = bench.start()
    bench.drain()
    assert bench.target.records == [*numbered(place), *numbered(63 - place, start=place + 1)]
    assert bench.target.attempts < 20, "a batch is halved, not written row by row"
    assert (drainer.status.records, drainer.status.dead_letters) == (0, 1)
    assert bench.counts.snapshot() == {"dead_letters": 1, "drained": 63}
    assert bench.drained[-1] == 64
    with JournalReading(bench.path) as reading:
        (dead,) = reading.dead_letters()
    assert (dead.exchange_id, dead.reason) == (f"e{place}", "a row breaks a rule")
    assert len([line for line in caplog.messages if "dead letters" in line]) == 1


def test_only_bad_rows(bench: JournalBench) -> None:
    """A batch of nothing but bad rows leaves a drainer that works."""
    bench.target.refused = set("abc")
    bench.write(*"abc")
    drainer = bench.start()
    bench.drain()
    bench.write("d")
    bench.drain()
    assert (bench.target.names, drainer.status.dead_letters) == (["d"], 3)
    assert drainer.health.ready
    assert drainer.health.busy_since is None


def test_the_end_of_an_exchange_is_refused(bench: JournalBench) -> None:
    """Where the end is a bad row, the open row is written after all."""
    bench.write_records(record("e1", state="open"), record("e2"), record("e1", host="bad"))

    def write(records: Any, plain: Any = bench.target.write) -> None:
        bench.target.refused = (
            {"e1"} if any(one.exchange.host == "bad" for one in records) else set()
        )
        plain(records)

    bench.target.write = write  # type: ignore[method-assign]
    bench.start()
    bench.drain()
    assert [(one.exchange.exchange_id, one.exchange.state) for one in bench.target.records] == [
        ("e1", "open"), ("e2", "completed"),
    ]  # fmt: skip
    assert bench.counts.get("dead_letters") == 1


def test_a_failure_between_the_halves_repeats_nothing(bench: JournalBench) -> None:
    """Where the target fails after half of a split batch, that half is not written again."""
    bench.target.refused = {"d"}
    bench.target.script.extend([None, None, LOCKED])
    bench.write(*"abcd")
    drainer = bench.start()
    bench.drain()
    assert bench.target.names == ["a", "b", "c"]
    assert drainer.status.dead_letters == 1


@pytest.mark.parametrize("damage", ["payload = x'c1'", "payload = x''", "kind = 'other'"])
def test_an_entry_that_can_not_be_read_is_buried(bench: JournalBench, damage: str) -> None:
    """Damage to a payload, or a kind that nobody knows, does not block what stands around it."""
    bench.write(*"abc")
    script(bench.path, f"UPDATE waiting SET {damage} WHERE exchange_id = 'b'")
    drainer = bench.start()
    bench.drain()
    assert bench.target.names == ["a", "c"]
    assert (drainer.status.records, drainer.status.dead_letters) == (0, 1)


def test_an_error_that_nobody_thought_of_passes(bench: JournalBench) -> None:
    """An unexpected exception that goes away costs no row."""
    bench.target.script.extend([TypeError()] * 9)
    bench.write(*"abcd")
    drainer = bench.start()
    bench.drain()
    assert bench.target.names == ["a", "b", "c", "d"]
    assert drainer.status.dead_letters == 0
    assert bench.counts.get("fault.drain") == 9


def test_an_error_that_nobody_thought_of_stays(bench: JournalBench) -> None:
    """A row that fails unexpectedly time and again is buried in the end."""

    def write(records: Any, plain: Any = bench.target.write) -> None:
        if any(one.exchange.exchange_id == "b" for one in records):
            raise ValueError
        plain(records)

    bench.target.write = write  # type: ignore[method-assign]
    bench.write(*"abc")
    drainer = bench.start()
    bench.drain()
    assert (bench.target.names, drainer.status.dead_letters) == (["a", "c"], 1)


def test_a_journal_that_is_locked_for_a_while(
    bench: JournalBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written but could not be removed is written again, and nothing is lost."""
    bench.write("a")
    removed, failed = bench.outlet.remove, threading.Event()

    def remove(entries: Any) -> None:
        if not failed.is_set():
            failed.set()
            raise PassingStoreError("locked")
        removed(entries)

    monkeypatch.setattr(bench.outlet, "remove", remove)
    bench.start()
    bench.drain()
    assert bench.target.names == ["a", "a"]


def test_a_thread_that_dies_says_so(bench: JournalBench) -> None:
    """Whatever ends the thread, the health tells it, and the journal keeps what it has."""
    bench.target.down = SystemExit()
    bench.write("a")
    drainer = bench.start()
    thread = drainer._thread
    assert thread is not None
    thread.join(PATIENT)
    assert drainer.health.phase is Phase.FAILED
    assert bench.target.closed == 1
    assert drainer.close(1).records == 1


def test_callbacks_that_fail_harm_nothing(bench: JournalBench) -> None:
    """Those who listen may be wrong; draining goes on, and the fault is counted."""

    def broken() -> None:
        raise ValueError

    bench.target.script.append(LOCKED)
    bench.write("a")
    bench.start(on_failed=broken)
    bench.drain()
    assert bench.target.names == ["a"]
    assert bench.counts.get("fault.on_failed") == 1
