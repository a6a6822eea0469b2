"""Copying from database to database: load every row, then compare every row.

Nothing is kept about how far a copy has come: what is there already with equal content is not sent
again, so one that was broken off goes on when it is started once more. Rows that change at the
source meanwhile are brought again by the second look, and judged as they were read then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from response_store.transfer.bringing import LoadCounts, RowLoader
from response_store.transfer.digests import read_digests
from response_store.transfer.paging import list_key_pages, read_rows
from response_store.transfer.tables import TABLES, Row, Table

if TYPE_CHECKING:
    from response_store.store.reading import Reader
    from response_store.store.selection import Selection
    from response_store.transfer.writing import BulkWriter

Advance: TypeAlias = Callable[[int], object]
"""Called with how many rows more are done."""
CountsByTable: TypeAlias = dict[Table, LoadCounts]


class Copy:
    """A copy from one database to another."""

    def __init__(
        self, source: Reader, target: Reader, writing: BulkWriter, selection: Selection
    ) -> None:
        self._source = source
        self._bringer = RowLoader(target, writing)
        self._selection = selection

    def load(self, advance: Advance) -> CountsByTable:
        """Send what is not there yet."""
        counts_by_table: CountsByTable = {table: LoadCounts() for table in TABLES}
        for table, counts in counts_by_table.items():
            for keys in list_key_pages(self._source, table, self._selection):
                source_digests = read_digests(self._source, table, keys)
                missing = self._bringer.find_differing(table, source_digests)
                rows = read_rows(self._source, table, missing)
                self._bringer.send(table, rows, counts)
                counts.rows += len(source_digests)
                counts.there += len(source_digests) - len(missing)
                advance(len(keys))
        return counts_by_table

    def verify(self, advance: Advance) -> CountsByTable:
        """Look at every row on both sides; bring what has changed, and judge what stays unlike."""
        counts_by_table: CountsByTable = {table: LoadCounts() for table in TABLES}
        for table, counts in counts_by_table.items():
            for keys in list_key_pages(self._source, table, self._selection):
                source_digests = read_digests(self._source, table, keys)
                unlike = self._bringer.find_differing(table, source_digests)
                counts.rows += len(source_digests)
                counts.there += len(source_digests) - len(unlike)
                if unlike:
                    rows = read_rows(self._source, table, unlike)
                    counts.rows -= len(unlike) - len(rows)  # deleted at this moment
                    self._judge(table, rows, counts)
                advance(len(keys))
        return counts_by_table

    def _judge(self, table: Table, rows: Sequence[Row], counts: LoadCounts) -> None:
        again = LoadCounts()
        self._bringer.send(table, rows, again)
        counts.refused_keys |= again.refused_keys
        for problem in again.problems:
            counts.note_problem(problem)
        taken = [row for row in rows if table.key_of(row) not in again.refused_keys]
        self._bringer.compare(table, taken, counts)
