"""Looking into a journal without owning it: from any thread, and from other processes."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from response_store.config import SqliteTarget
from response_store.store import journal_errors as errors
from response_store.store import journal_schema
from response_store.store.journal_entry import RECORD, UnreadableEntryError, decoded
from response_store.store.journal_level import JournalStatus, measured
from response_store.store.records import Record
from response_store.store.sqlite_connection import real_path
from response_store.store.sqlite_errors import translated

_FIND = """
SELECT payload FROM waiting WHERE response_id = ? AND tenant_id = ? AND kind = ?
ORDER BY sequence DESC"""
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


class JournalReading:
    """A read-only connection to a journal. For one thread, but any one.

    Raises PermanentStoreError where there is no journal, or one of a newer release.
    """

    def __init__(self, path: Path, *, busy_seconds: float = 2.0) -> None:
        self._where = f"journal {SqliteTarget(path).describe()}"
        self._empty = False
        with translated(self._where):
            real = real_path(path)
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

    def status(self) -> JournalStatus:
        """What waits, and what is dead."""
        with translated(self._where):
            return JournalStatus() if self._empty else measured(self._connection)

    def find(self, tenant_id: str, response_id: str) -> list[Record]:
        """What still waits of a response, the newest first; what can't be read is left out."""
        if self._empty:
            return []
        with translated(self._where):
            rows = self._connection.execute(_FIND, (response_id, tenant_id, RECORD)).fetchall()
        found: list[Record] = []
        for (payload,) in rows:
            try:
                found.append(decoded(payload))
            except UnreadableEntryError:
                continue
        return found

    def dead_letters(self, most: int = 100) -> list[DeadLetter]:
        """What the database refused, the newest first."""
        if self._empty:
            return []
        with translated(self._where):
            return [DeadLetter(*row) for row in self._connection.execute(_DEAD, (most,))]

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
