"""Questions to a store: what was captured, newest first or by id.

Everything is asked for one tenant, and every statement finds its rows through an index
(`status.py` alone counts whole tables, through their indexes where it can). A page ends where the
next one begins: at a `Cursor`, the pair (started_at, exchange_id) that orders the exchanges, so
that pages neither repeat nor skip a row while new ones are written.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import msgspec

from response_store.store import lookup
from response_store.store.sqlite_reading import SqliteReading
from response_store.store.status import StoreStatus, status
from response_store.store.threads import ThreadTables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from response_store.config.tables import TableNames
    from response_store.store.lookup import Found
    from response_store.store.reading import Reading
    from response_store.store.records import ExchangeRow
    from response_store.store.rows import StoredResponse

OPENING_CHARACTERS = 200


class Cursor(msgspec.Struct, frozen=True):
    """A place in the order of exchanges. Its text is `started_at,exchange_id`."""

    started_at: float
    exchange_id: str

    def __str__(self) -> str:
        return f"{self.started_at!r},{self.exchange_id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """The cursor that `str` gave. Raises ValueError."""
        started_at, comma, exchange_id = text.partition(",")
        if not comma:
            raise ValueError("a cursor reads TIME,EXCHANGE_ID")
        return cls(float(started_at), exchange_id)


class Summary(msgspec.Struct, frozen=True):
    """An exchange in a list. `output_start` is the beginning of its output text."""

    exchange_id: str
    response_id: str | None
    started_at: float
    state: str
    ended_by: str | None
    status_code: int | None
    error_code: str | None
    api: str
    transport: str
    requested_model: str | None
    model: str | None
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    first_event_ms: float | None
    duration_ms: float | None
    host: str
    path: str
    output_start: str | None


class Page(msgspec.Struct, frozen=True):
    """Some exchanges, newest first; `next` is None where there are no older ones."""

    exchanges: tuple[Summary, ...]
    next: Cursor | None


_SUMMARY = ", ".join(Summary.__struct_fields__[:-1])
_START = f"substr(output_text, 1, {OPENING_CHARACTERS})"
_ID = "exchange_id COLLATE {bytewise}"
_NEWEST = f"ORDER BY started_at DESC, {_ID} DESC LIMIT ?"

RECENT = f"SELECT {_SUMMARY}, {_START} FROM {{exchanges}} WHERE tenant_id = ? {_NEWEST}"
BEFORE = (
    f"SELECT {_SUMMARY}, {_START} FROM {{exchanges}}"
    f" WHERE tenant_id = ? AND (started_at, {_ID}) < (?, ?) {_NEWEST}"
)


class Query:
    """The reading side of a store, for one thread. A context manager."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._tables = ThreadTables(reading)

    @classmethod
    def open(cls, path: Path, names: TableNames, *, shown_as: str | None = None) -> Query:
        """Open a SQLite store for reading; errors call it `shown_as`. Raises StoreError."""
        return cls(SqliteReading(path, names, shown_as=shown_as))

    def recent(self, tenant: str, *, limit: int, before: Cursor | None = None) -> Page:
        """The newest `limit` exchanges, or the newest that are older than a cursor."""
        if before is None:
            rows = self._reading.rows(RECENT, (tenant, limit + 1))
        else:
            place = (before.started_at, before.exchange_id)
            rows = self._reading.rows(BEFORE, (tenant, *place, limit + 1))
        shown = tuple(Summary(*row) for row in rows[:limit])
        if len(rows) <= limit:
            return Page(shown, None)
        return Page(shown, Cursor(shown[-1].started_at, shown[-1].exchange_id))

    def exchange(self, tenant: str, exchange_id: str) -> ExchangeRow | None:
        """The exchange with exactly this id."""
        return self._tables.exchange(tenant, exchange_id)

    def response(self, tenant: str, response_id: str) -> StoredResponse | None:
        """The response with exactly this id."""
        return self._tables.response(tenant, response_id)

    def find(self, tenant: str, identifier: str) -> Found:
        """What a response id, an exchange id, or a unique beginning of either names.

        Raises StoreError where nothing or more than one thing is meant.
        """
        with self.snapshot() as tables:
            return lookup.find(tables, tenant, identifier)

    @contextmanager
    def snapshot(self) -> Iterator[ThreadTables]:
        """Look up several things, threads among them, in one state of the database."""
        with self._reading.snapshot():
            yield self._tables

    def status(self) -> StoreStatus:
        """What the whole database holds, all tenants together."""
        with self._reading.snapshot():
            return status(self._reading)

    def close(self) -> None:
        """Close the database; closing twice is fine."""
        self._reading.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
