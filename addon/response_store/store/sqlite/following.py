"""Following a SQLite file.

Every commit of another connection changes `data_version`, which costs next to nothing to ask.
New rows have larger rowids than those before; of the others only such can change that were open,
or whose answer was yet to come. Where rowids are not what they were (a VACUUM, the newest row
deleted, another file), the times tell what is new.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from response_store.store.following import ReplacedError, ReportedExchanges, list_last_ended
from response_store.store.reading_errors import build_no_file_error
from response_store.store.records import State
from response_store.store.sqlite.connection import FileIdentity, identify_file
from response_store.store.sqlite.reading import SqliteReading
from response_store.store.summaries import COLUMNS, Summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from response_store.store.reading import Reading
    from response_store.store.selection import Selection

PAUSE = 0.2  # seconds
_MARGIN = 2.0  # seconds from an end to its commit
_MAX_UNFINISHED = 200
_ID_BATCH_SIZE = 500  # ids in a statement

VERSION = "PRAGMA data_version"
NEWEST_ROW = "SELECT rowid, exchange_id FROM {exchanges} NOT INDEXED ORDER BY rowid DESC LIMIT 1"
ROW_OF = "SELECT rowid FROM {exchanges} WHERE exchange_id = ?"
OPEN = "SELECT exchange_id FROM {exchanges} {by_state} WHERE state = ?"
# Not by an index: that on tenants and times would lead through all rows of a tenant.
BEHIND_ROW = f"SELECT {COLUMNS} FROM {{{{exchanges}}}} NOT INDEXED WHERE rowid > ? AND {{}}"
ENDED_FROM = f"""
SELECT {COLUMNS} FROM {{{{exchanges}}}}
WHERE started_at + coalesce(duration_ms, 0) / 1000 >= ? AND {{}}"""
NAMED = f"""
SELECT {COLUMNS} FROM {{{{exchanges}}}} NOT INDEXED
WHERE rowid IN (SELECT rowid FROM {{{{exchanges}}}} WHERE exchange_id IN ({{}})) AND {{}}"""


class SqliteFollower:
    """A `Follower` of a file."""

    pause = PAUSE

    def __init__(self, selection: Selection) -> None:
        self._condition = selection.condition()
        self._selection = selection
        self._told = ReportedExchanges()
        self._newest: tuple[int, str | None] | None = None
        self._open: set[str] = set()
        self._looked_at = 0.0
        self._reading: Reading | None = None
        self._version: object = None
        self._file: FileIdentity | None = None

    def begin(self, reading: Reading, most: int) -> list[Summary]:
        """Return the last exchanges that have ended, and remember the position."""
        self._reading, self._file = reading, _identify(reading)
        now, version = time.time(), reading.rows(VERSION)
        with reading.snapshot():
            self._remember(reading, now)
            last = list_last_ended(reading, self._selection, most)
        self._version = version
        self._told.add(last)
        return last

    def look(self, reading: Reading) -> list[Summary]:
        """Return what has ended since the last call. Raises
        ReplacedError where another file is there.
        """
        self._check_file(reading)
        now, version = time.time(), reading.rows(VERSION)
        if version == self._version:
            return []
        with reading.snapshot():
            before = self._open
            new = self._new(reading)
            self._remember(reading, now)
            climbed = self._climbed(reading, before)
        self._version = version
        return self._told.fresh([*new, *climbed])

    def _check_file(self, reading: Reading) -> None:
        file = _identify(reading)
        if reading is self._reading and file != self._file:
            raise ReplacedError(f"{reading.name}: another file has taken its place.")
        if file != self._file:
            self._newest, self._open = None, set()
        if reading is not self._reading:  # versions are of one connection alone
            self._reading, self._file, self._version = reading, file, None

    def _remember(self, reading: Reading, now: float) -> None:
        self._newest = reading.row(NEWEST_ROW) or (0, None)
        self._open = {name for (name,) in reading.rows(OPEN, (State.OPEN.value,))}
        self._looked_at = now

    def _new(self, reading: Reading) -> list[Summary]:
        """Return what has been written for the first time, without open rows."""
        sql, values = self._condition
        row = self._row(reading)
        if row is not None:
            found = reading.rows(BEHIND_ROW.format(sql), (row, *values))
        else:
            ended_from = self._looked_at - _MARGIN
            found = reading.rows(ENDED_FROM.format(sql), (ended_from, *values))
        return [Summary(*columns) for columns in found]

    def _row(self, reading: Reading) -> int | None:
        """Return the rowid after which rows are new; None where rowids are of no use."""
        if self._newest is None:
            return None
        row, name = self._newest
        if name is None:  # the table was empty
            return row
        found = reading.row(ROW_OF, (name,))
        return None if found is None else int(found[0])

    def _climbed(self, reading: Reading, open_before: set[str]) -> list[Summary]:
        """Return what was open or unfinished, as it is now."""
        names = [*(open_before - self._open), *self._told.unfinished(_MAX_UNFINISHED)]
        parts = (names[at : at + _ID_BATCH_SIZE] for at in range(0, len(names), _ID_BATCH_SIZE))
        return [one for part in parts for one in self._named(reading, part)]

    def _named(self, reading: Reading, names: Sequence[str]) -> list[Summary]:
        sql, values = self._condition
        statement = NAMED.format(", ".join("?" * len(names)), sql)
        return [Summary(*columns) for columns in reading.rows(statement, (*names, *values))]


def _identify(reading: Reading) -> FileIdentity:
    assert isinstance(reading, SqliteReading)
    found = identify_file(reading.path)
    if found is None:
        raise build_no_file_error(reading.name, something=False)
    return found
