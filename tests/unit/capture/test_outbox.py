"""Frames on their way: in order within an exchange, and never held up by those of another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import pytest

from response_store.capture.outbox import AckDependency, Chain, Job, Outbox, OutgoingFrame
from response_store.diagnostics import Counters, ErrorReporter
from response_store.journal.frames import FrameKind
from response_store.journal.receipts import Receipt
from tests.harness.work import at_most
from tests.unit.capture.borders import FakeLoop, RecordingIngester, RecordingJournal

SOON = 0.02
LONG = 5.0


class Sending:
    """An outbox between recording borders."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.journal = RecordingJournal(self.loop)
        self.ingester = RecordingIngester()
        self.counters = Counters()
        self.outbox = Outbox(
            self.journal,  # type: ignore[arg-type]
            self.ingester,
            loop=self.loop,  # type: ignore[arg-type]
            errors=ErrorReporter(self.counters),
            counters=self.counters,
        )

    def settle(self) -> None:
        """Wait until the worker has nothing to do."""
        self.loop.run_until(lambda: not self.outbox.at_work)

    @property
    def sent(self) -> list[bytes]:
        """The bodies of the frames in the journal."""
        return [frame.body for frame in self.journal.frames]


def frame(body: bytes, *, private: bool = False, key: int = 1) -> OutgoingFrame:
    """A frame with a body."""
    return OutgoingFrame(FrameKind.PART, key, b"", [body], private)


def making(body: bytes, gate: threading.Event | None = None, **how: bool) -> Job:
    """A job that makes a frame, once a gate is open."""

    def make() -> OutgoingFrame:
        if gate is not None:
            assert gate.wait(LONG)
        return frame(body, **how)

    return make


def after(seconds: float, function: Callable[[], None]) -> None:
    """Have another thread do something soon."""
    threading.Timer(seconds, function).start()


# Sending


def test_clean_frames_go_to_the_journal() -> None:
    """They are acknowledged as the journal says, and the ingester is woken."""
    sending = Sending()
    receipt = sending.outbox.send(frame(b"clean"))
    assert (receipt.seq, receipt.done) == (1, True)
    assert (sending.sent, sending.ingester.frames, sending.ingester.wakes) == ([b"clean"], [], 1)


def test_private_frames_go_to_the_ingester() -> None:
    """They get their place among the others, and never come near the journal."""
    sending = Sending()
    sending.outbox.send(frame(b"one"))
    receipt = sending.outbox.send(frame(b"two", private=True))
    sending.outbox.send(frame(b"three"))
    assert (receipt.seq, receipt.done) == (2, False)
    assert [one.seq for one in sending.journal.frames] == [1, 3]
    assert [(one.seq, one.body) for one in sending.ingester.frames] == [(2, b"two")]
    sending.ingester.accept()
    assert receipt.done


def test_the_ingester_is_woken_again() -> None:
    """It looks once more when a frame has got into a file that was not in one at first."""
    sending = Sending()
    sending.journal.settles = False
    sending.outbox.send(frame(b"small"))
    sending.journal.settle()
    sending.loop.run_soon()
    assert sending.ingester.wakes == 1
    sending.journal.outstanding = [2]
    sending.outbox.send(frame(b"large"))
    assert sending.ingester.wakes == 2
    sending.journal.settle()
    sending.loop.run_soon()
    assert sending.ingester.wakes == 3


# Order


def test_order_around_a_large_frame() -> None:
    """What follows of the same exchange waits behind it; what belongs to others does not."""
    sending, gate, chain, other = Sending(), threading.Event(), Chain(), Chain()
    sending.outbox.put(chain, making(b"a1"), large=False)
    receipts = [
        sending.outbox.put(chain, making(b"a2", gate), large=True),
        sending.outbox.put(chain, making(b"a3"), large=False),
        sending.outbox.put(chain, making(b"a4", private=True), large=True),
        sending.outbox.put(chain, making(b"a5"), large=False),
    ]
    sending.outbox.put(other, making(b"b1"), large=False)
    sending.outbox.send(frame(b"c1"))
    assert sending.sent == [b"a1", b"b1", b"c1"]
    assert not any(receipt.is_settled for receipt in receipts)
    gate.set()
    sending.settle()
    sending.ingester.accept()
    everything = sorted([*sending.journal.frames, *sending.ingester.frames])
    assert [one.body for one in everything] == [b"a1", b"b1", b"c1", b"a2", b"a3", b"a4", b"a5"]
    assert all(receipt.done for receipt in receipts)
    assert [receipt.seq for receipt in receipts] == [4, 5, 6, 7]


