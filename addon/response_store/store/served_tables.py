"""What answers are made of, out of a database's tables: the columns that are wanted, no others.

`tenant_id || ''` keeps planners from searching by tenant, which would walk all of a tenant's rows.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from response_store.errors import StoreError
from response_store.openai_api.accumulated import build_accumulated_sql
from response_store.serving.stored import Fields, ServedResponse
from response_store.store.lookup import RESPONSE
from response_store.store.records import EndedBy, ResponseRow, Transport

if TYPE_CHECKING:
    from response_store.store.reading import Reading

_OBJECT = f"response_object, {build_accumulated_sql('{responses}')}"
_COLUMNS = {
    Fields.PRESENCE: "'', NULL",
    Fields.OBJECT: _OBJECT,
    Fields.STREAM: _OBJECT,
    Fields.INPUT: "input, NULL",
}
FOUND = {
    wanted: f"SELECT {column} FROM {{responses}} WHERE tenant_id = ? AND id = ?"
    for wanted, column in _COLUMNS.items()
}
RECORDED = f"""
SELECT started_at, exchange_id, raw_response FROM {{exchanges}}
WHERE response_id = ? AND tenant_id || '' = ? AND transport = '{Transport.SSE.value}'
    AND ended_by = '{EndedBy.TERMINAL_EVENT.value}' AND raw_response IS NOT NULL
ORDER BY started_at, exchange_id LIMIT 1"""


class Recorded(NamedTuple):
    """A stream as it came, a zstd frame, and the exchange that brought it; the oldest sorts first.

    `started_at` is Unix seconds.
    """

    started_at: float
    exchange_id: str
    raw_response: bytes


class ServedTables:
    """A database's tables, as far as answers are made of them. For one thread."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def find(self, tenant: str, response_id: str, wanted: Fields) -> ServedResponse | None:
        """Return the wanted fields of a response. Raises StoreError."""
        streamed = wanted is Fields.STREAM
        with self._reading.snapshot() if streamed else nullcontext():
            row = self._reading.row(FOUND[wanted], (tenant, response_id))
            if row is None:
                return None
            recorded = self.recorded(tenant, response_id) if streamed else None
        text = self._text(row[0])
        if wanted is Fields.INPUT:
            return ServedResponse(input=text)
        return ServedResponse(
            response_object=text,
            recorded=recorded.raw_response if recorded else None,
            accumulated=row[1] if isinstance(row[1], str) else None,
        )

    def response(self, tenant: str, response_id: str) -> ResponseRow | None:
        """Return the whole row of a response. Raises StoreError."""
        row = self._reading.row(RESPONSE, (tenant, response_id))
        if row is None:
            return None
        found = ResponseRow(*row)
        for text in (found.response_object, found.input, found.messages):
            self._text(text)
        return found

    def recorded(self, tenant: str, response_id: str) -> Recorded | None:
        """Return the oldest recorded stream of a response. Raises StoreError."""
        row = self._reading.row(RECORDED, (response_id, tenant))
        return Recorded(row[0], row[1], bytes(row[2])) if row else None

    def _text(self, value: Any) -> str:
        if not isinstance(value, str):  # SQLite keeps whatever a program writes
            raise StoreError(
                f"{self._reading.name}: a row of a response holds something that is no text. "
                "Delete it, or have the program that wrote it write text."
            )
        return value
