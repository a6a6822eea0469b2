"""Looking up what is served: in the journal, where there is one, and in the database behind it.

The journal is read first: what is drained meanwhile is in both then, not in none. Where it says all
by itself, the database may be away.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from response_store.config import Config, SqliteTarget
from response_store.errors import StoreError
from response_store.serving.stored import Found, Wanted
from response_store.store.journal.reading import JournalReading
from response_store.store.kept_reading import KeptReading, Pause
from response_store.store.reading import Reading
from response_store.store.records import ResponseRow
from response_store.store.served_journal import Waiting, found_of
from response_store.store.served_tables import Recorded, ServedTables
from response_store.store.sqlite.connection import identity
from response_store.store.sqlite.reading import SqliteReading

SECONDS = 2.5  # that one statement may take
_BUSY_SECONDS = 1.0


class ServingReads:
    """Looks up responses, for one thread."""

    def __init__(self, kept: KeptReading, journal: Path | None = None) -> None:
        self._kept = kept
        self._journal = journal

    def find(self, tenant: str, response_id: str, wanted: Wanted) -> Found | None:
        """A response with all that is committed, as far as it is wanted. Raises StoreError."""
        waiting = self._waiting(tenant, response_id)
        if waiting.is_empty:
            return self._kept.ask(
                lambda reading: ServedTables(reading).find(tenant, response_id, wanted)
            )
        row = waiting.over(None if waiting.settles else self._row(tenant, response_id))
        if row is None:
            return None
        streamed = wanted is Wanted.STREAM
        recorded = self._recorded(tenant, response_id, waiting) if streamed else None
        return found_of(row, wanted, recorded)

    def close(self) -> None:
        """Close what is open. Idempotent."""
        self._kept.close()

    def _waiting(self, tenant: str, response_id: str) -> Waiting:
        if self._journal is None:
            return Waiting(())
        with closing(JournalReading(self._journal, busy_seconds=_BUSY_SECONDS)) as journal:
            return Waiting(journal.find(tenant, response_id))

    def _row(self, tenant: str, response_id: str) -> ResponseRow | None:
        return self._kept.ask(lambda reading: ServedTables(reading).response(tenant, response_id))

    def _recorded(self, tenant: str, response_id: str, waiting: Waiting) -> Recorded | None:
        try:
            stored = self._kept.ask(
                lambda reading: ServedTables(reading).recorded(tenant, response_id)
            )
        except StoreError:
            if not waiting.settles:
                raise
            stored = None
        return waiting.recorded(stored)


def serving_reads(config: Config) -> Callable[[], ServingReads]:
    """Makes what looks up the responses of a configuration, one for each thread.

    Nothing is opened before something is looked up.
    """
    target, tables, pause = config.database, config.tables, Pause()
    if isinstance(target, SqliteTarget):
        sqlite, path = target, target.path
        assert path is not None, "the configuration serves nothing out of memory"

        def open_sqlite() -> Reading:
            name = f"SQLite {sqlite.describe()}"
            return SqliteReading(path, tables, shown_as=name, busy_seconds=_BUSY_SECONDS)

        return lambda: ServingReads(KeptReading(open_sqlite, lambda: identity(sqlite), pause))
    # psycopg takes a fifth of a second to import.
    from response_store.store.postgres.reading import PostgresReading  # noqa: PLC0415

    def open_postgres() -> Reading:
        return PostgresReading(target, tables, seconds=SECONDS)

    return lambda: ServingReads(
        KeptReading(open_postgres, lambda: None, pause), config.journal.path
    )
