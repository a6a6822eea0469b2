"""Following a database until nobody reads the output any more."""

from __future__ import annotations

import errno
import select
import sys
import time
from typing import TYPE_CHECKING

from response_store.cli.source import note
from response_store.errors import StoreError
from response_store.store.backends import build_follower
from response_store.store.following import ReplacedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from response_store.cli.source import Source
    from response_store.store.following import Follower
    from response_store.store.query import Query
    from response_store.store.selection import Selection
    from response_store.store.summaries import Summary

MAX_PAUSE = 5.0  # seconds, while the database is away


def watch(
    source: Source, selection: Selection, limit: int, write: Callable[[Sequence[Summary]], None]
) -> None:
    """Write the last exchanges, and then whatever ends, for ever.

    Raises StoreError where the database can't be read to begin with, BrokenPipeError where nobody
    reads any more.
    """
    query = source.open()
    try:
        following = build_follower(query.reader, selection)
        write(following.begin(query.reader, limit))
    except BaseException:
        query.close()
        raise
    watched = WatchedDatabase(source, following, query)
    try:
        while True:
            pause_while_read(watched.poll_interval)
            write(watched.look())
    finally:
        watched.close()


class WatchedDatabase:
    """A database that is looked at, and opened again where that fails."""

    def __init__(self, source: Source, following: Follower, query: Query) -> None:
        self._source = source
        self._following = following
        self._query: Query | None = query
        self._away = False
        self.poll_interval = following.poll_interval
        """Seconds to the next look."""

    def look(self) -> list[Summary]:
        """Return what has ended since the last call; nothing while the
        database is away, which is noted.
        """
        try:
            if self._query is None:
                self._query = self._source.open()
            found = self._following.look(self._query.reader)
        except ReplacedError:
            self.close()
            return []
        except StoreError as error:
            self.close()
            self._failed(error)
            return []
        self._succeeded()
        return found

    def close(self) -> None:
        """Close the database; closing twice is fine."""
        query, self._query = self._query, None
        if query is not None:
            query.close()

    def _failed(self, error: StoreError) -> None:
        if not self._away:
            note(f"Note: {error}\nWaiting until the database can be read again.")
        self._away = True
        self.poll_interval = min(2 * self.poll_interval, MAX_PAUSE)

    def _succeeded(self) -> None:
        if self._away:
            note("Note: the database can be read again.")
        self._away = False
        self.poll_interval = self._following.poll_interval


def pause_while_read(seconds: float) -> None:
    """Wait so long. Raises BrokenPipeError as soon as nobody reads standard output any more."""
    try:
        output = select.poll()
        output.register(sys.stdout.fileno(), 0)
    except (AttributeError, OSError, ValueError):  # no such file, or no such system
        time.sleep(seconds)
        return
    if output.poll(1000 * seconds):
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")
