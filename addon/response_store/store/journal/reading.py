"""Looking into a journal without owning it: from any thread, and from other processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from response_store.closes import Closes
from response_store.config import SqliteTarget
from response_store.errors import RowRefusedError
from response_store.store.journal import errors
from response_store.store.journal import schema as journal_schema
from response_store.store.journal.entry import RECORD, UnreadableEntryError, decoded
from response_store.store.journal.level import JournalStatus, measured
from response_store.store.reading_errors import not_stored
from response_store.store.records import Change, Record
from response_store.store.sqlite.connection import real_path
from response_store.store.sqlite.errors import translated
from response_store.store.sqlite.reading import first_behind

_FIND = """
SELECT kind, payload FROM waiting WHERE response_id = ? AND tenant_id = ?
ORDER BY sequence DESC"""
_OF_EXCHANGE = f"""
SELECT kind, payload FROM waiting WHERE exchange_id = ? AND tenant_id = ? AND kind = '{RECORD}'
ORDER BY sequence DESC"""
# Records are taken out at the head alone and in order, so that the places tell how many wait.
_DEPTH = """
SELECT (SELECT max(sequence) FROM waiting) - (SELECT min(sequence) FROM waiting) + 1"""
_RESPONSES_FROM = """
SELECT DISTINCT response_id FROM waiting
WHERE response_id >= ? AND response_id < ? AND tenant_id = ? AND kind = ?
ORDER BY response_id LIMIT ?"""
_EXCHANGES_FROM = """
SELECT DISTINCT exchange_id FROM waiting
WHERE exchange_id >= ? AND exchange_id < ? AND tenant_id = ? AND kind = ?
ORDER BY exchange_id LIMIT ?"""
_DEAD = """
SELECT sequence, reason, buried_at, queued_at, tenant_id, response_id, exchange_id, size
FROM dead_letters ORDER BY sequence DESC LIMIT ?"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that the database refused; times are Unix seconds."""

    sequence: int
    reason: str
    buried_at: float
    queued_at: float
    tenant_id: str
    response_id: str | None
    exchange_id: str
    size: int


class JournalReading(Closes):
    """A read-only connection to a journal. For one thread, but any one.

    Raises PermanentStoreError where there is no journal, or one of a newer release.
    """

    def __init__(self, path: Path, *, busy_seconds: float = 2.0) -> None:
        self._where = f"journal {SqliteTarget(path).describe()}"
        self._empty = False
        with translated(self._where):
            self._path = real = real_path(path)
            if not real.is_file():
                raise errors.missing(self._where)
            self._connection = sqlite3.connect(
                f"{real.as_uri()}?mode=ro", uri=True, timeout=busy_seconds, isolation_level=None,
                check_same_thread=False,
            )  # fmt: skip
            try:
                self._empty = not journal_schema.check(self._connection, self._where)
            except BaseException:
                self._connection.close()
                raise

    @property
    def name(self) -> str:
        """What errors call it."""
        return self._where

    def status(self) -> JournalStatus:
        """What waits, and what is dead."""
        with translated(self._where):
            return JournalStatus() if self._empty else measured(self._connection)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Several questions to one state of the journal, that of this moment."""
        with translated(self._where):
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        try:
            yield
        finally:
            self._connection.rollback()

    def depth(self) -> int:
        """How many records wait, told without counting them."""
        if self._empty:
            return 0
        with translated(self._where):
            (count,) = self._connection.execute(_DEPTH).fetchone()
        return count or 0

    def file_bytes(self) -> int:
        """The size of the file and of its write-ahead log."""
        return sum(_size(self._path.with_name(self._path.name + end)) for end in ("", "-wal"))

    def find(self, tenant_id: str, response_id: str) -> list[Change]:
        """What still waits of a response, the newest first; what can't be read is left out."""
        return self._changes(_FIND, response_id, tenant_id)

    def of_exchange(self, tenant_id: str, exchange_id: str) -> list[Record]:
        """What still waits of an exchange, the newest first; what can't be read is left out.

        No index leads there, but what is passed on the way is not decoded.
        """
        found = self._changes(_OF_EXCHANGE, exchange_id, tenant_id)
        return [change for change in found if isinstance(change, Record)]

    def beginning_with(self, tenant_id: str, beginning: str, most: int) -> set[str]:
        """At most `most` ids of responses, and of exchanges, that begin so."""
        behind = first_behind(beginning)
        if self._empty or behind is None:
            return set()
        values = (beginning, behind, tenant_id, RECORD, most)
        with self._asked():
            return {
                identifier
                for statement in (_RESPONSES_FROM, _EXCHANGES_FROM)
                for (identifier,) in self._connection.execute(statement, values)
            }

    def dead_letters(self, most: int = 100) -> list[DeadLetter]:
        """What the database refused, the newest first."""
        if self._empty:
            return []
        with translated(self._where):
            return [DeadLetter(*row) for row in self._connection.execute(_DEAD, (most,))]

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._connection.close()

    def _changes(self, statement: str, identifier: str, tenant_id: str) -> list[Change]:
        if self._empty:
            return []
        with self._asked():
            rows = self._connection.execute(statement, (identifier, tenant_id)).fetchall()
        found: list[Change] = []
        for kind, payload in rows:
            with suppress(UnreadableEntryError):
                found.append(decoded(kind, payload))
        return found

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn errors into ours, that of an id which is no text among them."""
        try:
            with translated(self._where):
                yield
        except RowRefusedError:
            raise not_stored(self._where) from None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
