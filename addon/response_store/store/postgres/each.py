"""One statement for many values in one round trip, with the row that each returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg


def execute_returning(
    cursor: psycopg.Cursor[tuple[Any, ...]], statement: str, values: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...] | None]:
    """Yield the only row, or None, that a statement returns for each of the values."""
    if not values:
        return
    cursor.executemany(statement, values, returning=True)
    more: bool | None = True
    while more:
        yield cursor.fetchone()
        more = cursor.nextset()
