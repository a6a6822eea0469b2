"""From store to store: bring every row, then look at every row.

Nothing is kept about how far a copy has come: what is there already with equal content is not sent
again, so one that was broken off goes on when it is started once more. Rows that change at the
source meanwhile are brought again by the second look, and judged as they were read then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from response_store.transfer.bringing import Bringer, Tally
from response_store.transfer.digests import digests
from response_store.transfer.paging import key_pages, rows_of
from response_store.transfer.tables import TABLES, Row, Table

if TYPE_CHECKING:
    from response_store.store.reading import Reading
    from response_store.store.selection import Selection
    from response_store.transfer.writing import Writing

Advance: TypeAlias = Callable[[int], object]
"""Called with how many rows more are done."""
Tallies: TypeAlias = dict[Table, Tally]


class Copy:
    """A copy from one database to another."""

    def __init__(
        self, source: Reading, target: Reading, writing: Writing, selection: Selection
    ) -> None:
        self._source = source
        self._bringer = Bringer(target, writing)
        self._selection = selection

    def bring(self, advance: Advance) -> Tallies:
        """Send what is not there yet."""
        tallies: Tallies = {table: Tally() for table in TABLES}
        for table, tally in tallies.items():
            for keys in key_pages(self._source, table, self._selection):
                made = digests(self._source, table, keys)
                missing = self._bringer.differing(table, made)
                rows = rows_of(self._source, table, missing)
                self._bringer.send(table, rows, tally)
                tally.rows += len(made)
                tally.there += len(made) - len(missing)
                advance(len(keys))
        return tallies

    def verify(self, advance: Advance) -> Tallies:
        """Look at every row on both sides; bring what has changed, and judge what stays unlike."""
        tallies: Tallies = {table: Tally() for table in TABLES}
        for table, tally in tallies.items():
            for keys in key_pages(self._source, table, self._selection):
                made = digests(self._source, table, keys)
                unlike = self._bringer.differing(table, made)
                tally.rows += len(made)
                tally.there += len(made) - len(unlike)
                if unlike:
                    rows = rows_of(self._source, table, unlike)
                    tally.rows -= len(unlike) - len(rows)  # deleted at this moment
                    self._judge(table, rows, tally)
                advance(len(keys))
        return tallies

    def _judge(self, table: Table, rows: Sequence[Row], tally: Tally) -> None:
        again = Tally()
        self._bringer.send(table, rows, again)
        tally.refused_keys |= again.refused_keys
        for told in again.told:
            tally.tell(told)
        taken = [row for row in rows if table.key_of(row) not in again.refused_keys]
        self._bringer.compare(table, taken, tally)
