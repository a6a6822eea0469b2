"""Removing one batch: the same steps in both databases.

A response goes with the last exchange that names it, be it as its own or as the one that it
continues. What no exchange ever named, as other programs write it, stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

from response_store.pruning.measures import build_removable_condition
from response_store.store.reading import Row
from response_store.store.selection import Selection

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


class Execute(Protocol):
    """Runs a statement in the words of `store/reading.py`."""

    def __call__(self, statement: str, values: Sequence[object]) -> tuple[list[Row], int]:
        """Run a statement; return its rows, and how many were removed."""


def select_batch(
    execute: Execute, tenant: str, selection: Selection, after: PruneCursor, max_rows: int
) -> list[Row]:
    """Return the keys of the next exchanges: id, response, the response before it, start, body
    bytes.

    Bodies may be large: where the first ones are much to remove at once, there are fewer rows.
    """
    where = build_removable_condition(selection)
    # A file knows no infinite numbers.
    started_at = max(after.started_at, -1e300)
    statement = (
        "SELECT exchange_id, response_id, previous_response_id, started_at,"
        " coalesce(length(request_body), 0) + coalesce(length(raw_response), 0)"
        " FROM {exchanges} {by_time} WHERE tenant_id = ?"
        " AND started_at >= ? AND (started_at, exchange_id COLLATE {bytewise}) > (?, ?)"
        f" AND {where.sql} ORDER BY started_at, exchange_id COLLATE {{bytewise}} LIMIT ? {{lock}}"
    )
    values = (tenant, started_at, started_at, after.exchange_id, *where.values, max_rows)
    rows = execute(statement, values)[0]
    sizes = accumulate(row[-1] for row in rows)
    return rows[: max(sum(size <= _BYTES for size in sizes), 1)]


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
    where = build_removable_condition(selection)
    ids = [row[0] for row in rows]
    _, exchanges = execute(
        f"DELETE FROM {{exchanges}} WHERE exchange_id IN ({build_placeholders(ids)})"
        f" AND {where.sql}",
        (*ids, *where.values),
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


def build_placeholders(values: Sequence[object]) -> str:
    """Return a `?` for each value, separated by commas."""
    return ", ".join([_PLACES] * len(values))
