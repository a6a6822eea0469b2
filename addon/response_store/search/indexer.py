"""The indexer, which keeps the search index up to date, a bounded step at a time.

The ingester's loop drives it, and notes the exchanges that it has written. What is forgotten, what
others have written and what an interrupted entry lacks is found by comparing the tables, a page a
step: at the start, and every few minutes. Nothing waits for it, and each exchange has one entry,
whoever writes it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from response_store.backoff import Backoff
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import RowRefusedError, StoppedError, StoreError, TransientStoreError
from response_store.search import index as indexes
from response_store.search.index import Index

logger = logging.getLogger(__name__)

_MAX_NOTED = 32_768  # 4 MB
_PAGE_SIZE = 1_000  # exchanges that are compared in one step
_STEP_SECONDS = 0.01
_STEP_ENTRIES = 50
_COMPARE_INTERVAL = 300.0  # seconds at least
_COMPARE_DUTY = 0.01  # of the time, at most: a table of millions takes a while
_COMPARE_DUTY_BEHIND = 0.1  # where more had ended than can be noted


class Indexer:
    """Indexes what has been noted, then what a comparison finds. For one thread.

    `open_index` raises StoreError. `yield_if_due` is called every few milliseconds, while no
    transaction is open: it may write to the same database and call `note`, but not `step`, and it
    raises nothing but StoppedError. `clock` counts seconds and never goes back.
    """

    def __init__(
        self,
        open_index: Callable[[], Index],
        *,
        yield_if_due: Callable[[], None],
        counters: Counters,
        errors: ErrorReporter,
        clock: Callable[[], float] = time.monotonic,
        compare_interval: float = _COMPARE_INTERVAL,
    ) -> None:
        self._open_index = open_index
        self._yield_if_due = yield_if_due
        self._counters = counters
        self._errors = errors
        self._clock = clock
        self._compare_interval = compare_interval
        self._noted: deque[str] = deque()
        self._is_behind = False  # more ended than could be noted
        self._unindexed: deque[str] = deque()  # of the page that is being compared
        self._compared_to: str | None = None  # None: no comparison is under way
        self._compare_seconds = 0.0  # that it has taken so far
        self._compare_at = self._compare_behind_at = clock()
        self._not_before = self._compare_at
        self._backoff = Backoff(first=0.2, cap=60.0)
        self._index: Index | None = None
        self._warned = False

    def note(self, exchange_ids: Iterable[str]) -> None:
        """Remember exchanges that have just been written and have ended.

        A comparison finds those that are too many to remember, once the others are indexed.
        """
        for exchange_id in exchange_ids:
            if len(self._noted) >= _MAX_NOTED:
                self._is_behind = True
                return
            self._noted.append(exchange_id)

    def due(self) -> float:
        """Return the time, by `clock`, at which `step` has work; a time in the past means now."""
        if self._noted or self._unindexed or self._compared_to is not None:
            return self._not_before
        return max(self._not_before, self._next_comparison())

    def step(self) -> None:
        """Index one long exchange, or some short ones for about 10 ms; nothing where none is due.

        Raises StoppedError where `yield_if_due` does; what is left is found by the next step, or by
        the next start. Other errors are counted, and the next step is due after a pause.
        """
        if self._clock() < self.due():
            return
        try:
            self._work(self._opened())
        except StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - search may lag, nothing else may suffer
            self._put_off(error)
        else:
            self._backoff.succeeded()

    def interrupt(self) -> None:
        """Break off the statement that runs, from any thread; the step ends as after an error."""
        if (index := self._index) is not None:
            index.interrupt()

    def close(self) -> None:
        """Close the index. Idempotent."""
        index, self._index = self._index, None
        if index is not None:
            with contextlib.suppress(Exception):
                index.close()

    def _opened(self) -> Index:
        if self._index is not None and not self._index.is_good():
            self.close()
            self._unindexed.clear()
            self._compared_to = None
            self._compare_at = self._clock()
        if self._index is None:
            self._index = self._open_index()
        return self._index

    def _work(self, index: Index) -> None:
        until = self._clock() + _STEP_SECONDS
        for _ in range(_STEP_ENTRIES):
            if queue := self._noted or self._unindexed:
                self._index_one(index, queue[0])
                queue.popleft()  # at last: what fails before is tried again
            elif self._is_comparing():
                self._compare_page(index)
            else:
                return
            self._yield_if_due()
            if self._clock() >= until:
                return

    def _index_one(self, index: Index, exchange_id: str) -> None:
        """Index an exchange; what can never be indexed is counted, and the others go on."""
        try:
            indexes.index_exchange(index, exchange_id, self._yield_if_due)
        except RowRefusedError as error:
            self._counters.add("search.refused")
            self._warn(error)
        except (StoreError, StoppedError):
            raise
        except Exception as error:  # noqa: BLE001 - one that nobody thought of costs its exchange
            self._errors.report("search", error)

    def _is_comparing(self) -> bool:
        """Return whether a comparison is under way; begin one where it is time."""
        if self._compared_to is None and self._clock() >= self._next_comparison():
            self._compared_to, self._is_behind = "", False
            self._compare_seconds = 0.0
        return self._compared_to is not None

    def _compare_page(self, index: Index) -> None:
        began, after = self._clock(), self._compared_to or ""
        end = indexes.find_page_end(index.rows, after, _PAGE_SIZE)
        until = indexes.LAST_ID if end is None else end
        for find in (indexes.list_missing, indexes.list_changed):
            self._unindexed.extend(find(index.rows, after, _PAGE_SIZE, until))
        now, self._compared_to = self._clock(), end
        self._compare_seconds += now - began
        if end is None:
            rest = self._compare_seconds / _COMPARE_DUTY
            self._compare_at = now + max(self._compare_interval, rest)
            self._compare_behind_at = now + self._compare_seconds / _COMPARE_DUTY_BEHIND

    def _next_comparison(self) -> float:
        """Return when a comparison begins, at the earliest."""
        return self._compare_behind_at if self._is_behind else self._compare_at

    def _put_off(self, error: Exception) -> None:
        """Try again after a growing pause; a database that is only busy is no failure."""
        busy = isinstance(error, TransientStoreError)
        if not (busy and self._index is not None and self._index.is_good()):
            self.close()
            if isinstance(error, StoreError):
                self._counters.add("search.failed")
                self._warn(error)
            else:
                self._errors.report("search", error)
        now = self._clock()
        self._not_before = now + self._backoff.failed(now)

    def _warn(self, error: StoreError) -> None:
        """Log the first error that somebody has to fix."""
        if not self._warned and not isinstance(error, TransientStoreError):
            self._warned = True
            logger.warning("response_store: the search index is not kept up: %s", error)
