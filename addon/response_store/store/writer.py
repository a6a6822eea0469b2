"""The writer: one thread between the event loop and a store.

What waits is written together, in one transaction, and nothing waits for a timer: while one batch
is committed the next one gathers. The queue is bounded in records and bytes; what does not fit is
dropped and counted. A batch that fails stays at the front and is tried again after a pause.

Handing over is safe from any thread. The thread alone touches the store. Whatever happens, every
ticket ends: written, skipped or dropped; and whoever waits for one is woken at the first failure.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from response_store.counts import Counts
from response_store.errors import PermanentStoreError, RowRefusedError, StoreError
from response_store.faults import Faults
from response_store.store.backoff import Backoff
from response_store.store.base import Store
from response_store.store.health import Health, Phase
from response_store.store.intake import Intake, Limits, Queue, Summary
from response_store.store.patience import Patience
from response_store.store.records import Change, Record
from response_store.store.ticket import Fate, Ticket

logger = logging.getLogger(__name__)
_CLOSING_PAUSE = 0.25  # seconds between attempts while closing, at most
_AFTER_FAULT = 0.01  # seconds: an error that comes back at once must not keep a core busy
_INTERRUPT_SHARE = 0.1  # of the time for closing, kept for breaking off what hangs


class Payload(Protocol):
    """Something that a record is built from. `size` is the bytes that it holds."""

    @property
    def size(self) -> int: ...


P = TypeVar("P", bound=Payload)


class Writer(Generic[P]):
    """Takes payloads, builds their records and commits them, in order.

    `build` runs in the writer's thread and gives a change, or the reason for making none.
    `on_settled` is called there with the tickets of each batch; it must not block or raise.
    """

    def __init__(
        self,
        store: Store,
        build: Callable[[P], Change | str],
        *,
        counts: Counts,
        faults: Faults,
        limits: Limits | None = None,
        on_settled: Callable[[list[Ticket[P]]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        self._store = store
        self._build = build
        self._counts = counts
        self._faults = faults
        self._on_settled = on_settled
        self._clock = clock
        self._backoff = backoff or Backoff()
        self._intake: Intake[P] = Intake(limits or Limits())
        self._refusals: set[str] = set()
        self._stop = threading.Event()  # take nothing more, write what waits
        self._give_up = threading.Event()  # leave what waits
        self._thread: threading.Thread | None = None
        self.health = Health(clock)
        self.patience = Patience()  # of waits that block
        self.async_patience = Patience()

    # From any thread

    def start(self) -> None:
        """Start the thread, which opens the store first."""
        self._thread = threading.Thread(target=self._run, name="response-store-writer", daemon=True)
        self._thread.start()

    def submit(self, payload: P, future: Any = None, sync: bool = False) -> Ticket[P]:
        """Hand a payload over. Returns at once; the ticket tells what became of it."""
        ticket = Ticket(payload, payload.size, future, threading.Lock() if sync else None)
        refusal = self._intake.put(ticket)
        if refusal is not None:
            self._counts.add(refusal)
            ticket.release()
        return ticket

    def wait(self, ticket: Ticket[P], seconds: float) -> bool:
        """Block until a ticket of a `sync` submit has settled, at most `seconds`.

        After one wait that ran out there is none until a commit has succeeded.
        """
        if ticket.fate is not Fate.PENDING:
            return True
        if not self.health.ready or not self.patience.left(self.health.commits):
            self._counts.add("wait.skipped")
            return False
        commits = self.health.commits
        if ticket.wait(seconds):
            return True
        self.patience.ran_out(commits)
        self._counts.add("wait.ran_out")
        return False

    def drain(self, seconds: float) -> bool:
        """Block until all that was submitted so far has settled, at most `seconds`."""
        return self._intake.wait_settled(seconds)

    def close(self, seconds: float) -> Summary:
        """Write what waits, at most `seconds` long, and end the thread. Idempotent."""
        self._intake.end()
        self._stop.set()
        if self._thread is not None:
            self._end_thread(self._thread, seconds)
        # A hung commit may still succeed, so its tickets stay as they are; their waiters may not.
        self._release([t for t in self._intake.at_work if t.fate is Fate.PENDING])
        self._leave_the_rest()
        return self._intake.summary()

    @property
    def queue(self) -> Queue:
        """What waits to be written, the batch at work included."""
        return self._intake.queue

    def _end_thread(self, thread: threading.Thread, seconds: float) -> None:
        """Join the thread; where it hangs, have it give up and break off what runs."""
        thread.join(seconds * (1 - _INTERRUPT_SHARE))
        if thread.is_alive():
            self._give_up.set()
            self._store.interrupt()
            thread.join(seconds * _INTERRUPT_SHARE)

    def _leave_the_rest(self) -> None:
        """Drop what nobody will write any more, and wake whoever waits for it."""
        rest = self._intake.leave()
        if rest:
            self._counts.add("dropped.stopped", len(rest))
            self._release(rest)

    # In the writer's thread

    def _run(self) -> None:
        try:
            self._open_until_done()
            more = True
            while more:
                with contextlib.suppress(Exception):  # what a turn could not even report
                    more = self._take_a_turn()
        except BaseException as error:  # noqa: BLE001 - the thread must say why it ends
            self._faults.report("writer", error)
            self.health.failed(StoreError("the writer thread ended; restart the proxy"), False)
        finally:
            self._end()

    def _take_a_turn(self) -> bool:
        """Take a batch and see it through; False when all is done.

        An error of its own costs this batch at most: its tickets end, and the thread goes on.
        """
        try:
            batch = self._intake.take()
            if batch is not None:
                self._process(batch)
            return batch is not None
        except Exception as error:  # noqa: BLE001 - the next batch may be fine
            self._faults.report("writer", error)
            with contextlib.suppress(Exception):
                self._leave_batch(self._intake.at_work)
            self._stop.wait(_AFTER_FAULT)
            return True

    def _end(self) -> None:
        self._intake.end()
        self._stop.set()
        self._leave_batch(self._intake.at_work)
        self._leave_the_rest()
        try:
            self._store.close()
        except Exception as error:  # noqa: BLE001 - there is nobody left to tell but the log
            self._faults.report("close", error)

    def _process(self, batch: list[Ticket[P]]) -> None:
        changes = [self._change(ticket) for ticket in batch]
        pending = [
            (ticket, change)
            for ticket, change in zip(batch, changes, strict=True)
            if change is not None
        ]
        if pending:
            self._write_until_done(pending)
        self._leave_batch(batch)
        if pending and self.health.ready:
            self._guarded("after_acknowledge", self._store.after_acknowledge)

    def _change(self, ticket: Ticket[P]) -> Change | None:
        try:
            built = self._build(ticket.payload)
        except Exception as error:  # noqa: BLE001 - the next record may be fine
            self._faults.report("build", error)
            self._drop(ticket, "dropped.build_failed")
            return None
        if isinstance(built, str):
            ticket.fate, ticket.reason = Fate.SKIPPED, built
            return None
        if isinstance(built, Record):
            ticket.record = built
        return built

    def _write_until_done(self, pending: list[tuple[Ticket[P], Change]]) -> None:
        put_off = False
        while not self._attempt([one for one in pending if one[0].fate is Fate.PENDING]):
            if not put_off:
                put_off = True  # once: later ones see a store that is not ready, and don't wait
                waiting = [ticket for ticket, _ in pending if ticket.fate is Fate.PENDING]
                self._release(waiting + self._intake.put_off())
            if not self._pause():
                return

    def _attempt(self, pending: list[tuple[Ticket[P], Change]]) -> bool:
        """Try once; return whether nothing is left to do.

        A batch that holds a bad row is halved until that one stands alone: it is counted and
        set aside, the others go in.
        """
        parts = [pending]
        while parts:
            part = parts.pop()
            try:
                self.health.busy()
                self._store.open()
                self._store.write([change for _, change in part])
            except RowRefusedError as error:
                parts += self._halved(part, str(error))
            except StoreError as error:
                self._note_failure(error)
                return False
            except Exception as error:  # noqa: BLE001 - a row of a kind that nobody thought of
                self._faults.report("write", error)
                parts += self._halved(part, f"an error of its own ({type(error).__name__})")
            else:
                self._note_success([ticket for ticket, _ in part])
        self.health.idle()
        return True

    def _halved(
        self, part: list[tuple[Ticket[P], Change]], why: str
    ) -> list[list[tuple[Ticket[P], Change]]]:
        """Both halves of a refused batch, the first one last; none of a row that stands alone."""
        if len(part) > 1:
            middle = len(part) // 2
            return [part[middle:], part[:middle]]
        self._drop(part[0][0], "dropped.row_refused")
        if why not in self._refusals:
            self._refusals.add(why)
            logger.warning("response_store: a row was refused and dropped: %s", why)
        return []

    def _note_success(self, tickets: list[Ticket[P]]) -> None:
        self._backoff.succeeded()
        self.health.committed()
        self._counts.add("written", len(tickets))
        self._intake.written(tickets)
        for ticket in tickets:
            ticket.release()  # before the accounts: somebody may block for it

    def _note_failure(self, error: StoreError) -> None:
        pause = self._backoff.failed(self._clock())
        self._counts.add("store.failed")
        self.health.failed(error, not isinstance(error, PermanentStoreError), self._clock() + pause)

    def _pause(self) -> bool:
        """Wait for the next attempt; False once closing has run out of time.

        Closing cuts the pause short: what waits gets one more attempt at once, and others soon.
        """
        rest = max(0.0, self._backoff.next_at - self._clock())
        closing = self._stop.is_set()
        if not self._stop.wait(rest):
            return True
        if not self._intake.queue.records:
            return False
        if not closing:
            return not self._give_up.is_set()
        if self.health.phase is Phase.FAILED:
            return False  # nobody will mend it in so short a time
        return not self._give_up.wait(min(rest, _CLOSING_PAUSE))

    def _open_until_done(self) -> None:
        """Open the store before the first batch. What comes meanwhile waits."""
        self.health.opening()
        while not self._opened():
            if not self._pause():
                return

    def _opened(self) -> bool:
        try:
            self._store.open()
        except StoreError as error:
            self._note_failure(error)
            return False
        except Exception as error:  # noqa: BLE001 - it may be the file's fault
            self._faults.report("open", error)
            self._note_failure(PermanentStoreError(f"opening failed ({type(error).__name__})"))
            return False
        self._backoff.succeeded()
        self.health.opened()
        return True

    def _leave_batch(self, batch: list[Ticket[P]]) -> None:
        """Account for the batch at work; what of it was not written is lost."""
        for ticket in batch:
            if ticket.fate is Fate.PENDING:
                self._drop(ticket, "dropped.stopped")
        self._intake.settled()
        self._release(batch)

    def _drop(self, ticket: Ticket[P], reason: str) -> None:
        self._counts.add(reason)
        self._intake.dropped(ticket)

    def _release(self, tickets: list[Ticket[P]]) -> None:
        """Wake whoever waits for these tickets, settled or put off."""
        for ticket in tickets:
            ticket.release()
        if tickets and (on_settled := self._on_settled) is not None:
            self._guarded("on_settled", lambda: on_settled(tickets))

    def _guarded(self, where: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the next batch may not suffer
            self._faults.report(where, error)
