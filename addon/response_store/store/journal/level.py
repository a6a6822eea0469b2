"""How full the journal is: known at any time without asking the file."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass, replace

_MEASURE = """
SELECT count(*), coalesce(sum(size), 0), (SELECT queued_at FROM waiting ORDER BY sequence LIMIT 1),
       (SELECT count(*) FROM dead_letters), (SELECT coalesce(sum(size), 0) FROM dead_letters)
FROM waiting"""


@dataclass(frozen=True, slots=True)
class JournalStatus:
    """What a journal holds; times are Unix seconds, sizes bytes of what was encoded."""

    records: int = 0
    bytes: int = 0
    oldest_at: float | None = None
    dead_letters: int = 0
    dead_bytes: int = 0

    def oldest_age(self, now: float) -> float | None:
        """Seconds that the oldest record has waited; None where none waits."""
        return None if self.oldest_at is None else max(0.0, now - self.oldest_at)


class Level:
    """The status of a journal. Who changes the file has the `turn` and says so here.

    With the turn, neither the writer nor the drainer ever waits in SQLite's busy handler, which
    sleeps longer than either of them works. `arrived` wakes the drainer.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.dead_most = max_bytes // 4
        self.turn = threading.Lock()
        self.arrived = threading.Event()
        self.status = JournalStatus()  # replaced as a whole, so that any thread may read it

    @property
    def most(self) -> int:
        """Bytes that fit in, whatever the dead letters hold."""
        return self.max_bytes - self.dead_most

    @property
    def room(self) -> int:
        """Bytes that fit in now."""
        return self.max_bytes - self.status.bytes - self.status.dead_bytes

    # With the turn

    def measure(self, connection: sqlite3.Connection) -> None:
        """Count anew what is in the file."""
        self.status = measured(connection)

    def added(self, records: int, size: int, at: float) -> None:
        """Records were written."""
        now = self.status
        self.status = replace(
            now,
            records=now.records + records,
            bytes=now.bytes + size,
            oldest_at=at if now.oldest_at is None else now.oldest_at,
        )

    def removed(self, records: int, size: int, oldest_at: float | None) -> None:
        """The oldest records went; `oldest_at` is that of the first that stays."""
        now = self.status
        self.status = replace(
            now, records=now.records - records, bytes=now.bytes - size, oldest_at=oldest_at
        )

    def buried(self, dead_letters: int, dead_bytes: int) -> None:
        """What the dead letters are now."""
        self.status = replace(self.status, dead_letters=dead_letters, dead_bytes=dead_bytes)


def measured(connection: sqlite3.Connection) -> JournalStatus:
    """What a journal holds, by its file."""
    return JournalStatus(*connection.execute(_MEASURE).fetchone())
