"""The indexer: one thread that brings the index up to what is stored, in the proxy's idle moments.

It is told which exchanges were written (`note`), and remembers so many of them. What it forgets,
what was written while nobody indexed, and what a broken-off entry lacks it finds by comparing the
tables: at its start, and again where it has to. Nothing waits for it. Another proxy on the same
database may do the same: each exchange has one entry, whoever writes it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from response_store.counts import Counts
from response_store.errors import PassingStoreError, RowRefusedError, StoreError
from response_store.faults import Faults
from response_store.search import index as indexes
from response_store.search.index import Index
from response_store.search.pace import Pace, StoppedError
from response_store.store.backoff import Backoff

logger = logging.getLogger(__name__)

_REMEMBERED = 4_096
_AT_ONCE = 200  # that are looked up as missing
_COMPARE_EVERY = 300.0  # seconds at least
_TRIES = 30  # for one that is not stored yet: it may still wait in a journal
_RETRY = 2.0  # seconds
_LOOK = 0.5  # seconds
_CLOSING = 1.0


@dataclass(slots=True)
class _Noted:
    exchange_id: str
    tries: int = 0
    at: float = 0.0


class Indexer:
    """Keeps an index up to date, from a thread of its own. `open_index` raises StoreError."""

    def __init__(
        self,
        open_index: Callable[[], Index],
        busy: Callable[[], bool],
        *,
        counts: Counts,
        faults: Faults,
        compare_every: float = _COMPARE_EVERY,
    ) -> None:
        self._open_index = open_index
        self._counts = counts
        self._faults = faults
        self._compare_every = compare_every
        self._noted: deque[_Noted] = deque()
        self._stop = threading.Event()
        self._pace = Pace(busy, self._stop)
        self._backoff = Backoff(first=1.0, cap=60.0)
        self._behind = True  # something may lack that is not noted
        self._compare_at = 0.0
        self._index: Index | None = None
        self._thread: threading.Thread | None = None
        self._told = False

    # From any thread

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="response-store-search", daemon=True)
        self._thread.start()

    def note(self, exchange_ids: Iterable[str]) -> None:
        """These exchanges have been written and have ended.

        Returns at once, and wakes nobody: a thread that is woken beside a busy loop costs it time.
        """
        self._pace.written()
        for exchange_id in exchange_ids:
            if len(self._noted) >= _REMEMBERED:
                self._behind = True
                break
            self._noted.append(_Noted(exchange_id))

    def close(self) -> None:
        """End the thread at once; the next start does what is left. Idempotent."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread.is_alive():
            if (index := self._index) is not None:
                index.interrupt()
            thread.join(_CLOSING)

    # In the thread

    def _run(self) -> None:
        with contextlib.suppress(StoppedError):
            while not self._stop.is_set():
                self._take_a_turn()
        self._leave()

    def _take_a_turn(self) -> None:
        try:
            self._wait_for_work()
            self._pace.wait_for_quiet()
            index = self._opened()
            self._bring_up_noted(index)
            if self._behind and time.monotonic() >= self._compare_at:
                self._compare(index)
            self._backoff.succeeded()
            self._pace.rest(_LOOK)
        except StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - search may lag, nothing else may suffer
            self._fail(error)
            self._pace.rest(self._backoff.failed(time.monotonic()))

    def _wait_for_work(self) -> None:
        while not (self._noted or (self._behind and time.monotonic() >= self._compare_at)):
            self._pace.rest(_LOOK)

    def _opened(self) -> Index:
        if self._index is not None and not self._index.is_good():
            self._leave()
            self._behind = True
        if self._index is None:
            self._index = self._open_index()
        return self._index

    def _bring_up_noted(self, index: Index) -> None:
        for _ in range(len(self._noted)):
            noted = self._noted[0]
            if noted.at <= time.monotonic():
                if not self._bring_up(index, noted.exchange_id):
                    self._put_off(noted)
            else:
                self._noted.append(noted)
            self._noted.popleft()  # at last: what fails in between is tried again

    def _put_off(self, noted: _Noted) -> None:
        if noted.tries < _TRIES:
            self._noted.append(
                _Noted(noted.exchange_id, noted.tries + 1, time.monotonic() + _RETRY)
            )
        else:
            self._behind = True

    def _compare(self, index: Index) -> None:
        """Index whatever the tables say is lacking."""
        self._behind = False
        self._compare_at = time.monotonic() + self._compare_every
        for find in (indexes.missing, indexes.changed):
            after = ""
            while indexes.lacking(index.rows) and (found := find(index.rows, after, _AT_ONCE)):
                for exchange_id in found:
                    self._bring_up(index, exchange_id)
                after = found[-1]

    def _bring_up(self, index: Index, exchange_id: str) -> bool:
        self._pace.wait_for_quiet()
        while True:
            try:
                found = indexes.bring_up(index, exchange_id, self._breathe)
            except RowRefusedError as error:
                self._counts.add("search.refused")
                self._tell(error)
                return True  # it can't be searched; the others can
            except PassingStoreError:
                # The writer has the lock, or the line broke: its turn first.
                self._pace.rest(_RETRY / 10)
                if not index.is_good():
                    raise
            except (StoreError, StoppedError):
                raise
            except Exception as error:  # noqa: BLE001 - one that nobody thought of: the others go on
                self._faults.report("search", error)
                return True
            else:
                self._pace.breathe()
                return found

    def _breathe(self) -> None:
        self._pace.breathe()
        self._pace.wait_for_quiet()

    def _fail(self, error: Exception) -> None:
        self._leave()
        self._behind = True
        if isinstance(error, StoreError):
            self._counts.add("search.failed")
            self._tell(error)
        else:
            self._faults.report("search", error)

    def _tell(self, error: StoreError) -> None:
        """Once: capture goes on without."""
        if not self._told and not isinstance(error, PassingStoreError):
            self._told = True
            logger.warning("response_store: the search index is not kept up: %s", error)

    def _leave(self) -> None:
        index, self._index = self._index, None
        if index is not None:
            with contextlib.suppress(Exception):
                index.close()
