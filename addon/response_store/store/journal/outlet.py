"""The end of the journal where records are taken out, in order.

Its commits need not be durable: one that a loss of power undoes brings back records that the
database has already, and writing those again changes nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from response_store.config import Durability
from response_store.errors import StoreError
from response_store.store.journal.entry import Entry
from response_store.store.journal.file import JournalFile, drop
from response_store.store.journal.level import JournalStatus
from response_store.store.sqlite.connection import FileIdentity
from response_store.store.sqlite.transaction import roll_back

_TAKE = """
SELECT sequence, kind, exchange_id, size, payload FROM waiting ORDER BY sequence LIMIT ?"""
_HEAD = "SELECT queued_at FROM waiting ORDER BY sequence LIMIT 1"
_REMOVE = "DELETE FROM waiting WHERE sequence BETWEEN ? AND ?"
_FOLLOWS = "SELECT 1 FROM waiting WHERE sequence > ? AND exchange_id = ? LIMIT 1"
_BURY = """
INSERT INTO dead_letters SELECT sequence, ?, ?, kind, queued_at, size, tenant_id, response_id,
       exchange_id, payload
FROM waiting WHERE sequence = ?"""
_DEAD = "SELECT count(*), coalesce(sum(size), 0) FROM dead_letters"
_FORGET = """
DELETE FROM dead_letters WHERE sequence = (SELECT min(sequence) FROM dead_letters)"""
_ROW_OVERHEAD = 2 * 4096  # pages that a row touches, roughly
_PART_BYTES = 1024 * 1024  # removed in one transaction: about a millisecond
_PAUSE = 0.0005  # seconds
_SHRINK_AFTER = 64 * 1024 * 1024  # bytes of free space in the file


class Outlet:
    """The drainer's end of a journal. Used by one thread."""

    def __init__(self, file: JournalFile, *, wall: Callable[[], float] = time.time) -> None:
        self._file = file
        self._wall = wall
        self._connection: sqlite3.Connection | None = None
        self._identity: FileIdentity | None = None
        self._freed = 0

    @property
    def file(self) -> JournalFile:
        """The journal."""
        return self._file

    @property
    def status(self) -> JournalStatus:
        """What waits, and what is dead. From any thread, without asking the file."""
        return self._file.level.status

    def open(self) -> None:
        """Own the journal and connect; anew where the writer's end has found another file."""
        if self._connection is not None:
            if self._identity == self._file.identity:
                return
            self._drop_connection()
        self._connection = self._file.connected(self, Durability.PROCESS)
        self._identity = self._file.identity

    def take(self, most_records: int, most_bytes: int) -> list[Entry]:
        """The oldest entries; at least one, where there is one. They stay until `remove`."""
        entries: list[Entry] = []
        size = 0
        self._file.check_in(self)
        with self._file.translated(), closing(self._open().execute(_TAKE, (most_records,))) as rows:
            for row in rows:
                entries.append(Entry(*row))
                size += entries[-1].size
                if size >= most_bytes:
                    break
        return entries

    def follows(self, entry: Entry) -> bool:
        """Whether a later entry of the same exchange waits."""
        values = (entry.sequence, entry.exchange_id)
        with self._file.translated():
            return self._open().execute(_FOLLOWS, values).fetchone() is not None

    def remove(self, entries: Sequence[Entry]) -> None:
        """Remove entries that the database has: the oldest ones, without a gap.

        In parts, so that the writer's end is never kept waiting for long.
        """
        parts = _parts(entries)
        self._remove(parts[0])
        for part in parts[1:]:
            time.sleep(_PAUSE)  # a lock alone would not let the other thread in
            self._remove(part)

    def _remove(self, entries: Sequence[Entry]) -> None:
        size = sum(entry.size for entry in entries)
        with self._changing() as connection:
            connection.execute(_REMOVE, (entries[0].sequence, entries[-1].sequence))
            head = connection.execute(_HEAD).fetchone()
            connection.execute("COMMIT")
            self._file.level.removed(len(entries), size, head[0] if head else None)
        self._freed += size
        self._file.checkpoints.note(_ROW_OVERHEAD * len(entries))

    def bury(self, entry: Entry, reason: str) -> int:
        """Move the oldest entry to the dead letters; return how many had to make room for it."""
        forgotten = 0
        with self._changing() as connection:
            connection.execute(_BURY, (reason, self._wall(), entry.sequence))
            connection.execute(_REMOVE, (entry.sequence, entry.sequence))
            count, size = connection.execute(_DEAD).fetchone()
            while size > self._file.level.dead_most:
                connection.execute(_FORGET)
                forgotten += 1
                count, size = connection.execute(_DEAD).fetchone()
            head = connection.execute(_HEAD).fetchone()
            connection.execute("COMMIT")
            self._file.level.removed(1, entry.size, head[0] if head else None)
            self._file.level.buried(count, size)
        self._file.checkpoints.note(entry.size + 2 * _ROW_OVERHEAD)
        return forgotten

    def rest(self) -> None:
        """Nothing waits: give the disk back what an outage took, and have a checkpoint made."""
        if self._freed >= _SHRINK_AFTER:
            self._freed = 0
            self._shrink()
        self._file.checkpoints.poke()

    def _shrink(self) -> None:
        """Rewrite the file, which is quick while next to nothing is in it. It may fail."""
        level = self._file.level
        with suppress(StoreError), self._file.translated(), level.turn:
            self._file.check_in(self)
            if not level.status.records and self._free_bytes() >= _SHRINK_AFTER:
                self._open().execute("VACUUM")
                self._file.checkpoints.note(_SHRINK_AFTER)  # which cuts the file

    def _free_bytes(self) -> int:
        (pages,) = self._open().execute("PRAGMA freelist_count").fetchone()
        (size,) = self._open().execute("PRAGMA page_size").fetchone()
        return int(pages * size)

    def dismiss(self, seconds: float) -> None:
        """Give the journal up, from any thread, because the one that uses this end hangs.

        Nothing is taken out here any more; `close` is still to be called.
        """
        self._file.dismiss(self, seconds)

    def close(self) -> None:
        """Close this end; the journal stays owned while the other end is open. Idempotent."""
        self._drop_connection()
        self._file.leave(self)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that the block commits."""
        with self._file.translated(), self._file.level.turn:
            self._file.check_in(self)
            connection = self._open()
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield connection
            except BaseException:
                roll_back(connection)
                self._drop_connection()
                self._file.doubt()
                raise

    def _open(self) -> sqlite3.Connection:
        connection = self._connection
        assert connection is not None, "open comes first"
        return connection

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        drop(connection)


def _parts(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Cut into parts of a bounded size, of one entry at least."""
    parts: list[list[Entry]] = []
    room = 0
    for entry in entries:
        if room < entry.size or not parts:
            parts.append([])
            room = _PART_BYTES
        parts[-1].append(entry)
        room -= entry.size
    return parts
