"""Queries of what was captured, newest first or by id.

Everything is asked for one tenant, and every statement finds its rows through an index
(`status.py` alone counts whole tables, through their indexes where it can). A page ends where the
next one begins: at a `Cursor`, the pair (started_at, exchange_id) that orders the exchanges, so
that pages neither repeat nor skip a row while new ones are written.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from response_store.closes import Closes
from response_store.config.model import SqliteTarget
from response_store.store.backends import DatabaseTarget, open_reader
from response_store.store.selection import Selection
from response_store.store.statistics import By, Statistics, compute_statistics
from response_store.store.status import StoreStatus, read_status
from response_store.store.summaries import BEFORE_CURSOR, Cursor, Page, Summary, select_newest
from response_store.store.threads import ThreadLookup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from response_store.config.tables import TableNames
    from response_store.store.lookup import LookupResult
    from response_store.store.reading import Reader
    from response_store.store.records import ExchangeRow
    from response_store.store.rows import StoredResponse

__all__ = ["Cursor", "Page", "Query", "Summary"]

RECENT = select_newest("tenant_id = ?")
BEFORE = select_newest(f"tenant_id = ? AND {BEFORE_CURSOR}")
ALL = Selection()


class Query(Closes):
    """The reading side of a store, for one thread. A context manager."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lookup = ThreadLookup(reader)

    @property
    def reader(self) -> Reader:
        """Return the connection that it reads through."""
        return self._reader

    def recent(
        self, tenant: str, *, limit: int, before: Cursor | None = None, selection: Selection = ALL
    ) -> Page:
        """Return the newest `limit` exchanges of a selection, all older
        than `before` if that is given.

        The tenant is always the one that is given here.
        """
        sql, values = msgspec.structs.replace(selection, tenant=tenant).condition()
        if before is not None:
            sql, values = f"{sql} AND {BEFORE_CURSOR}", (*values, *msgspec.structs.astuple(before))
        rows = self._reader.rows(select_newest(sql), (*values, limit + 1))
        shown = tuple(Summary(*row) for row in rows[:limit])
        if len(rows) <= limit:
            return Page(shown, None)
        return Page(shown, Cursor(shown[-1].started_at, shown[-1].exchange_id))

    def statistics(self, selection: Selection, by: By) -> Statistics:
        """Return the exchanges of a selection in groups, as numbers."""
        with self._reader.snapshot():
            return compute_statistics(self._reader, selection, by)

    def exchange(self, tenant: str, exchange_id: str) -> ExchangeRow | None:
        """Return the exchange with exactly this id."""
        return self._lookup.exchange(tenant, exchange_id)

    def response(self, tenant: str, response_id: str) -> StoredResponse | None:
        """Return the response with exactly this id."""
        return self._lookup.response(tenant, response_id)

    def find(self, tenant: str, identifier: str) -> LookupResult:
        """Return the exchange or response with an id, or with the only id that begins so.

        Raises StoreError where there is none, or more than one.
        """
        with self.snapshot() as lookup:
            return lookup.find(tenant, identifier)

    @contextmanager
    def snapshot(self) -> Iterator[ThreadLookup]:
        """Look up several things, threads among them, in one state of the database."""
        with self._reader.snapshot():
            yield self._lookup

    def status(self) -> StoreStatus:
        """Return what the whole database holds, all tenants together."""
        with self._reader.snapshot():
            return read_status(self._reader)

    def close(self) -> None:
        """Close the database; closing twice is fine."""
        self._reader.close()


def open_query(target: DatabaseTarget, names: TableNames, *, shown_as: str | None = None) -> Query:
    """Open a database for reading; errors call a SQLite file `shown_as`. Raises StoreError."""
    return Query(open_reader(target, names, shown_as=shown_as))


def open_file(path: Path, names: TableNames, *, shown_as: str | None = None) -> Query:
    """Open a SQLite file for reading; errors call it `shown_as`. Raises StoreError."""
    return open_query(SqliteTarget(path), names, shown_as=shown_as)
