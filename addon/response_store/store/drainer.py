"""The drainer: one thread between the journal and the database.

It takes what the journal holds, in order and in batches, writes it to the target and removes it.
Killed in between, it writes the same records again, which changes nothing. A target that fails is
tried again after a growing pause; a row that the target refuses is buried, with the reason.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from response_store.counts import Counts
from response_store.errors import PassingStoreError, PermanentStoreError, StoreError
from response_store.faults import Faults
from response_store.store.backoff import Backoff
from response_store.store.base import Store
from response_store.store.delivery import Delivery, UnexpectedError
from response_store.store.health import Health, Phase
from response_store.store.journal.entry import Entry
from response_store.store.journal.level import JournalStatus
from response_store.store.journal.outlet import Outlet

_IDLE = 2.0  # seconds between looks whether the target, of which nothing is asked, is there
_INTERRUPT_SHARE = 0.1  # of the time for closing, kept for breaking off what hangs
_HOPELESS = 1.0  # seconds for closing where the target does not work as it is


@dataclass(frozen=True, slots=True)
class DrainLimits:
    """Bounds of one batch, and the seconds in which one gathers."""

    records: int = 200
    bytes: int = 8 * 1024 * 1024
    gather: float = 0.05


class Drainer:
    """Brings the journal's records to `target`, which its thread alone touches.

    `recorder_id` is that of this run: open rows of earlier ones are closed on their way.
    `on_drained` is called in the thread with the last sequence that is settled, `on_failed` when
    an attempt has failed; they must not block or raise.
    """

    def __init__(
        self,
        outlet: Outlet,
        target: Store,
        *,
        counts: Counts,
        faults: Faults,
        recorder_id: str | None = None,
        limits: DrainLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
        on_drained: Callable[[int], None] = lambda _: None,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._outlet = outlet
        self._target = target
        self._counts = counts
        self._faults = faults
        self._limits = limits or DrainLimits()
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._on_drained = on_drained
        self._on_failed = on_failed
        self._level = outlet.file.level
        self._stop = threading.Event()  # drain while that works, then end
        self._give_up = threading.Event()  # end now; what waits stays in the journal
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._most_records = self._limits.records
        self.health = Health(clock, "the database")
        self._delivery = Delivery(
            outlet, target, health=self.health, counts=counts, faults=faults,
            recorder_id=recorder_id, on_settled=self._settled,
        )  # fmt: skip

    # From any thread

    def start(self) -> None:
        """Start the thread, which opens the target first."""
        self._thread = threading.Thread(
            target=self._run, name="response-store-drainer", daemon=True
        )
        self._thread.start()

    @property
    def status(self) -> JournalStatus:
        """What waits, and what is dead."""
        return self._level.status

    def drain(self, seconds: float) -> bool:
        """Block until the journal is empty, at most `seconds`."""
        deadline = time.monotonic() + seconds
        if not self.health.wait_opened(seconds):  # till then nobody knows what it holds
            return False
        with self._changed:
            left = max(0.0, deadline - time.monotonic())
            return self._changed.wait_for(lambda: self.status.records == 0, left)

    def close(self, seconds: float) -> JournalStatus:
        """Drain while that works, at most `seconds` long, and end; return what stays behind.

        What stays is drained by the next run, which may come at once: a thread that hangs in the
        target gives the journal up. Idempotent.
        """
        self._stop.set()
        self._level.arrived.set()
        thread = self._thread
        if thread is not None:
            if not self.health.ready:
                seconds = min(seconds, _HOPELESS)
            thread.join(seconds * (1 - _INTERRUPT_SHARE))
            if thread.is_alive():
                self._give_up.set()
                self._target.interrupt()
                thread.join(seconds * _INTERRUPT_SHARE)
            if thread.is_alive():
                self._outlet.dismiss(seconds * _INTERRUPT_SHARE)
        return self.status

    # In the drainer's thread

    def _run(self) -> None:
        try:
            self.health.opening()
            while not self._is_over():
                if self._take_a_turn():
                    self._wait_for_more()
                else:
                    self._stop.wait(max(0.0, self._backoff.next_at - self._clock()))
        except BaseException as error:  # noqa: BLE001 - the thread must say why it ends
            self._faults.report("drainer", error)
            self.health.failed(StoreError("the drainer thread ended; restart the proxy"), False)
        finally:
            for close in (self._outlet.close, self._target.close):
                self._guarded("close", close)

    def _is_over(self) -> bool:
        """Whether to end: told to, and nothing is left to do or it does not work."""
        untried = self.health.phase is Phase.OPENING
        useful = untried or (self.health.ready and self.status.records)
        return self._give_up.is_set() or (self._stop.is_set() and not useful)

    def _take_a_turn(self) -> bool:
        """Open what is not open and deliver a batch; return whether that worked."""
        try:
            self._outlet.open()
            self._open_target()
            self._deliver_some()
        except StoreError as error:
            self._note_failure(error)
            return False
        except Exception as error:  # noqa: BLE001 - the next attempt may succeed
            self._faults.report("drainer", error)
            self._note_failure(PassingStoreError(f"draining failed ({type(error).__name__})"))
            return False
        self._backoff.succeeded()
        self.health.opened()
        return True

    def _deliver_some(self) -> None:
        """Deliver the oldest entries; fewer after a failure, as a line may be slow, then more."""
        most = self._most_records
        entries = self._outlet.take(most, self._limits.bytes)
        try:
            self._delivery.deliver(entries, self._give_up.is_set)
        except UnexpectedError:
            raise
        except StoreError:
            self._most_records = max(1, len(entries) // 2)
            raise
        self._most_records = min(2 * most, self._limits.records)

    def _open_target(self) -> None:
        self.health.busy()  # where the target is far it takes its time, and nothing is drained
        try:
            self._target.open()
        finally:
            self.health.idle()

    def _wait_for_more(self) -> None:
        """Sleep until something has arrived, and a moment longer, so that more comes along.

        At most `_IDLE`: then the target is opened again, if need be.
        """
        arrived = self._level.arrived
        while self._has_time():
            self._outlet.rest()
            arrived.clear()
            # Looked at again: it may have arrived before the clearing.
            if self._has_time() and not arrived.wait(_IDLE):
                return
        if self.status.records < self._limits.records:
            self._stop.wait(self._limits.gather)

    def _has_time(self) -> bool:
        return not self.status.records and not self._stop.is_set()

    def _settled(self, last: Entry) -> None:
        self._guarded("on_drained", lambda: self._on_drained(last.sequence))
        with self._changed:
            self._changed.notify_all()

    def _note_failure(self, error: StoreError) -> None:
        pause = self._backoff.failed(self._clock())
        self._counts.add("drain.failed")
        passing = not isinstance(error, PermanentStoreError)
        self.health.failed(error, passing, self._clock() + pause)
        self._guarded("on_failed", self._on_failed)

    def _guarded(self, where: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the next batch may not suffer
            with contextlib.suppress(Exception):
                self._faults.report(where, error)
