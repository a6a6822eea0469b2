"""Exchanges as they end.

A follower looks again and again, and each look gives what has ended since the one before. An
exchange is told once, at its end; one whose answer is yet to come (`queued`, `in_progress`) once
more with each further state that its row reaches, as the polls of a background response share one.

How a database tells what is new in it differs, and so there are two followers.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Protocol

import msgspec

from response_store.errors import TransientStoreError
from response_store.store.records import UNFINISHED
from response_store.store.summaries import Summary, select_newest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from response_store.store.reading import Reader
    from response_store.store.selection import Selection

MAX_REPORTED = 20_000  # that are remembered


class ReplacedError(TransientStoreError):
    """Another file stands where the database was: open it anew."""


class Follower(Protocol):
    """Reports each exchange as it ends. Methods may raise StoreError; call again then."""

    @property
    def poll_interval(self) -> float:
        """Return the seconds between two calls of `look`."""

    def begin(self, reader: Reader, limit: int) -> list[Summary]:
        """Return the last `limit` exchanges that have ended, the oldest first."""

    def look(self, reader: Reader) -> list[Summary]:
        """Return what has ended since the last call; `reader` may be another one than then."""


def list_last_ended(reader: Reader, selection: Selection, limit: int) -> list[Summary]:
    """Return the last `limit` exchanges of a selection that have ended, the oldest first."""
    sql, values = msgspec.structs.replace(selection, ended=True).condition()
    rows = reader.rows(select_newest(sql), (*values, limit))
    return [Summary(*row) for row in reversed(rows)]


class ReportedExchanges:
    """The exchanges that were reported, the newest `MAX_REPORTED`, with their states."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def select_unreported(self, exchanges: Iterable[Summary]) -> list[Summary]:
        """Return the exchanges that were not reported in their state
        yet, by their end, and note them.
        """
        new = {one.exchange_id: one for one in exchanges if self._is_new(one)}
        self.add(new.values())
        return sorted(new.values(), key=lambda one: (one.ended_at, one.exchange_id))

    def add(self, exchanges: Iterable[Summary]) -> None:
        """Note exchanges as reported in their states."""
        for one in exchanges:
            self._states.pop(one.exchange_id, None)
            self._states[one.exchange_id] = one.state
        for oldest in [*islice(self._states, max(len(self._states) - MAX_REPORTED, 0))]:
            del self._states[oldest]

    def list_unfinished(self, limit: int) -> list[str]:
        """Return the newest exchanges that were reported before they had a final state."""
        return [name for name, state in self._states.items() if state in UNFINISHED][-limit:]

    def _is_new(self, one: Summary) -> bool:
        reported = self._states.get(one.exchange_id)
        return reported is None or (reported in UNFINISHED and reported != one.state)
