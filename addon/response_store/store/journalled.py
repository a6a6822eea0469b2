"""A database that may be away: the writer commits to a journal, from which a drainer fills it."""

from __future__ import annotations

import time
from typing import Generic

from response_store.config import Acknowledge, Durability, JournalConfig
from response_store.counts import Counts
from response_store.errors import StoreError
from response_store.faults import Faults
from response_store.store.acknowledging import Acknowledging
from response_store.store.base import Store
from response_store.store.drainer import Drainer, DrainLimits
from response_store.store.health import Phase
from response_store.store.intake import Queue
from response_store.store.journal.file import JournalFile
from response_store.store.journal.inlet import Journal
from response_store.store.journal.level import JournalStatus
from response_store.store.journal.outlet import Outlet
from response_store.store.storage import (
    HUNG_AFTER,
    Build,
    Ending,
    OnSettled,
    P,
    health_lines,
    longest_pause,
    start_error,
    state_of,
)
from response_store.store.writer import Writer

_LEAST_FOR_DRAINING = 0.5  # seconds that a stop leaves for it, however long the writer took


class Journalled(Generic[P]):
    """A Storage that is a journal before a store, `target`.

    Clients wait for the journal's commits or, with `Acknowledge.DATABASE`, for the target's; for
    the journal's as well while the target fails or hangs.
    """

    def __init__(
        self,
        target: Store,
        config: JournalConfig,
        build: Build[P],
        *,
        acknowledge: Acknowledge,
        durability: Durability,
        recorder_id: str,
        counts: Counts,
        faults: Faults,
        on_settled: OnSettled[P],
    ) -> None:
        self._target = target
        self._counts = counts
        self._file = JournalFile(config.path, max_bytes=config.max_bytes, durability=durability)
        self._journal = Journal(self._file)
        self._by_database = acknowledge is Acknowledge.DATABASE
        self._acknowledging: Acknowledging[P] = Acknowledging(
            lambda: self._journal.last_sequence, self._database_answers, on_settled
        )
        self.writer: Writer[P] = Writer(
            self._journal,
            build,
            counts=counts,
            faults=faults,
            on_settled=self._acknowledging.settled if self._by_database else on_settled,
        )
        self.writer.health.name = "the journal"
        self._drainer = Drainer(
            Outlet(self._file),
            target,
            counts=counts,
            faults=faults,
            recorder_id=recorder_id,
            limits=DrainLimits(gather=0) if self._by_database else DrainLimits(),
            on_drained=self._acknowledging.drained,
            on_failed=self._acknowledging.release,
        )

    @property
    def acknowledges(self) -> bool:
        return self.writer.health.ready

    @property
    def commits(self) -> int:
        by_database = self._by_database and self._database_answers()
        return (self._drainer if by_database else self.writer).health.commits

    @property
    def waiting(self) -> Queue:
        queue = self.writer.queue  # first: what leaves it now is in the journal then
        journal = self._drainer.status
        return Queue(queue.records + journal.records, queue.bytes + journal.bytes)

    def describe(self) -> str:
        return f"{self._target.describe()} by way of the {self._file.where}"

    def status_lines(self) -> list[str]:
        queue, health, journal = self.writer.queue, self._drainer.health, self._drainer.status
        counts = self._counts.snapshot()
        dropped = sum(number for name, number in counts.items() if name.startswith("dropped."))
        return [
            f"store: {self._target.describe()}, {state_of(health)}",
            *health_lines(health),
            f"{self._file.where}, {state_of(self.writer.health)}".replace(" ", ": ", 1),
            *health_lines(self.writer.health, "journal "),
            f"journal holds: {_held(journal)}, at most {self._file.level.max_bytes} bytes",
            f"oldest in the journal: {_age(journal)}",
            f"dead letters: {journal.dead_letters} records, {journal.dead_bytes} bytes",
            f"dropped: {dropped} records",
            f"waiting for the journal: {queue.records} records, {queue.bytes} bytes",
        ]

    def start(self) -> None:
        self.writer.start()
        self._drainer.start()

    def wait_opened(self, seconds: float) -> StoreError | None:
        return start_error(seconds, self.writer.health, self._drainer.health)

    def unavailable_for(self) -> float | None:
        return longest_pause(self.writer.health, self._drainer.health)

    def drain(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        return self.writer.drain(seconds) and self._drainer.drain(deadline - time.monotonic())

    def close(self, seconds: float, patience: float = 0.0) -> Ending:
        """Commit to the journal what waits, and drain it as far as that works.

        With `patience` also a database that is slow, or away for the moment, is waited for.
        """
        deadline = time.monotonic() + seconds
        summary = self.writer.close(seconds)
        if patience:
            self._drain_while_it_moves(patience)
        left = self._drainer.close(max(_LEAST_FOR_DRAINING, deadline - time.monotonic()))
        self._acknowledging.release()
        return Ending(summary, _stays(left, self._file.where))

    def _database_answers(self) -> bool:
        return self._drainer.health.available(HUNG_AFTER)

    def _drain_while_it_moves(self, patience: float) -> None:
        """Wait until the journal is empty, or has not become emptier for that many seconds."""
        before = None
        while self._drainer.health.phase is not Phase.FAILED:
            now = self._drainer.status.records
            if (before is not None and now >= before) or self._drainer.drain(patience):
                return
            before = now


def _stays(left: JournalStatus, where: str) -> str | None:
    """What the next start has to bring to the database, if anything."""
    return f"{_held(left)} stay in the {where} for the next start" if left.records else None


def _held(journal: JournalStatus) -> str:
    return f"{journal.records} records, {journal.bytes} bytes"


def _age(journal: JournalStatus) -> str:
    age = journal.oldest_age(time.time())
    return "none" if age is None else f"{age:.1f} s"
