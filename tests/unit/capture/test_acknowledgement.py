"""What an end waits for, for how long, and when nobody waits any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from response_store.capture.acknowledgement import LAG_BYTES, LAG_FRAMES, Acknowledgement
from response_store.capture.outbox import AckDependency
from response_store.diagnostics import Counters
from response_store.journal.receipts import Receipt
from tests.unit.capture.capturing import Progress, config_of

SOON = 0.01
BY_DATABASE = {"acknowledge": "database"}


class Waiting:
    """An acknowledgement whose receipts wait for what the test says."""

    def __init__(self, **settings: Any) -> None:
        self.progress = Progress()
        self.counters = Counters()
        self.dependencies: dict[Receipt, AckDependency] = {}
        self.acknowledgement = Acknowledgement(
            config_of(**settings),
            self.progress,
            self.counters,
            find_dependency=lambda receipt: self.dependencies.get(receipt, AckDependency.JOURNAL),
            clock=time.monotonic,
        )

    def receipt(self, dependency: AckDependency = AckDependency.JOURNAL, seq: int = 1) -> Receipt:
        """A receipt that is not settled."""
        receipt = Receipt(seq)
        self.dependencies[receipt] = dependency
        return receipt

    def of(self, *receipts: Receipt) -> Awaitable[None] | None:
        """What the end of an exchange with these receipts waits for."""
        pending = [receipt for receipt in receipts if not receipt.is_settled]
        return self.acknowledgement.of(pending, receipts[-1] if receipts else None)

    def commit(self, seq: int) -> None:
        """The ingester reports a commit."""
        self.progress.committed = seq
        self.acknowledgement.progressed()

    async def run_out(self, *receipts: Receipt) -> None:
        """Wait in vain."""
        waits = self.of(*receipts)
        assert waits is not None
        await waits


def settle(receipt: Receipt, *, lost: bool = False) -> None:
    """Settle a receipt, on the loop."""
    receipt.done, receipt.lost = not lost, lost
    receipt.call_back()


async def waits_for(awaitable: Awaitable[None] | None, happens: Callable[[], object]) -> None:
    """Check that something is awaited until something happens."""
    assert awaitable is not None
    task = asyncio.ensure_future(awaitable)
    await asyncio.sleep(SOON)
    assert not task.done()
    happens()
    await asyncio.wait_for(task, 1.0)


# What is awaited


def test_nothing_with_process() -> None:
    """What is in the journal when the append returns is not awaited at all."""
    waiting = Waiting()
    assert waiting.of(Receipt(1, done=True)) is None
    assert waiting.of() is None
    assert waiting.counters.snapshot() == {}


async def test_receipts() -> None:
    """An end waits for all that is not acknowledged."""
    waiting = Waiting(completion_wait_ms=5000)
    one, other = waiting.receipt(), waiting.receipt()
    awaitable = waiting.of(one, other)
    settle(one)
    await waits_for(awaitable, lambda: settle(other))
    assert waiting.counters.snapshot() == {}


async def test_a_receipt_that_is_lost() -> None:
    """What will never be acknowledged is not waited for any longer."""
    waiting = Waiting(completion_wait_ms=5000)
    receipt = waiting.receipt()
    await waits_for(waiting.of(receipt), lambda: settle(receipt, lost=True))


async def test_commits() -> None:
    """With `acknowledge: database` an end waits for the commit of its own frame as well."""
    waiting = Waiting(completion_wait_ms=5000, **BY_DATABASE)
    waiting.commit(3)
    receipt = waiting.receipt(seq=5)
    awaitable = waiting.of(receipt)
    settle(receipt)
    waiting.commit(4)
    await waits_for(awaitable, lambda: waiting.commit(5))
    awaitable = waiting.of(Receipt(9, done=True))
    await waits_for(awaitable, lambda: waiting.commit(20))


async def test_a_commit_that_was_there() -> None:
    """What is committed already is not waited for."""
    waiting = Waiting(completion_wait_ms=5000, **BY_DATABASE)
    waiting.commit(5)
    for receipt in (Receipt(5, done=True), Receipt(done=True)):
        awaitable = waiting.of(receipt)
        assert awaitable is not None
        await asyncio.wait_for(awaitable, 1.0)


async def test_many_wait_for_commits() -> None:
    """Each goes on with its own commit, whatever the order in which they came."""
    waiting = Waiting(completion_wait_ms=5000, **BY_DATABASE)
    tasks = {}
    for seq in (5, 2, 9, 2, 7):
        awaitable = waiting.of(Receipt(seq, done=True))
        assert awaitable is not None
        tasks[seq] = asyncio.ensure_future(awaitable)
    await asyncio.sleep(0)
    for committed in (1, 2, 6, 9):
        waiting.commit(committed)
        await asyncio.sleep(SOON)
        assert {seq for seq, task in tasks.items() if task.done()} == {
            seq for seq in tasks if seq <= committed
        }


async def test_a_database_that_is_away() -> None:
    """Commits are not waited for then: what came is in the journal."""
    waiting = Waiting(completion_wait_ms=5000, **BY_DATABASE)
    await waits_for(waiting.of(Receipt(5, done=True)), waiting.acknowledgement.release)
    waiting.progress.database_answers = False
    assert waiting.of(Receipt(6, done=True)) is None
    receipt = waiting.receipt(seq=7)
    await waits_for(waiting.of(receipt), lambda: settle(receipt))


async def test_it_goes_away_meanwhile() -> None:
    """Between the receipt and the commit the database may go away."""
    waiting = Waiting(completion_wait_ms=5000, **BY_DATABASE)
    receipt = waiting.receipt(seq=7)

    def go_on() -> None:
        waiting.progress.database_answers = False
        settle(receipt)

    await waits_for(waiting.of(receipt), go_on)


def test_no_waiting_is_configured() -> None:
    """`completion_wait_ms: 0` waits for nothing."""
    waiting = Waiting(completion_wait_ms=0, **BY_DATABASE)
    assert waiting.of(waiting.receipt()) is None


# Waits that run out

WAYS: Sequence[AckDependency] = [AckDependency.JOURNAL, AckDependency.INGESTER]


@pytest.mark.parametrize("dependency", WAYS)
async def test_it_runs_out(dependency: AckDependency) -> None:
    """A wait is bounded; after it nobody waits for the same until that is acknowledged."""
    waiting = Waiting(completion_wait_ms=10)
    slow = waiting.receipt(dependency)
    began = time.monotonic()
    await waiting.run_out(slow)
    assert 0.009 < time.monotonic() - began < 1.0
    assert waiting.counters.snapshot() == {"wait.ran_out": 1}
    assert waiting.of(waiting.receipt(dependency)) is None
    assert waiting.counters.snapshot() == {"wait.ran_out": 1, "wait.skipped": 1}
    settle(slow)
    receipt = waiting.receipt(dependency)
    awaitable = waiting.of(receipt)
    assert awaitable is not None
    settle(receipt)
    await awaitable
    assert waiting.counters.snapshot() == {"wait.ran_out": 1, "wait.skipped": 1}


@pytest.mark.parametrize("dependency", WAYS)
async def test_reports_are_no_progress(dependency: AckDependency) -> None:
    """That the ingester goes on to say how it is doing acknowledges nothing."""
    waiting = Waiting(completion_wait_ms=10)
    await waiting.run_out(waiting.receipt(dependency))
    waiting.acknowledgement.progressed()
    assert waiting.of(waiting.receipt(dependency)) is None


@pytest.mark.parametrize(("slow", "other"), [WAYS, WAYS[::-1]])
async def test_one_way_says_nothing_of_the_other(slow: AckDependency, other: AckDependency) -> None:
    """An ingester that is frozen leaves the disk's acknowledgements as they are."""
    waiting = Waiting(completion_wait_ms=10)
    await waiting.run_out(waiting.receipt(slow))
    receipt = waiting.receipt(other)
    awaitable = waiting.of(receipt)
    assert awaitable is not None
    settle(receipt)
    await awaitable
    assert waiting.of(waiting.receipt(other), waiting.receipt(slow)) is None


