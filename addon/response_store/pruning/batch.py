"""Measure what a database holds, and remove one batch of it, in the same steps in both databases.

A SQLite file takes the room of its pages in use: those that are free are filled again before it
grows. In PostgreSQL the rows' own values are counted; indexes and the room of rows that are gone
are not, as they shrink only when the server tidies up.

A response goes with the last exchange that names it, be it as its own or as the one that it
continues. What no exchange ever named, as other programs write it, stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from response_store.errors import TransientStoreError
from response_store.model.records import State
from response_store.model.selection import Condition, Selection
from response_store.pruning.rebase import COUNT_BASED, MAX_BASED, Execute, release_bases
from response_store.queries.reader import EACH_TENANT, Closes, Reader, Row

_TENANTS = f"{EACH_TENANT} SELECT id FROM tenant WHERE id IS NOT NULL"
_COUNT = "SELECT count(*) FROM {exchanges}"
_NTH = "SELECT started_at FROM {exchanges} ORDER BY started_at LIMIT 1 OFFSET ?"
_PAGES = """
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"""
_BULKY = ("request_body", "result", "output_text", "raw_response", "event_times")
_BULKY_OF_RESPONSE = ("response_object", "input", "messages")
_ROW_BYTES = 600  # of the other columns and the indexes, roughly
_ATTEMPTS = 6
_BUSY_PAUSE = 0.1  # seconds, the first time
T = TypeVar("T")


class Survey(msgspec.Struct, frozen=True):
    """What a selection covers: times are Unix seconds, `bytes` is an estimate of the space it
    takes.
    """

    exchanges: int
    oldest: float | None
    newest: float | None
    bytes: int


def list_tenants(reader: Reader) -> list[str]:
    """Return all tenants of the database."""
    return [tenant for (tenant,) in reader.rows(_TENANTS)]


def measure_used_bytes(reader: Reader) -> int:
    """Return how many bytes the stored rows take."""
    if reader.dialect == "sqlite":
        return int(reader.rows(_PAGES)[0][0])
    total = 0
    for table, columns in (("exchanges", _BULKY), ("responses", _BULKY_OF_RESPONSE)):
        sizes = _build_size_sql(reader, columns)
        statement = f"SELECT coalesce(sum({sizes} + {_ROW_BYTES}), 0) FROM {{{table}}}"
        total += int(reader.rows(statement)[0][0])
    return total


def survey_selection(reader: Reader, selection: Selection) -> Survey:
    """Count and measure what a selection would remove."""
    condition = build_removable_condition(selection)
    row_bytes = f"{_build_size_sql(reader, _BULKY)} + {_ROW_BYTES}"
    count, oldest, newest, size = reader.rows(
        f"SELECT count(*), min(started_at), max(started_at), coalesce(sum({row_bytes}), 0)"
        f" FROM {{exchanges}} WHERE {condition.sql}",
        condition.values,
    )[0]
    of_responses = reader.rows(
        f"SELECT coalesce(sum({_build_size_sql(reader, _BULKY_OF_RESPONSE)}), 0)"
        " FROM {responses} WHERE (tenant_id, id) IN"
        f" (SELECT tenant_id, response_id FROM {{exchanges}} WHERE {condition.sql})",
        condition.values,
    )[0][0]
    return Survey(count, oldest, newest, int(size) + int(of_responses))


def build_removable_condition(selection: Selection) -> Condition:
    """Return the condition of a selection, without open exchanges: those are still written."""
    sql, values = selection.condition()
    return Condition(f"state <> '{State.OPEN.value}' AND ({sql})", tuple(values))


def select_excess(
    reader: Reader, max_bytes: int, share: float = 1.0
) -> tuple[Selection, int] | None:
    """Return a selection of the oldest exchanges that are too much, and how many; None if all fit.

    As many as make up the excess if all are alike, or that `share` of them.
    """
    used = measure_used_bytes(reader)
    if used <= max_bytes:
        return None
    count = int(reader.rows(_COUNT)[0][0])
    excess = max(math.ceil(share * count * (used - max_bytes) / used), 1)
    return select_oldest(reader, excess), excess


def select_oldest(reader: Reader, number: int) -> Selection:
    """Return a selection of the `number` oldest exchanges; all of them where there are fewer."""
    rows = reader.rows(_NTH, (number - 1,))
    return Selection(until=math.nextafter(rows[0][0], math.inf)) if rows else Selection()


def _build_size_sql(reader: Reader, columns: Iterable[str]) -> str:
    """Return the SQL for the stored bytes of some columns."""
    in_file = reader.dialect == "sqlite"
    size = "length(CAST({} AS BLOB))" if in_file else "pg_column_size({})"
    return " + ".join(f"coalesce({size.format(column)}, 0)" for column in columns)


_PLACES = "?"
_BYTES = 1 << 20  # of bodies in a batch: others wait while they are removed


class PruneCursor(NamedTuple):
    """A position among a tenant's exchanges, which are removed from the oldest on."""

    started_at: float
    exchange_id: str


START = PruneCursor(-math.inf, "")


class PrunedBatch(NamedTuple):
    """What a batch removed, and the position where it ended; None where nothing came behind."""

    exchanges: int
    responses: int
    last: PruneCursor | None


class FileSpace(Protocol):
    """The room in a database's file. All methods raise StoreError."""

    def free_bytes(self) -> int:
        """Return how many bytes of the file are free."""

    def has_writers(self) -> bool:
        """Return whether another process has the file open for writing."""

    def vacuum(self) -> int:
        """Write the file anew; return by how many bytes it is smaller."""

    def truncate(self) -> None:
        """Empty the log beside the file."""


