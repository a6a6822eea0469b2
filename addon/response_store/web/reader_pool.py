"""Run queries in a few threads, each with a reader of its own, so that the event loop never waits.

A reader is opened by the first query of its thread. After an error it is closed, and the next query
opens another: a database that was away, or a file in the place of an older one, is read again.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from response_store.errors import PermanentStoreError, StoppedError, StoreError, TransientStoreError
from response_store.queries.exchanges import Query

_T = TypeVar("_T")
THREADS = 4
_BROKEN = (
    TransientStoreError,
    PermanentStoreError,
    StoppedError,
)  # not where an id is just not there
_STOPPED = "The page is being closed."
_CANCELLED = "Nobody waits for this any more."


class _Job:
    """A query that waits for a thread, and where its result is awaited."""

    def __init__(self, run: Callable[[Query], Any], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self._run = run
        self._lock = threading.Lock()  # held where a reader becomes, or is no longer, this job's
        self._query: Query | None = None
        self.is_cancelled = False

    def run(self, query: Query) -> Any:
        """Return what the job returns. Raises what it raises, and StoppedError once cancelled."""
        with self._lock:
            if self.is_cancelled:
                raise StoppedError(_CANCELLED)
            self._query = query
        try:
            return self._run(query)
        finally:
            with self._lock:
                self._query = None

    def cancel(self) -> None:
        """Break off what the job reads, or have it not begin. For any thread; may take seconds."""
        with self._lock:
            self.is_cancelled = True
            if self._query is not None:
                self._query.reader.cancel()

    def resolve(self, result: Any, error: BaseException | None) -> None:
        """Hand the result over. For any thread."""
        with suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(self._set, result, error)

    def _set(self, result: Any, error: BaseException | None) -> None:
        if self.future.done():  # nobody waits any more
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)


class ReaderPool:
    """Threads that answer queries. `run` is for the event loop, the rest for any thread."""

    def __init__(self, open_query: Callable[[], Query], threads: int = THREADS) -> None:
        self._open_query = open_query
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._awaited: set[_Job] = set()
        self._generation = 0
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"response-store-web-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, job: Callable[[Query], _T]) -> _T:
        """Return what a job returns that is run with a reader. Raises what it raises.

        Where the task that waits is cancelled, what the job reads is broken off.
        """
        if self._is_closed:
            raise TransientStoreError(_STOPPED)
        waiting = _Job(job, asyncio.get_running_loop())
        self._jobs.put(waiting)
        self._awaited.add(waiting)
        try:
            result: _T = await waiting.future
        except asyncio.CancelledError:
            waiting.is_cancelled = True  # at once: a thread that becomes free must not begin it
            # Telling a server takes a connection to it, which the loop does not wait for.
            waiting.loop.run_in_executor(None, waiting.cancel)
            raise
        finally:
            self._awaited.discard(waiting)
        return result

    def prepare(self, load: Callable[[], None]) -> None:
        """Have one thread load what takes a moment, and the others open the database.

        What fails is raised by the first query that fails so.
        """
        loop = asyncio.get_running_loop()
        for job in (lambda _: load(), *[lambda _: None] * (len(self._threads) - 1)):
            waiting = _Job(job, loop)
            waiting.future.add_done_callback(asyncio.Future.exception)
            self._jobs.put(waiting)

    def reopen(self) -> None:
        """Have each thread open the database anew: another file stands in its place."""
        self._generation += 1

    def close(self) -> None:
        """Close all readers, and break off what they read now. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        for job in tuple(self._awaited):
            job.cancel()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        query: Query | None = None
        generation = 0
        while (job := self._jobs.get()) is not None:
            if query is not None and generation != self._generation:
                _close(query)
                query = None
            try:
                if query is None:
                    generation, query = self._generation, self._open_query()
                result, error = job.run(query), None
            except BaseException as raised:  # noqa: BLE001 (it is raised where the job was given)
                result, error = None, raised
                if isinstance(raised, _BROKEN) and query is not None:
                    _close(query)
                    query = None
            if job.is_cancelled and query is not None:  # perhaps just after its last statement
                _close(query)
                query = None
            job.resolve(result, error)
            del job, result, error  # they may hold megabytes
        if query is not None:
            _close(query)


def _close(query: Query) -> None:
    with suppress(StoreError):
        query.close()
