"""Follow a SQLite file, for `tail -f` and the page: find what was written since the last look.

Every commit of another connection changes `data_version`, which costs next to nothing to ask.
New rows have larger rowids than those before; of the others only such can change that were open,
or whose answer was yet to come. Where rowids are not what they were (a VACUUM, the newest row
deleted, another file), the times tell what is new.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from response_store.backends.sqlite.connection import FileIdentity, identify_file
from response_store.backends.sqlite.reader import SqliteReader
from response_store.model.records import State
from response_store.queries.exchanges import (
    COLUMNS,
    ReplacedError,
    ReportedExchanges,
    Summary,
    build_summary,
    list_last_ended,
)
from response_store.queries.reader import Reader, build_no_file_error

if TYPE_CHECKING:
    from response_store.model.selection import Selection

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

    poll_interval = PAUSE

    def __init__(self, selection: Selection) -> None:
        self._condition = selection.condition()
        self._selection = selection
        self._reported = ReportedExchanges()
        self._newest: tuple[int, str | None] | None = None
        self._open: set[str] = set()
        self._looked_at = 0.0
        self._reader: Reader | None = None
        self._version: object = None
        self._file: FileIdentity | None = None

    def begin(self, reader: Reader, limit: int) -> list[Summary]:
        """Return the last exchanges that have ended, and remember the position."""
        self._reader, self._file = reader, _identify(reader)
        now, version = time.time(), reader.rows(VERSION)
        with reader.snapshot():
            self._remember(reader, now)
            last = list_last_ended(reader, self._selection, limit)
        self._version = version
        self._reported.add(last)
        return last

    def look(self, reader: Reader) -> list[Summary]:
        """Return what has ended since the last call. Raises
        ReplacedError where another file is there.
        """
        self._check_file(reader)
        now, version = time.time(), reader.rows(VERSION)
        if version == self._version:
            return []
        with reader.snapshot():
            before = self._open
            new = self._new(reader)
            self._remember(reader, now)
            climbed = self._climbed(reader, before)
        self._version = version
        return self._reported.select_unreported([*new, *climbed])

    def _check_file(self, reader: Reader) -> None:
        file = _identify(reader)
        if reader is self._reader and file != self._file:
            raise ReplacedError(f"{reader.name}: another file has taken its place.")
        if file != self._file:
            self._newest, self._open = None, set()
        if reader is not self._reader:  # versions are of one connection alone
            self._reader, self._file, self._version = reader, file, None

    def _remember(self, reader: Reader, now: float) -> None:
        self._newest = reader.row(NEWEST_ROW) or (0, None)
        self._open = {name for (name,) in reader.rows(OPEN, (State.OPEN.value,))}
        self._looked_at = now

    def _new(self, reader: Reader) -> list[Summary]:
        """Return what has been written for the first time, without open rows."""
        sql, values = self._condition
        row = self._row(reader)
        if row is not None:
            rows = reader.rows(BEHIND_ROW.format(sql), (row, *values))
        else:
            ended_from = self._looked_at - _MARGIN
            rows = reader.rows(ENDED_FROM.format(sql), (ended_from, *values))
        return [build_summary(columns) for columns in rows]

    def _row(self, reader: Reader) -> int | None:
        """Return the rowid after which rows are new; None where rowids are of no use."""
        if self._newest is None:
            return None
        row, name = self._newest
        if name is None:  # the table was empty
            return row
        rows = reader.row(ROW_OF, (name,))
        return None if rows is None else int(rows[0])

    def _climbed(self, reader: Reader, open_before: set[str]) -> list[Summary]:
        """Return what was open or unfinished, as it is now."""
        names = [*(open_before - self._open), *self._reported.list_unfinished(_MAX_UNFINISHED)]
        parts = (names[at : at + _ID_BATCH_SIZE] for at in range(0, len(names), _ID_BATCH_SIZE))
        return [one for part in parts for one in self._named(reader, part)]

    def _named(self, reader: Reader, names: Sequence[str]) -> list[Summary]:
        sql, values = self._condition
        statement = NAMED.format(", ".join("?" * len(names)), sql)
        return [build_summary(columns) for columns in reader.rows(statement, (*names, *values))]


def read_file_state(reader: Reader) -> tuple[FileIdentity, object]:
    """Return which file stands in a reader's path, and which state of its own file it sees."""
    return _identify(reader), reader.rows(VERSION)


def _identify(reader: Reader) -> FileIdentity:
    assert isinstance(reader, SqliteReader)
    rows = identify_file(reader.path)
    if rows is None:
        raise build_no_file_error(reader.name, something=False)
    return rows
