"""Remove rows from a SQLite file, while proxies write to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from response_store.backends.sqlite import connection
from response_store.backends.sqlite.connection import BUSY_TIMEOUT_MS, connect
from response_store.backends.sqlite.errors import begin_immediate, translate_errors
from response_store.backends.sqlite.schema import has_fts5, has_search_words
from response_store.config import Durability, SqliteTarget, TableNames
from response_store.model.selection import Selection
from response_store.model.tables import quote_name
from response_store.pruning.batch import (
    FileSpace,
    PruneCursor,
    PrunedBatch,
    remove_batch,
    select_batch,
)
from response_store.pruning.redact import RowChange, rewrite_rows
from response_store.queries.reader import Row, name_tables

_CHECKPOINT_INTERVAL = 64  # batches
_SHRINK_BATCH_SIZE = 64  # given back while others wait
_PATIENCE_MS = 200  # that the end of it all waits for readers

_MERGED_PAGES = 64  # while others wait
_MERGED_LITTLE = 2  # changes, where there is nothing left to merge
_MERGE = """
INSERT INTO {exchanges_search_words} ({exchanges_search_words}, rank) VALUES ('merge', ?)"""
_HAS_JOURNALS = "SELECT 1 FROM {exchanges_journals} WHERE journal_id <> '' LIMIT 1"


class SqliteRemover:
    """A `Remover` of a file that is there.

    It does not wait for the disk: what a loss of power brings back is removed again, and locks are
    held for a shorter time. It waits `busy_ms` for other writers, then raises TransientStoreError.
    """

    def __init__(
        self, target: SqliteTarget, names: TableNames, *, busy_ms: int = BUSY_TIMEOUT_MS
    ) -> None:
        self._label = f"SQLite {target.describe()}"
        self._path = target.path
        self._names = names
        self._batches = 0
        self._words: dict[str, Any] = {
            **name_tables(names),
            "bytewise": "BINARY",
            "by_time": f"INDEXED BY {quote_name(names.exchanges_started_index)}",
            "lock": "",
            "client": connection.WORDS["client"],
            "undated": connection.WORDS["undated"],
        }
        with translate_errors(self._label):
            self._connection = connect(replace(target, mode="rw"), Durability.PROCESS, names)
            self._connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
            connection.register_functions(self._connection)

    @property
    def space(self) -> FileSpace:
        return self

    def remove(
        self, tenant: str, selection: Selection, after: PruneCursor, max_rows: int
    ) -> PrunedBatch:
        with translate_errors(self._label):
            rows = select_batch(self._execute, tenant, selection, after, max_rows)
            if not rows:
                return PrunedBatch(0, 0, None)
            with begin_immediate(self._connection):
                return remove_batch(self._execute, tenant, selection, rows)

    def rewrite(self, changes: Sequence[RowChange]) -> tuple[list[RowChange], list[str]]:
        with translate_errors(self._label):
            # What was there is overwritten in the file, not merely free.
            self._connection.execute("PRAGMA secure_delete = ON")
            with begin_immediate(self._connection):
                return rewrite_rows(self._execute, changes)

    def purge_words(self) -> None:
        """Merge the parts of the index, some pages at a time: until then they hold old words."""
        with translate_errors(self._label):
            if not (has_fts5(self._connection) and has_search_words(self._connection, self._names)):
                return
            pages = -_MERGED_PAGES  # of all parts at first, whatever their number
            while True:
                before = self._connection.total_changes
                self._execute(_MERGE, (pages,))
                if self._connection.total_changes - before < _MERGED_LITTLE:
                    break
                pages = _MERGED_PAGES
        self.truncate()

    def checkpoint(self) -> None:
        """Keep the write-ahead log short, without waiting for anybody."""
        self._batches += 1
        if self._batches % _CHECKPOINT_INTERVAL == 0:
            with translate_errors(self._label):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def shrink_step(self) -> bool:
        """Make the file a little smaller, in a short transaction; return whether there is more to
        do.

        A file that was made without `auto_vacuum` gets smaller by `vacuum` alone.
        """
        with translate_errors(self._label):
            before = self._free_pages()
            self._connection.execute(f"PRAGMA incremental_vacuum({_SHRINK_BATCH_SIZE})").fetchall()
            return 0 < self._free_pages() < before

    def _free_pages(self) -> int:
        return int(self._connection.execute("PRAGMA freelist_count").fetchone()[0])

    def free_bytes(self) -> int:
        """Return how many bytes of the file are free: what comes next fills them."""
        with translate_errors(self._label):
            pages, size = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("freelist_count", "page_size")
            )
            return int(pages * size)

    def has_writers(self) -> bool:
        """Return whether a journal is bound to the file: its proxy writes, or somebody will."""
        with translate_errors(self._label):
            rows, _ = self._execute(_HAS_JOURNALS, ())
        return bool(rows)

    def vacuum(self) -> int:
        """Rewrite the file without free space; return how many bytes smaller it is."""
        assert self._path is not None
        with translate_errors(self._label):
            before = _measure_file(self._path)
            self._connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # from now on
            self._connection.execute("VACUUM")
            self.truncate()
            return before - _measure_file(self._path)

    def truncate(self) -> None:
        """Empty the write-ahead log, unless a reader or writer is in the way."""
        with translate_errors(self._label):
            self._connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        self._connection.close()

    def _execute(self, statement: str, values: Sequence[object]) -> tuple[list[Row], int]:
        cursor = self._connection.execute(statement.format(**self._words), values)
        return cursor.fetchall(), cursor.rowcount


def _measure_file(path: Path) -> int:
    return path.stat().st_size
