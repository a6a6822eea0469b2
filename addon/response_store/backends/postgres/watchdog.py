"""A watchdog that cuts connections to a server that no longer answers.

A query that waits for an answer can't be told to stop, but its line can be cut: the driver then
sees its end, as if the server had closed it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg

from response_store.errors import TransientStoreError

_CHECKS = 4  # within the shortest deadline


@dataclass(frozen=True, slots=True)
class BatchDeadline:
    """How long a batch may take: `seconds`, and as long as its bytes take at `min_rate` bytes/s.

    It is never more than `max_seconds`.
    """

    seconds: float = 30.0
    min_rate: float = 1024.0
    max_seconds: float = 600.0

    def compute_seconds(self, size: int) -> float:
        """Return the seconds that a batch of so many bytes may take."""
        return max(self.seconds, min(self.max_seconds, self.seconds + size / self.min_rate))


class _WatchedSocket:
    """The socket of a connection, as a handle of our own: the driver may close its own."""

    def __init__(self, connection: psycopg.Connection[Any], until: float) -> None:
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self.until = until
        self.cut_because: str | None = None

    def cut(self, why: str) -> None:
        self.cut_because = why
        with contextlib.suppress(OSError):  # the other end was quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


class Watchdog:
    """Watches connections to `label`, from a thread that starts with the first."""

    def __init__(
        self,
        label: str,
        deadline: BatchDeadline | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = label
        self._deadline = deadline or BatchDeadline()
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: set[_WatchedSocket] = set()
        self._over: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, connection: psycopg.Connection[Any], size: int = 0) -> Iterator[None]:
        """Watch what is done with a connection, which sends `size` bytes or so. From any thread.

        Raises TransientStoreError where the line was cut.
        """
        line = _WatchedSocket(connection, self._clock() + self._deadline.compute_seconds(size))
        with self._lock:
            self._lines.add(line)
            self._start()
            if self._over is not None:
                line.cut(self._over)
        try:
            yield
        except psycopg.Error:
            if line.cut_because is None:
                raise
            raise TransientStoreError(f"{self._label}: {line.cut_because}") from None
        finally:
            with self._lock:
                self._lines.discard(line)
                line.close()

    def cut(self, why: str) -> None:
        """Cut the lines that are watched, if any. From any thread."""
        with self._lock:
            for line in self._lines:
                line.cut(why)

    def give_up(self, why: str) -> None:
        """Cut the lines that are watched, and from now on each that would be. From any thread."""
        with self._lock:
            self._over = why
        self.cut(why)

    def close(self) -> None:
        """End the thread. Idempotent; watching again starts it again."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        if self._thread is None:
            self._stop = threading.Event()
            self._thread = threading.Thread(
                target=self._run,
                args=(self._stop,),
                name="response-store-watchdog",
                daemon=True,
            )
            self._thread.start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._deadline.seconds / _CHECKS):
            self._look()

    def _look(self) -> None:
        with self._lock:
            for line in self._lines:
                if line.cut_because is None and self._clock() > line.until:
                    line.cut("the server gives no answer; the connection was closed")
