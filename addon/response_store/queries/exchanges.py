"""List what was captured, newest first in pages (pagination), by id, or as it ends.

Everything is asked for one tenant, and every statement finds its rows through an index
(`queries/statistics.py` alone counts whole tables, through their indexes where it can). A page ends
where the next one begins: at a `Cursor`, the pair (started_at, exchange_id) that orders the
exchanges, so that pages neither repeat nor skip a row while new ones are written.

A follower looks again and again, and each look gives what has ended since the one before. An
exchange is reported once, at its end; one whose answer is yet to come (`queued`, `in_progress`)
once more with each further state of its row, as the polls of a background response share one.

How a database tells what is new in it differs, and so there are two followers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from response_store.errors import TransientStoreError
from response_store.model.records import UNFINISHED, ExchangeRow, StoredResponse
from response_store.model.selection import Selection
from response_store.queries.follow_ups import FOLLOWING, UNSETTLED, select_begun
from response_store.queries.reader import Closes, Reader
from response_store.queries.statistics import (
    By,
    Statistics,
    StatisticsOverTime,
    StoreStatus,
    compute_statistics,
    compute_statistics_over_time,
    read_status,
)
from response_store.queries.threads import ThreadLookup

if TYPE_CHECKING:
    from response_store.pricing.prices import Prices
    from response_store.queries.lookup import LookupResult

OPENING_CHARACTERS = 200

NOT_LISTED = frozenset({
    "request_body", "result", "output_text", "raw_response", "event_times", "context_digest",
    "answer_digest",
})  # fmt: skip
"""The columns that lists do without: what is large, and what is read by the store alone."""


class Summary(ExchangeRow, frozen=True, kw_only=True):
    """An exchange in a list: None for what is `NOT_LISTED`, and how its output text begins."""

    output_start: str | None = None

    @property
    def ended_at(self) -> float:
        """Return the end in Unix seconds; the start where the end is not known."""
        return self.started_at + (self.duration_ms or 0) / 1000


SUMMARY_FIELDS = tuple(name for name in Summary.__struct_fields__ if name not in NOT_LISTED)
COLUMNS = ", ".join((*SUMMARY_FIELDS[:-1], f"substr(output_text, 1, {OPENING_CHARACTERS})"))
"""What is selected for a `Summary`."""


def build_summary(columns: Sequence[Any]) -> Summary:
    """Return the summary of a row of `COLUMNS`."""
    return Summary(**dict(zip(SUMMARY_FIELDS, columns, strict=True)))


class Cursor(msgspec.Struct, frozen=True):
    """A place in the order of exchanges. Its text is `started_at,exchange_id`."""

    started_at: float
    exchange_id: str

    def __str__(self) -> str:
        return f"{self.started_at!r},{self.exchange_id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Return the cursor that `str` gave. Raises ValueError."""
        started_at, comma, exchange_id = text.partition(",")
        if not comma:
            raise ValueError("a cursor reads TIME,EXCHANGE_ID")
        return cls(float(started_at), exchange_id)


class Page(msgspec.Struct, frozen=True):
    """Some exchanges, newest first; `next` is None where there are no older ones."""

    exchanges: tuple[Summary, ...]
    next: Cursor | None


_ID = "exchange_id COLLATE {bytewise}"
_NEWEST = f"ORDER BY started_at DESC, {_ID} DESC LIMIT ?"


def select_newest(condition: str) -> str:
    """Return the statement for the newest exchanges under a
    condition; it takes its values, a limit.
    """
    return f"SELECT {COLUMNS} FROM {{exchanges}} WHERE {condition} {_NEWEST}"


BEFORE_CURSOR = f"(started_at, {_ID}) < (?, ?)"
"""The condition that an exchange stands before a cursor; values: its two parts."""

_BEGUN = select_begun(Selection(tenant="")).sql
RECENT = select_newest(_BEGUN)
BEFORE = select_newest(f"{_BEGUN} AND {BEFORE_CURSOR}")
ALL = Selection()


_ID_BATCH_SIZE = 500
_OUTCOME = ("state", "ended_by", "error_code", "error_message", "incomplete_reason")
_BROUGHT = (
    "model", "input_tokens", "cached_tokens", "output_tokens", "total_tokens", "reasoning_tokens",
    "service_tier", "cache_write_tokens", "output_start",
)  # fmt: skip


