"""Follow a PostgreSQL database, for `tail -f` and the page: find what was written meanwhile.

A row names the transaction that wrote it (`xmin`), and a snapshot tells from which transaction on
some may not have been seen. So a look finds what was written since the one before, new or changed,
also what a journal has kept for days. No index leads there: a look goes through what has begun in
the last minutes, and from time to time through everything, so seldom that it takes a twentieth of
the time at most. While nothing at all is written on the server, nothing is looked through.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from response_store.queries.exchanges import (
    COLUMNS,
    ReportedExchanges,
    Summary,
    build_summary,
    list_last_ended,
)

if TYPE_CHECKING:
    from response_store.model.selection import Selection
    from response_store.queries.reader import Reader

PAUSE = 0.5  # seconds
MINUTES = 10 * 60.0  # seconds that most exchanges are shorter than
WHOLE_PAUSE = 5.0  # seconds between two looks through everything, at least
WHOLE_SHARE = 20  # and so many times as long as one takes
_NUMBERS = 2**32  # what a row has of a transaction's number

SNAPSHOT = """
SELECT txid_snapshot_xmin(txid_current_snapshot()), txid_snapshot_xmax(txid_current_snapshot())"""
_WRITTEN = "age(xmin) <= age(CAST(CAST(? AS TEXT) AS xid))"
WRITTEN = f"SELECT {COLUMNS} FROM {{{{exchanges}}}} WHERE {_WRITTEN} AND {{}}"
WRITTEN_LATELY = f"""
SELECT {COLUMNS} FROM {{{{exchanges}}}} WHERE started_at >= ? AND {_WRITTEN} AND {{}}"""


class PostgresFollower:
    """A `Follower` of a database on a server."""

    poll_interval = PAUSE

    def __init__(self, selection: Selection) -> None:
        self._condition = selection.condition()
        self._selection = selection
        self._reported = ReportedExchanges()
        self._seen = self._seen_whole = (0, 0)
        self._whole_at = 0.0

    def begin(self, reader: Reader, limit: int) -> list[Summary]:
        """Return the last exchanges that have ended, and remember the position."""
        with reader.snapshot():
            self._seen = self._seen_whole = read_snapshot(reader)
            last = list_last_ended(reader, self._selection, limit)
        self._whole_at = time.monotonic() + WHOLE_PAUSE
        self._reported.add(last)
        return last

    def look(self, reader: Reader) -> list[Summary]:
        """Return what has ended since the last call."""
        with reader.snapshot():
            now = read_snapshot(reader)
            if now < self._seen:  # another server
                self._seen = self._seen_whole = now
            if time.monotonic() >= self._whole_at:
                rows = self._whole(reader, now)
            else:
                rows = self._lately(reader, now)
        return self._reported.select_unreported(rows)

    def _lately(self, reader: Reader, now: tuple[int, int]) -> list[Summary]:
        rows = []
        if _may_differ(self._seen, now):
            sql, values = self._condition
            since = time.time() - MINUTES
            number = str(self._seen[0] % _NUMBERS)
            rows = reader.rows(WRITTEN_LATELY.format(sql), (since, number, *values))
        self._seen = now
        return [build_summary(columns) for columns in rows]

    def _whole(self, reader: Reader, now: tuple[int, int]) -> list[Summary]:
        rows, began = [], time.monotonic()
        try:
            if _may_differ(self._seen_whole, now):
                sql, values = self._condition
                number = str(self._seen_whole[0] % _NUMBERS)
                rows = reader.rows(WRITTEN.format(sql), (number, *values))
        finally:
            ended = time.monotonic()
            self._whole_at = ended + max(WHOLE_PAUSE, WHOLE_SHARE * (ended - began))
        self._seen = self._seen_whole = now
        return [build_summary(columns) for columns in rows]


def read_snapshot(reader: Reader) -> tuple[int, int]:
    """Return the numbers of the first transaction still running, and of the first not begun."""
    running, unborn = reader.rows(SNAPSHOT)[0]
    return running, unborn


def _may_differ(before: tuple[int, int], now: tuple[int, int]) -> bool:
    """Return whether something may have been written between two snapshots."""
    return before != now or before[0] < before[1]
