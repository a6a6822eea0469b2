"""SQL functions that PostgreSQL has and SQLite lacks, registered on a connection."""

from __future__ import annotations

import re
from math import ceil
from typing import TYPE_CHECKING

from response_store.store.reading import CLIENT, MEASURES

if TYPE_CHECKING:
    import sqlite3

_PERCENTILE, _CLIENT = "response_store_percentile", "response_store_client"
_CLIENT_PATTERN = re.compile(CLIENT)

WORDS = {
    "p50": {column: f"{_PERCENTILE}({column}, 0.5)" for column in MEASURES},
    "p95": {column: f"{_PERCENTILE}({column}, 0.95)" for column in MEASURES},
    "client": f"{_CLIENT}(user_agent)",
    "floor_of": "CAST(",
    "floor_end": " AS INTEGER)",
}


class _Percentile:
    """The smallest value that so large a part of all values does not exceed."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._part = 0.0

    def step(self, value: object, part: float) -> None:
        self._part = part
        if isinstance(value, int | float):
            self._values.append(value)

    def finalize(self) -> float | None:
        if not self._values:
            return None
        self._values.sort()
        return self._values[max(ceil(self._part * len(self._values)) - 1, 0)]


def register_functions(connection: sqlite3.Connection) -> None:
    """Let the statements of a connection use the functions."""
    # typeshed asks aggregates for whole numbers, which SQLite does not.
    connection.create_aggregate(_PERCENTILE, 2, _Percentile)  # type: ignore[arg-type]
    connection.create_function(_CLIENT, 1, _read_client, deterministic=True)


def _read_client(user_agent: object) -> str | None:
    match = _CLIENT_PATTERN.match(user_agent) if isinstance(user_agent, str) else None
    return match[1] if match else None
