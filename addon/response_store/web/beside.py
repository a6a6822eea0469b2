"""Serve the page from a thread, beside what a process does otherwise: `run --web` does so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from response_store.web.server import serve

if TYPE_CHECKING:
    from response_store.cli.source import Source
    from response_store.web.access import Access

LOOPBACK = "127.0.0.1"
_SECONDS = 10.0  # until it listens, and until it has ended


class _Server(threading.Thread):
    """A server on a free port; `access` is there once it listens."""

    def __init__(self, source: Source) -> None:
        super().__init__(name="response-store-web", daemon=True)
        self._source = source
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self.access: Access | None = None
        self.error: OSError | None = None

    def run(self) -> None:
        """Serve until `stop`."""
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self.error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        await serve(self._source, LOOPBACK, 0, self._note, self._end)

    def _note(self, access: Access) -> None:
        self.access = access
        self._ready.set()

    def wait_ready(self) -> Access:
        """Return how to get in. Raises OSError where nothing can be listened at."""
        self._ready.wait(_SECONDS)
        if self.access is None:
            raise self.error or TimeoutError("the page does not listen")
        return self.access

    def stop(self) -> None:
        """End the server, and wait for that."""
        if self._loop is not None and self._end is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self.join(_SECONDS)


@contextmanager
def serve_beside(source: Source) -> Iterator[Access]:
    """Serve a database for the time of a block. Raises OSError where that can't be.

    The database may come later: until then a page says that it is not there.
    """
    server = _Server(source)
    server.start()
    try:
        yield server.wait_ready()
    finally:
        server.stop()