def add_following(reader: Reader, tenant: str, exchanges: Sequence[Summary]) -> Iterator[Summary]:
    """Yield exchanges with what later requests have brought of their responses, if there is any."""
    names = [one.response_id for one in exchanges if one.response_id and one.state in UNSETTLED]
    furthest: dict[str | None, Summary] = {}
    for first in range(0, len(names), _ID_BATCH_SIZE):
        ids = names[first:][:_ID_BATCH_SIZE]
        statement = FOLLOWING.format(columns=COLUMNS, ids=", ".join("?" * len(ids)))
        for row in reader.rows(statement, (*ids, tenant)):
            later = build_summary(row)
            furthest.setdefault(later.response_id, later)
    for one in exchanges:
        end = furthest.get(one.response_id) if one.state in UNSETTLED else None
        yield one if end is None or end.exchange_id == one.exchange_id else _merge(one, end)


def _merge(one: Summary, end: Summary) -> Summary:
    """Return an exchange that ends as a later one of its response does."""
    known = {name: value for name in _BROUGHT if (value := getattr(end, name)) is not None}
    return msgspec.structs.replace(
        one,
        **{name: getattr(end, name) for name in _OUTCOME},
        **known,
        duration_ms=max(1000 * (end.ended_at - one.started_at), 0.0),
    )


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

        The tenant is always the one that is given here. A response that several requests brought
        is one exchange (`queries/follow_ups.py`), from its beginning to its end.
        """
        sql, values = select_begun(msgspec.structs.replace(selection, tenant=tenant))
        if before is not None:
            sql, values = f"{sql} AND {BEFORE_CURSOR}", (*values, *msgspec.structs.astuple(before))
        with self._reader.snapshot():
            rows = self._reader.rows(select_newest(sql), (*values, limit + 1))
            summaries = [build_summary(row) for row in rows[:limit]]
            shown = tuple(add_following(self._reader, tenant, summaries))
        if len(rows) <= limit:
            return Page(shown, None)
        return Page(shown, Cursor(shown[-1].started_at, shown[-1].exchange_id))

    def statistics(self, selection: Selection, *by: By, prices: Prices | None = None) -> Statistics:
        """Return the exchanges of a selection as numbers, in groups by one thing or several."""
        with self._reader.snapshot():
            return compute_statistics(self._reader, selection, by, prices)

    def statistics_over_time(
        self, selection: Selection, by: By, prices: Prices | None = None
    ) -> StatisticsOverTime | None:
        """Return the exchanges of a selection by one thing, over time; None for no exchange."""
        with self._reader.snapshot():
            return compute_statistics_over_time(self._reader, selection, by, prices)

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


MAX_REPORTED = 20_000  # that are remembered


class ReplacedError(TransientStoreError):
    """Another file stands where the database was: open it anew."""


class Follower(Protocol):
    """Reports each exchange as it ends. Methods may raise StoreError; call again then."""

    @property
    def poll_interval(self) -> float:
        """Return the seconds between two calls of `look`."""

    def begin(self, reader: Reader, limit: int) -> list[Summary]:
        """Return the last `limit` exchanges that have ended, the oldest first."""

    def look(self, reader: Reader) -> list[Summary]:
        """Return what has ended since the last call; `reader` may be another one than then."""


def list_last_ended(reader: Reader, selection: Selection, limit: int) -> list[Summary]:
    """Return the last `limit` exchanges of a selection that have ended, the oldest first."""
    sql, values = msgspec.structs.replace(selection, ended=True).condition()
    rows = reader.rows(select_newest(sql), (*values, limit))
    return [build_summary(row) for row in reversed(rows)]


class ReportedExchanges:
    """The exchanges that were reported, the newest `MAX_REPORTED`, with their states."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def select_unreported(self, exchanges: Iterable[Summary]) -> list[Summary]:
        """Return the exchanges that were not reported in their state
        yet, by their end, and note them.
        """
        new = {one.exchange_id: one for one in exchanges if self._is_new(one)}
        self.add(new.values())
        return sorted(new.values(), key=lambda one: (one.ended_at, one.exchange_id))

    def add(self, exchanges: Iterable[Summary]) -> None:
        """Note exchanges as reported in their states."""
        for one in exchanges:
            self._states.pop(one.exchange_id, None)
            self._states[one.exchange_id] = one.state
        for oldest in [*islice(self._states, max(len(self._states) - MAX_REPORTED, 0))]:
            del self._states[oldest]

    def list_unfinished(self, limit: int) -> list[str]:
        """Return the newest exchanges that were reported before they had a final state."""
        return [name for name, state in self._states.items() if state in UNFINISHED][-limit:]

    def _is_new(self, one: Summary) -> bool:
        reported = self._states.get(one.exchange_id)
        return reported is None or (reported in UNFINISHED and reported != one.state)