def test_large_frames_of_many_exchanges() -> None:
    """Each keeps its order, however their large frames mix."""
    sending = Sending()
    chains = [Chain() for _ in range(5)]
    for number in range(10):
        for at, chain in enumerate(chains):
            large = (number + at) % 3 == 0
            sending.outbox.put(chain, making(b"%d %d" % (at, number)), large=large)
    sending.settle()
    for at in range(5):
        mine = [body for body in sending.sent if body.startswith(b"%d " % at)]
        assert mine == [b"%d %d" % (at, number) for number in range(10)]


def test_large_frames_are_made_by_a_worker() -> None:
    """Making takes another thread, appending the loop's."""
    sending, threads = Sending(), []

    def make() -> OutgoingFrame:
        threads.append(threading.get_ident())
        return frame(b"x")

    sending.outbox.put(Chain(), make, large=True)
    sending.outbox.put(Chain(), make, large=False)
    sending.settle()
    assert threading.get_ident() in threads
    assert len(set(threads)) == 2
    assert sending.journal.threads == {threading.get_ident()}


# What goes wrong


def fail() -> OutgoingFrame:
    raise ValueError("c4n4ry")


@pytest.mark.parametrize("large", [True, False])
def test_a_frame_that_can_not_be_made(large: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and said once, without a value; what follows goes on."""
    sending, chain = Sending(), Chain()
    with caplog.at_level(logging.DEBUG):
        failed = sending.outbox.put(chain, fail, large=large)
        then = sending.outbox.put(chain, making(b"then"), large=False)
        sending.settle()
    assert failed.is_settled
    assert (then.done, sending.sent) == (True, [b"then"])
    assert sending.counters.get("fault.frame") == 1
    assert "c4n4ry" not in caplog.text


@pytest.mark.parametrize("large", [True, False])
def test_a_frame_that_can_not_be_sent(large: bool) -> None:
    """An error of the journal's own does not hold up what follows either."""
    sending, chain = Sending(), Chain()
    append, calls = sending.journal.append, []

    def append_later(*args: object, **how: object) -> Receipt:
        calls.append(args)
        if len(calls) == 1:
            raise ValueError("a head that is too large")
        return append(*args, **how)  # type: ignore[arg-type]

    sending.journal.append = append_later  # type: ignore[method-assign]
    failed = sending.outbox.put(chain, making(b"first"), large=large)
    then = sending.outbox.put(chain, making(b"then"), large=large)
    sending.settle()
    assert failed.is_settled
    assert (then.done, sending.sent) == (True, [b"then"])
    assert sending.counters.get("fault.frame") == 1


def test_nothing_to_write() -> None:
    """A job may find that nothing is to be written; whoever waits for that need not."""
    sending, chain = Sending(), Chain()
    receipt = sending.outbox.put(chain, lambda: None, large=True)
    sending.settle()
    assert (receipt.done, sending.sent) == (True, [])


def test_a_frame_that_is_lost() -> None:
    """What was promised is lost with what was sent for it."""
    sending, chain = Sending(), Chain()
    sending.journal.settles = False
    receipt = sending.outbox.put(chain, making(b"x"), large=True)
    sending.settle()
    sending.journal.settle(lost=True)
    sending.loop.run_soon()
    assert (receipt.lost, receipt.done) == (True, False)


# Waiting


def timed(function: Callable[[], bool]) -> tuple[bool, float]:
    """What a function returns, and the seconds that it takes."""
    began = time.monotonic()
    return function(), time.monotonic() - began


def test_waiting_for_nothing() -> None:
    """What is settled is not waited for."""
    sending = Sending()
    assert sending.outbox.wait([], LONG)
    assert sending.outbox.wait([sending.outbox.send(frame(b"x"))], LONG)
    assert sending.journal.waits == []


def test_waiting_for_the_disk() -> None:
    """The sync of another thread ends the wait."""
    sending = Sending()
    sending.journal.settles = False
    receipt = sending.outbox.send(frame(b"x"))
    after(SOON, sending.journal.settle)
    waited, seconds = timed(lambda: sending.outbox.wait([receipt], LONG))
    assert waited
    assert seconds < LONG / 2


def test_waiting_for_the_ingester() -> None:
    """Its messages are read while the loop is held."""
    sending = Sending()
    receipt = sending.outbox.send(frame(b"x", private=True))
    assert sending.outbox.wait([receipt], LONG)
    assert (receipt.done, sending.ingester.pumps) == (True, 1)


def test_waiting_for_a_large_frame() -> None:
    """What the worker makes is sent by whoever waits, as the loop can't do it."""
    sending, gate, chain = Sending(), threading.Event(), Chain()
    receipt = sending.outbox.put(chain, making(b"x", gate), large=True)
    then = sending.outbox.put(chain, making(b"y", private=True), large=True)
    after(SOON, gate.set)
    assert sending.outbox.wait([receipt, then], LONG)
    assert (receipt.done, then.done, sending.sent) == (True, True, [b"x"])


def test_waiting_for_a_large_frame_on_the_disk() -> None:
    """What another thread settles counts at once, though the loop can call nobody back."""
    sending, chain = Sending(), Chain()
    sending.journal.settles = False
    receipt = sending.outbox.put(chain, making(b"x"), large=True)
    sending.settle()
    after(SOON, sending.journal.settle)
    waited, seconds = timed(lambda: sending.outbox.wait([receipt], LONG))
    assert waited
    assert receipt.done
    assert seconds < LONG / 2
    sending.loop.run_soon()
    assert receipt.seq == 1


def test_waiting_for_all_of_them() -> None:
    """Frames on every way are waited for together."""
    sending, gate = Sending(), threading.Event()
    sending.journal.settles = False
    receipts = [
        sending.outbox.send(frame(b"disk")),
        sending.outbox.send(frame(b"ingester", private=True)),
        sending.outbox.put(Chain(), making(b"large", gate), large=True),
    ]
    after(SOON, gate.set)
    for delay in (SOON, 3 * SOON, 20 * SOON):
        after(delay, sending.journal.settle)
    assert sending.outbox.wait(receipts, LONG)
    assert all(receipt.done for receipt in receipts)


@pytest.mark.parametrize("what", ["disk", "ingester", "no ingester", "worker", "memory"])
def test_waiting_is_bounded(what: str) -> None:
    """Whatever does not come, the wait ends in time, and does not use up a processor."""
    sending, gate = Sending(), threading.Event()
    sending.journal.settles = sending.ingester.accepts = False
    sending.ingester.is_there = what != "no ingester"
    if what == "worker":
        receipt = sending.outbox.put(Chain(), making(b"x", gate), large=True)
    elif what == "memory":
        receipt = Receipt()  # of a frame for which the journal has no room
    else:
        receipt = sending.outbox.send(frame(b"x", private=what != "disk"))
    with at_most(0.05):
        waited, seconds = timed(lambda: sending.outbox.wait([receipt], 0.3))
    assert not waited
    assert 0.29 < seconds < 2.0
    gate.set()
    sending.settle()


def test_what_a_receipt_waits_for() -> None:
    """The worker and the thread of large frames, the ingester, or the disk."""
    sending, gate = Sending(), threading.Event()
    sending.journal.settles = False
    find_dependency = sending.outbox.find_dependency
    assert find_dependency(sending.outbox.send(frame(b"x"))) is AckDependency.JOURNAL
    assert find_dependency(sending.outbox.send(frame(b"x", private=True))) is AckDependency.INGESTER
    large = sending.outbox.put(Chain(), making(b"x", gate), large=True)
    assert find_dependency(large) is AckDependency.LARGE
    sending.journal.outstanding = [3]
    gate.set()
    sending.settle()
    assert large.seq == 3
    assert find_dependency(large) is AckDependency.LARGE


# Closing


def test_closing_sends_all_that_waits() -> None:
    """Large frames behind one another are all sent, though the loop does not run."""
    sending, chain = Sending(), Chain()
    for number in range(5):
        sending.outbox.put(chain, making(b"%d" % number), large=number % 2 == 0)
    sending.outbox.close(LONG)
    assert sending.sent == [b"0", b"1", b"2", b"3", b"4"]
    assert sending.outbox.at_work == 0
    sending.outbox.close(LONG)


def test_closing_is_bounded() -> None:
    """A frame that takes too long is not waited for; it goes when it is made."""
    sending, gate = Sending(), threading.Event()
    receipt = sending.outbox.put(Chain(), making(b"x", gate), large=True)
    began = time.monotonic()
    sending.outbox.close(SOON)
    assert time.monotonic() - began < LONG / 2
    assert sending.outbox.at_work == 1
    gate.set()
    sending.settle()
    assert receipt.done


def test_traffic_goes_on_after_closing() -> None:
    """What comes later is made and sent all the same."""
    sending, chain = Sending(), Chain()
    sending.outbox.put(chain, making(b"1"), large=True)
    sending.outbox.close(LONG)
    sending.outbox.put(chain, making(b"2"), large=True)
    sending.settle()
    assert sending.sent == [b"1", b"2"]
    sending.outbox.close(LONG)


def test_a_loop_that_has_ended() -> None:
    """The worker does not mind; `close` takes what it has made."""
    sending = Sending()

    def refuse(function: Callable[[], object]) -> None:
        raise RuntimeError("Event loop is closed")

    sending.loop.call_soon_threadsafe = refuse  # type: ignore[method-assign]
    sending.outbox.put(Chain(), making(b"1"), large=True)
    sending.outbox.put(Chain(), making(b"2"), large=True)
    sending.outbox.close(LONG)
    assert sending.sent == [b"1", b"2"]
