"""Threads that look things up, so that the event loop never waits for a database.

What waits for them is bounded, and so is how long somebody waits.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Protocol, TypeAlias, TypeVar

from response_store.errors import PassingStoreError
from response_store.serving.stored import Stored

T = TypeVar("T")

THREADS = 2
MOST = 64  # lookups that wait or are at work


class OpenStored(Stored, Protocol):
    """What a thread looks things up in; of its own."""

    def close(self) -> None:
        """Let go of everything."""


_Job: TypeAlias = "tuple[Callable[[Stored], Any], Future[Any]]"


class Readers:
    """Threads that start with the first lookup. `make` opens nothing by itself."""

    def __init__(
        self, make: Callable[[], OpenStored], *, threads: int = THREADS, most: int = MOST
    ) -> None:
        self._make = make
        self._most = most
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"response-store-reader-{at}", daemon=True)
            for at in range(threads)
        ]
        self._guard = threading.Lock()
        self._unfinished = 0
        self._started = self._over = False

    async def ask(self, question: Callable[[Stored], T], seconds: float) -> T:
        """The answer to a question, from one of the threads.

        Raises PassingStoreError where too much waits already or `seconds` are over, and whatever
        the question raises.
        """
        future: Future[T] = Future()
        self._put((question, future))
        waiter = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([waiter], timeout=seconds)
        if done:
            return waiter.result()
        waiter.cancel()
        raise PassingStoreError("the store took too long to answer: try again later")

    def close(self, seconds: float) -> None:
        """End the threads, waiting at most so long for what they are at. Idempotent."""
        with self._guard:
            started, self._over = self._started and not self._over, True
        if started:
            deadline = time.monotonic() + seconds
            for _ in self._threads:
                self._jobs.put(None)
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _put(self, job: _Job) -> None:
        with self._guard:
            if self._over:
                raise PassingStoreError("the store is closed")
            if self._unfinished >= self._most:
                raise PassingStoreError("too many ask the store at once: try again later")
            self._unfinished += 1
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()
            self._jobs.put(job)

    # In the threads

    def _run(self) -> None:
        stored = self._make()
        try:
            while (job := self._jobs.get()) is not None:
                self._answer(stored, *job)
                del job  # an answer may be large
        finally:
            stored.close()

    def _answer(
        self, stored: Stored, question: Callable[[Stored], Any], future: Future[Any]
    ) -> None:
        try:
            if not future.set_running_or_notify_cancel():
                return  # nobody waits any more
            if self._over:
                future.set_exception(PassingStoreError("the store is closed"))
                return
            try:
                answer = question(stored)
            except BaseException as error:  # noqa: BLE001 - whoever asked has to know
                future.set_exception(error)
            else:
                future.set_result(answer)
        finally:
            with self._guard:
                self._unfinished -= 1