class Remover(Protocol):
    """A connection that removes. For one thread; all methods but `close` raise StoreError."""

    @property
    def space(self) -> FileSpace | None:
        """Return what gives room in the file back; None on a server, which does so itself."""

    def remove(
        self, tenant: str, selection: Selection, after: PruneCursor, max_rows: int
    ) -> PrunedBatch:
        """Remove the first `max_rows` exchanges behind a position, in one transaction."""

    def checkpoint(self) -> None:
        """Keep the database's files from growing; called now and then."""

    def shrink_step(self) -> bool:
        """Return a little of the free space to the disk; return whether there is more to do."""

    def close(self) -> None:
        """Close the connection; closing twice is fine."""


def select_batch(
    execute: Execute, tenant: str, selection: Selection, after: PruneCursor, max_rows: int
) -> list[Row]:
    """Return the keys of the next exchanges: id, response, the response before it, start, body
    bytes, and how many have it as their base.

    Bodies may be large: where the first ones are much to remove at once, there are fewer rows. So
    there are where many bodies would have to be packed anew.
    """
    condition = build_removable_condition(selection)
    # A file knows no infinite numbers.
    started_at = max(after.started_at, -1e300)
    # Of few exchanges another index knows more than that of tenants and times.
    by_time, of_tenant = (
        ("", "tenant_id || ''") if selection.is_narrow else ("{by_time}", "tenant_id")
    )
    statement = (
        "SELECT exchange_id, response_id, previous_response_id, started_at,"
        f" coalesce(length(request_body), 0) + coalesce(length(raw_response), 0), {COUNT_BASED}"
        f" FROM {{exchanges}} {by_time} WHERE {of_tenant} = ?"
        " AND started_at >= ? AND (started_at, exchange_id COLLATE {bytewise}) > (?, ?)"
        f" AND {condition.sql}"
        " ORDER BY started_at, exchange_id COLLATE {bytewise} LIMIT ? {lock}"
    )
    values = (tenant, started_at, started_at, after.exchange_id, *condition.values, max_rows)
    rows = execute(statement, values)[0]
    sizes = accumulate(row[-2] for row in rows)
    based = accumulate(row[-1] for row in rows)
    fitting = min(sum(size <= _BYTES for size in sizes), sum(one <= MAX_BASED for one in based))
    return rows[: max(fitting, 1)]


def remove_batch(
    execute: Execute,
    tenant: str,
    selection: Selection,
    rows: Sequence[Row],
    *,
    before_responses: Callable[[str, Sequence[str]], Sequence[str]] = lambda _, ids: ids,
) -> PrunedBatch:
    """Remove exchanges, and the responses that nobody names any more. In a transaction.

    `before_responses` says which of these responses may be looked at.
    """
    if not rows:
        return PrunedBatch(0, 0, None)
    condition = build_removable_condition(selection)
    ids = release_bases(
        execute, [row[0] for row in rows], lambda: _select_again(execute, rows, condition)
    )
    if not ids:
        return PrunedBatch(0, 0, PruneCursor(rows[-1][3], rows[-1][0]))
    _, exchanges = execute(
        f"DELETE FROM {{exchanges}} WHERE exchange_id IN ({build_placeholders(ids)})"
        f" AND {condition.sql}",
        (*ids, *condition.values),
    )
    named = sorted({id_ for row in rows for id_ in row[1:3] if id_ is not None})
    free = before_responses(tenant, named) if named else named
    responses = 0
    if free:
        # `|| ''` keeps planners from the index of tenants, which would walk all rows.
        statement = (
            f"DELETE FROM {{responses}} WHERE tenant_id = ? AND id IN ({build_placeholders(free)})"
            + "".join(
                f" AND NOT EXISTS (SELECT 1 FROM {{exchanges}} WHERE {column} = {{responses}}.id"
                " AND {exchanges}.tenant_id || '' = ?)"
                for column in ("response_id", "previous_response_id")
            )
        )
        _, responses = execute(statement, (tenant, *free, tenant, tenant))
    return PrunedBatch(exchanges, responses, PruneCursor(rows[-1][3], rows[-1][0]))


def _select_again(execute: Execute, rows: Sequence[Row], condition: Condition) -> list[str]:
    """Return the ids of a batch that are still to be removed: since it was selected, some may have
    changed.
    """
    ids = [row[0] for row in rows]
    statement = (
        f"SELECT exchange_id FROM {{exchanges}} WHERE exchange_id IN ({build_placeholders(ids)})"
        f" AND {condition.sql}"
    )
    return [one for (one,) in execute(statement, (*ids, *condition.values))[0]]


def build_placeholders(values: Sequence[object]) -> str:
    """Return a `?` for each value, separated by commas."""
    return ", ".join([_PLACES] * len(values))


class PruneTarget(Closes):
    """Two connections to one database, for one thread: `reader` measures, `remover` removes."""

    def __init__(self, reader: Reader, remover: Remover) -> None:
        self.reader = reader
        self.remover = remover

    def close(self) -> None:
        """Close both connections; closing twice is fine."""
        self.remover.close()
        self.reader.close()


def retry_while_busy(attempt: Callable[[], T]) -> Generator[float, None, T]:
    """Return what `attempt` returns; yield the seconds to wait where the database is busy.

    Raises what the last of several attempts raises.
    """
    for number in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except TransientStoreError:
            yield _BUSY_PAUSE * 2**number
    return attempt()
