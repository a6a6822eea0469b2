"""What the journal holds and what is stored, looked up as if the journal had been drained."""

from __future__ import annotations

import sqlite3
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import msgspec

from response_store.store import lookup
from response_store.store.merging import laid_over
from response_store.store.ranks import rank
from response_store.store.records import Deletion, Record, ResponseRow
from response_store.store.rows import StoredResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from response_store.store.journal.reading import JournalReading
    from response_store.store.lookup import Found, Shelf
    from response_store.store.query import Query
    from response_store.store.records import ExchangeRow

_REPLACES = f"""
SELECT {rank(":new")} > {rank(":old")}
    OR ({rank(":new")} = {rank(":old")} AND :new_raw > :old_raw)"""
_RANK = f"SELECT {rank(':state')}"


def find(
    journal: JournalReading, tenant: str, identifier: str, query: Query | None = None
) -> Found:
    """What an identifier means in the journal and, where there is a query, in the database.

    Raises StoreError where that is nothing or more than one thing.
    """
    # The journal's snapshot comes first: what is drained meanwhile is in both then, not in none.
    with journal.snapshot(), query.snapshot() if query else nullcontext() as tables:
        return lookup.find(JournalShelf(journal, tables), tenant, identifier)


class JournalShelf:
    """A journal, over the shelf that it is drained to, if that can be read."""

    def __init__(self, journal: JournalReading, below: Shelf | None) -> None:
        self._journal = journal
        self._below = below

    @property
    def name(self) -> str:
        return self._below.name if self._below else self._journal.name

    def exchange(self, tenant: str, exchange_id: str) -> ExchangeRow | None:
        stored = self._below.exchange(tenant, exchange_id) if self._below else None
        return _newest_state(stored, self._journal.of_exchange(tenant, exchange_id))

    def standing(self, tenant: str, response_id: str) -> ExchangeRow | None:
        waiting = self._journal.find(tenant, response_id)
        named = {one.exchange.exchange_id for one in waiting if isinstance(one, Record)}
        if self._below and (stored := self._below.standing(tenant, response_id)):
            named.add(stored.exchange_id)
        rows = [row for name in named if (row := self.exchange(tenant, name))]
        found = [row for row in rows if row.response_id == response_id]  # some replace nothing
        return max(
            found, key=lambda row: (_rank(row), row.started_at, row.exchange_id), default=None
        )

    def response(self, tenant: str, response_id: str) -> StoredResponse | None:
        stored = self._below.response(tenant, response_id) if self._below else None
        row = ResponseRow(*msgspec.structs.astuple(stored)) if stored else None
        row = laid_over(row, reversed(self._journal.find(tenant, response_id)))
        columns = StoredResponse.__struct_fields__
        return StoredResponse(*(getattr(row, name) for name in columns)) if row else None

    def beginning_with(self, tenant: str, beginning: str, most: int) -> set[str]:
        ids = self._journal.beginning_with(tenant, beginning, most + 1)
        if self._below:
            ids |= self._below.beginning_with(tenant, beginning, most)
        return {one for one in ids if not self._is_deleted(tenant, one)}

    def _is_deleted(self, tenant: str, identifier: str) -> bool:
        """Whether nothing is left of this name because a deletion waits."""
        waiting = self._journal.find(tenant, identifier)
        deleted = any(isinstance(one, Deletion) for one in waiting)
        return deleted and not (
            self.response(tenant, identifier)
            or self.standing(tenant, identifier)
            or self.exchange(tenant, identifier)
        )


def _newest_state(stored: ExchangeRow | None, waiting: Iterable[Record]) -> ExchangeRow | None:
    """What a row becomes when all that waits of it, the newest first, is written."""
    row = stored
    for record in reversed([*waiting]):
        if row is None or _replaces(record.exchange, row):
            row = record.exchange
    return row


def _replaces(new: ExchangeRow, old: ExchangeRow) -> bool:
    """Whether a database would replace the row."""
    values: dict[str, object] = {
        "new": new.state,
        "new_raw": len(new.raw_response or b""),
        "old": old.state,
        "old_raw": len(old.raw_response or b""),
    }
    return bool(_ruled(_REPLACES, values))


def _rank(row: ExchangeRow) -> int:
    """How far the state of a row has come."""
    return _ruled(_RANK, {"state": row.state})


def _ruled(rule: str, values: dict[str, object]) -> int:
    """What a rule says. Rules are SQL, so SQL is asked."""
    with closing(sqlite3.connect(":memory:")) as judge:
        (verdict,) = judge.execute(rule, values).fetchone()
    return int(verdict)
