"""Do what an ingester does when nothing waits: take over journals, index, prune.

Each chore fails by itself and is tried again later; capturing goes on. Of several ingesters on one
database one indexes and prunes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path

import msgspec

from response_store.backends.base import Health, Store
from response_store.backends.registry import build_role, open_database, open_index
from response_store.backoff import Backoff
from response_store.config import Config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import StoppedError, StoreError
from response_store.ingest.delivery import PendingChange
from response_store.ingest.earlier_journals import (
    drain_earlier,
    list_earlier_journals,
    warn_of_unnamed,
)
from response_store.ingest.takeover import Takeover
from response_store.journal.directory import JournalDirectory
from response_store.journal.errors import JournalError
from response_store.model.records import Record, State
from response_store.pruning.retention import Retention
from response_store.search.indexer import Indexer

ACTIVE_SECONDS = 900.0
"""How long after the last write chores go on in PostgreSQL, whose server may want to sleep."""


class Chores:
    """The chores of one ingester. For one thread, but for `interrupt`.

    `yield_if_due` is called every few milliseconds, outside of transactions; it may write to the
    same database, and raises nothing but StoppedError. A database in memory has no chores.
    """

    def __init__(
        self,
        config: Config,
        directory: JournalDirectory,
        store: Store,
        *,
        yield_if_due: Callable[[], None],
        counters: Counters,
        errors: ErrorReporter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._directory = directory
        self._store = store
        self._counters = counters
        self._errors = errors
        self._clock = clock
        self._stopped = config.database.is_in_memory
        self.worked_at = -inf  # when rows were indexed or pruned last, by the clock
        self._backoff = Backoff(first=0.5, cap=60.0)
        if self._stopped:
            return
        folder = directory.path.parent
        self._earlier: list[Path] | None = None
        self._takeover: Takeover | None = Takeover(
            folder, config, store, directory.header.target, counters=counters, errors=errors,
            health=Health(clock, "the database"), on_written=self.note_written,
        )  # fmt: skip
        self._role = build_role(config, folder, clock)
        self._indexer = Indexer(
            lambda: open_index(config.database, config.tables, busy_ms=0),
            yield_if_due=yield_if_due,
            counters=counters,
            errors=errors,
            clock=clock,
        )
        self._retention = Retention(
            config,
            counters,
            errors,
            open_database=lambda busy_ms: open_database(
                config.database, config.tables, busy_ms=busy_ms
            ),
            clock=clock,
        )
        self._pruned_last = False
        self._lets_sleep = config.database.server is not None
        self._active_until = clock() + ACTIVE_SECONDS

    def bind_journal(self) -> None:
        """Note in the journal which database it belongs to, once that is known."""
        header = self._directory.header
        if self._stopped or header.database_id == self._store.database_id:
            return
        try:
            self._directory.write_header(
                msgspec.structs.replace(header, database_id=self._store.database_id)
            )
        except (OSError, JournalError) as error:
            self._errors.report("bind", error)

    def note_written(self, items: Iterable[PendingChange]) -> None:
        """Note what was committed."""
        if not self._stopped:
            self._active_until = self._clock() + ACTIVE_SECONDS
            self._indexer.note(_list_ended(items))

    @property
    def is_urgent(self) -> bool:
        """Return whether journals wait for somebody to apply them."""
        return not self._stopped and self._takeover is not None

    def due_at(self) -> float | None:
        """Return when there is something to do, by the clock; None for never."""
        if self._stopped:
            return None
        if self._takeover is not None or self._earlier is None or self._earlier:
            return self._backoff.next_at
        due = min(self._indexer.due(), self._retention.due())
        if self._lets_sleep:
            if self._clock() > self._active_until:
                # A server that sleeps when nobody asks may sleep: only rules of age wake it.
                due = self._retention.due()
                if due == inf:
                    return None
            if due > self._clock():
                return due  # the lease is renewed while there is something to do
        return due if self._role.is_held() else self._role.due()

    def do_some(self) -> bool:
        """Do a little; return whether more is due now. Raises StoppedError."""
        due = self.due_at()
        if due is None or self._clock() < due:
            return False
        try:
            self._do_next()
        except StoppedError:
            raise
        except StoreError:  # counted where frames are applied
            self._backoff.failed(self._clock())
        except Exception as error:  # noqa: BLE001 - the next attempt may succeed
            self._errors.report("chores", error)
            self._backoff.failed(self._clock())
        due = self.due_at()
        return due is not None and self._clock() >= due

    def release(self) -> None:
        """Close what is open in the database: it is opened anew. Idempotent."""
        if not self._stopped:
            self._indexer.close()
            self._retention.close()

    def interrupt(self) -> None:
        """Break off a statement that runs, from any thread."""
        if not self._stopped:
            self._indexer.interrupt()

    def stop(self) -> None:
        """Do no more, and let go of everything. Idempotent."""
        if self._stopped:
            return
        self.release()
        self._stopped = True
        self._role.close()
        if self._takeover is not None:
            self._takeover.give_up("the proxy that was at it has ended")

    def _do_next(self) -> None:
        now = self._clock()
        if self._takeover is not None:
            if not self._takeover.step():
                self._takeover = None
            self._backoff.succeeded()
        elif self._earlier is None:
            self._earlier = list_earlier_journals(self._config)
            warn_of_unnamed(self._config)
        elif self._earlier:
            drain_earlier(self._earlier[-1], self._store, self._counters)
            self._earlier.pop()
            self._backoff.succeeded()
        else:  # by turns: while exchanges end, the indexer always has work
            may_index = self._pruned_last or self._retention.due() > now
            indexes = may_index and self._indexer.due() <= now
            self._pruned_last = not indexes
            (self._indexer if indexes else self._retention).step()
            self.worked_at = self._clock()


def _list_ended(items: Iterable[PendingChange]) -> list[str]:
    """Return the ids of the exchanges among changes that have ended."""
    return [
        item.change.exchange.exchange_id
        for item in items
        if isinstance(item.change, Record) and item.change.exchange.state != State.OPEN
    ]