async def test_a_large_frame_takes_its_time() -> None:
    """One that takes too long says nothing of the next one."""
    waiting = Waiting(completion_wait_ms=10)
    await waiting.run_out(waiting.receipt(AckDependency.LARGE))
    for dependency in (AckDependency.LARGE, *WAYS):
        receipt = waiting.receipt(dependency)
        awaitable = waiting.of(receipt)
        assert awaitable is not None
        settle(receipt)
        await awaitable
    assert waiting.counters.snapshot() == {"wait.ran_out": 1}


async def test_commits_run_out() -> None:
    """After a commit that did not come only receipts are waited for, until one has come."""
    waiting = Waiting(completion_wait_ms=10, **BY_DATABASE)
    waiting.commit(1)
    await waiting.run_out(Receipt(5, done=True))
    assert waiting.of(Receipt(6, done=True)) is None
    waiting.acknowledgement.progressed()
    receipt = waiting.receipt(seq=7)
    awaitable = waiting.of(receipt)
    assert awaitable is not None
    settle(receipt)
    await awaitable
    assert waiting.counters.snapshot() == {"wait.ran_out": 1, "wait.skipped": 2}
    waiting.commit(5)
    awaitable = waiting.of(Receipt(8, done=True))
    waiting.commit(8)
    assert awaitable is not None
    await awaitable
    assert waiting.counters.snapshot() == {"wait.ran_out": 1, "wait.skipped": 2}


def test_a_journal_that_fails() -> None:
    """While it can't be written nobody waits for it."""
    waiting = Waiting()
    waiting.progress.is_failing = True
    assert waiting.of(waiting.receipt()) is None
    assert waiting.counters.snapshot() == {"wait.skipped": 1}
    waiting.progress.is_failing = False
    awaitable: Any = waiting.of(waiting.receipt())
    assert awaitable is not None
    awaitable.close()


# Room for flow files


@pytest.mark.parametrize("lag", [(0, 0), (LAG_FRAMES, LAG_BYTES)])
def test_there_is_room(lag: tuple[int, int]) -> None:
    """A reader that is not far ahead goes on at once."""
    waiting = Waiting()
    waiting.progress.lag = lag
    assert waiting.acknowledgement.room() is None


@pytest.mark.parametrize("lag", [(LAG_FRAMES + 1, 0), (1, LAG_BYTES + 1)])
async def test_there_is_no_room(lag: tuple[int, int]) -> None:
    """A reader that is far ahead waits until the database has come closer."""
    waiting = Waiting()
    waiting.progress.lag = lag

    def come_closer() -> None:
        waiting.progress.lag = (LAG_FRAMES, LAG_BYTES)

    await waits_for(waiting.acknowledgement.room(), come_closer)


async def test_a_reader_waits_as_long_as_there_is_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where nothing happens for a while it goes on; the journal keeps what comes."""
    monkeypatch.setattr("response_store.capture.acknowledgement._NO_PROGRESS", 0.1)
    waiting = Waiting()
    waiting.progress.lag = (2 * LAG_FRAMES, 0)
    task = asyncio.ensure_future(waiting.acknowledgement.room() or asyncio.sleep(0))
    for _ in range(8):
        await asyncio.sleep(0.05)
        waiting.progress.lag = (waiting.progress.lag[0] - 1, 0)
    assert not task.done()
    await asyncio.wait_for(task, 2.0)
