"""Receipts: settled once, from any thread; callbacks in the loop's thread, each once."""

from __future__ import annotations

import threading
import time

from response_store.journal.receipts import Receipt, Receipts
from tests.unit.journal.making import EventLoop


def test_a_callback_comes_with_the_loop() -> None:
    """Not in the thread that settles."""
    loop = EventLoop()
    receipt, called = Receipt(1), []
    receipt.add_done_callback(called.append)
    Receipts(loop.soon.append).settle([receipt])
    assert receipt.done
    assert called == []
    loop.run()
    loop.run()
    assert called == [receipt]


def test_a_callback_of_what_is_settled_comes_at_once() -> None:
    """Nobody waits for a loop to turn."""
    receipt, called = Receipt(1, True), []
    receipt.add_done_callback(called.append)
    assert called == [receipt]


def test_a_callback_that_is_added_between_comes_once() -> None:
    """Settled, not yet called back, and another one is added."""
    loop = EventLoop()
    receipt, called = Receipt(1), []
    receipt.add_done_callback(lambda _: called.append("first"))
    Receipts(loop.soon.append).settle([receipt])
    receipt.add_done_callback(lambda _: called.append("second"))
    loop.run()
    assert called == ["first", "second"]


def test_callbacks_of_lost_frames_come_too() -> None:
    """They see that it is lost."""
    loop = EventLoop()
    receipt, lost = Receipt(), []
    receipt.add_done_callback(lambda r: lost.append(r.lost and not r.done))
    Receipts(loop.soon.append).settle([receipt], lost=True)
    loop.run()
    assert lost == [True]


def test_a_closed_loop_is_no_error() -> None:
    """`call_soon_threadsafe` of a closed loop raises; nobody waits any more."""

    def closed(function) -> None:
        raise RuntimeError("Event loop is closed")

    receipt = Receipt(1)
    receipt.add_done_callback(lambda _: None)
    Receipts(closed).settle([receipt])
    assert receipt.done


def test_waiting_ends_with_the_last() -> None:
    """Another thread settles two, a moment apart."""
    receipts, first, second = Receipts(lambda _: None), Receipt(1), Receipt(2)

    def settle() -> None:
        time.sleep(0.02)
        receipts.settle([first])
        time.sleep(0.02)
        receipts.settle([second])

    thread = threading.Thread(target=settle)
    thread.start()
    began = time.monotonic()
    assert receipts.wait([first, second], 10.0)
    assert 0.03 < time.monotonic() - began < 5.0
    thread.join()


def test_waiting_is_bounded() -> None:
    """False, once the time is over."""
    began = time.monotonic()
    assert not Receipts(lambda _: None).wait([Receipt(1)], 0.02)
    assert 0.015 < time.monotonic() - began < 5.0


def test_nobody_waits_for_what_only_this_thread_writes() -> None:
    """A frame in the backlog has no seq: waiting would block who has to write it."""
    assert not Receipts(lambda _: None).wait([Receipt(), Receipt(1)], 60.0)


def test_a_lost_one_ends_the_waiting() -> None:
    """False at once."""
    receipts, receipt = Receipts(lambda _: None), Receipt(1)
    receipts.settle([receipt], lost=True)
    assert not receipts.wait([receipt], 60.0)
    assert receipts.wait([], 60.0)
