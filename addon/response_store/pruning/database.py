"""The two connections that pruning needs to a database, for one thread."""

from __future__ import annotations

from response_store.closes import Closes
from response_store.config import TableNames
from response_store.pruning.removing import Remover
from response_store.store.backends import DatabaseTarget, open_reader, open_remover
from response_store.store.reading import Reader

BUSY_MS = 1000


class PruneTarget(Closes):
    """Two connections to one database, for one thread: `reader` measures, `remover` removes."""

    def __init__(self, reader: Reader, remover: Remover) -> None:
        self.reader = reader
        self.remover = remover

    def close(self) -> None:
        """Close both connections; closing twice is fine."""
        self.remover.close()
        self.reader.close()


def open_database(
    target: DatabaseTarget,
    tables: TableNames,
    shown_as: str | None = None,
    *,
    busy_ms: int = BUSY_MS,
) -> PruneTarget:
    """Open a database that is there, and of this version. Raises StoreError.

    A SQLite file is waited for `busy_ms` where another process writes to it.
    """
    reader = open_reader(target, tables, shown_as=shown_as)
    try:
        return PruneTarget(reader, open_remover(target, tables, busy_ms=busy_ms))
    except BaseException:
        reader.close()
        raise
