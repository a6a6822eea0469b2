"""Bringing an index up to date before it is asked: what no proxy has indexed yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from response_store.config.model import SqliteTarget
from response_store.errors import RowRefusedError, TransientStoreError
from response_store.search import index as indexes

if TYPE_CHECKING:
    from response_store.config.postgres_target import PostgresTarget
    from response_store.config.tables import TableNames
    from response_store.search.index import Index

BUSY_MS = 1000
_AT_ONCE = 500
_ATTEMPTS = 5


def open_index(
    target: SqliteTarget | PostgresTarget, names: TableNames, *, busy_ms: int = BUSY_MS
) -> Index:
    """The index of a database, open for writing. Raises StoreError."""
    if isinstance(target, SqliteTarget):
        from response_store.search.sqlite_index import SqliteIndex  # noqa: PLC0415 (one of two)

        return SqliteIndex(target, names, busy_ms=busy_ms)
    # psycopg takes a fifth of a second to import.
    from response_store.search.postgres_index import PostgresIndex  # noqa: PLC0415

    return PostgresIndex(target, names)


def catch_up(index: Index) -> Iterator[int]:
    """Index what is lacking; tells after each exchange how many are done. Raises StoreError."""
    done = 0
    for find in (indexes.missing, indexes.changed):
        after = ""
        while found := find(index.rows, after, _AT_ONCE):
            for exchange_id in found:
                if _insistent(partial(indexes.bring_up, index, exchange_id, _at_once)):
                    done += 1
                    yield done
            after = found[-1]


def _insistent(bring_up: Callable[[], bool]) -> bool:
    """Again where somebody else is in the way; without what no database takes."""
    for attempt in range(_ATTEMPTS):
        try:
            return bring_up()
        except RowRefusedError:
            return False
        except TransientStoreError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(0.1)
    return False


def _at_once() -> None:
    """No pause: somebody waits."""
