"""Notice that a database was written to, for the pages that show what is new.

One thread looks while a page is open, and through a reader of its own: what tells a new state of a
SQLite file, is told to one connection alone. A page gets no rows, only word that there are some; it
asks for itself what it shows, with its own filters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from response_store.backends.registry import DatabaseState, read_state
from response_store.errors import StoreError
from response_store.queries.exchanges import Query, ReplacedError

_PAUSE = 0.4  # seconds between two looks
_AWAY_SECONDS = 3.0  # until a database that was away is looked at again


class Subscription:
    """A page that waits for changes. For the event loop."""

    def __init__(self) -> None:
        self.is_closed = False
        self._changed = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Return whether something has changed since the last call, at the latest after a time."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        changed = self._changed.is_set() and not self.is_closed
        self._changed.clear()
        return changed

    def notify(self) -> None:
        """Have `wait` return."""
        self._changed.set()

    def close(self) -> None:
        """Have `wait` return for the last time."""
        self.is_closed = True
        self._changed.set()


class DatabaseWatch:
    """Sees whether a database was written to since the last look. For one thread."""

    def __init__(self, open_query: Callable[[], Query]) -> None:
        self._open_query = open_query
        self._query: Query | None = None
        self._state: DatabaseState | None = None

    def look(self) -> bool:
        """Return whether something is new; always at first.

        Raises StoreError, and ReplacedError where another file stands in the place of the last.
        """
        try:
            if self._query is None:
                self._query = self._open_query()
            state = read_state(self._query.reader)
        except StoreError:
            self.close()
            raise
        before, self._state = self._state, state
        if before is not None and before.identity != state.identity:
            self.close()
            raise ReplacedError("another file has taken its place")
        return before != state

    def close(self) -> None:
        """Close the reader; the next look opens another."""
        if self._query is not None:
            with suppress(StoreError):
                self._query.close()
        self._query = self._state = None


class ChangeFeed:
    """Tells subscribers of changes, and looks at the database only while there are any."""

    def __init__(
        self, open_query: Callable[[], Query], on_replaced: Callable[[], None] = lambda: None
    ) -> None:
        self._watch = DatabaseWatch(open_query)
        self._on_replaced = on_replaced
        self._subscriptions: set[Subscription] = set()
        self._thread = ThreadPoolExecutor(1, "response-store-web-changes")
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Give a subscription for the time of a block."""
        subscription = Subscription()
        self._subscriptions.add(subscription)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def close(self) -> None:
        """End all subscriptions, and close the database. Idempotent."""
        for subscription in self._subscriptions:
            subscription.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        loop = asyncio.get_running_loop()
        with suppress(RuntimeError):  # closed before
            await loop.run_in_executor(self._thread, self._watch.close)
        self._thread.shutdown()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._subscriptions:
            pause = _PAUSE
            try:
                if await loop.run_in_executor(self._thread, self._watch.look):
                    for subscription in self._subscriptions:
                        subscription.notify()
            except ReplacedError:
                self._on_replaced()
            except StoreError:
                pause = _AWAY_SECONDS
            await asyncio.sleep(pause)
        self._task = None
