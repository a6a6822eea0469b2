"""Lookup of what answers are made of: only the columns that are needed.

`tenant_id || ''` keeps planners from searching by tenant, which would walk all of a tenant's rows.
"""

from __future__ import annotations

from contextlib import nullcontext

from response_store.errors import StoreError
from response_store.openai_api.accumulated import build_accumulated_sql
from response_store.serving.stored import Fields, ServedResponse
from response_store.store.lookup import Lookup
from response_store.store.records import EndedBy, Transport

_OBJECT = f"response_object, {build_accumulated_sql('{responses}')}"
_COLUMNS = {
    Fields.PRESENCE: "'', NULL",
    Fields.OBJECT: _OBJECT,
    Fields.STREAM: _OBJECT,
    Fields.INPUT: "input, NULL",
}
SERVED = {
    fields: f"SELECT {columns} FROM {{responses}} WHERE tenant_id = ? AND id = ?"
    for fields, columns in _COLUMNS.items()
}
RECORDED = f"""
SELECT raw_response FROM {{exchanges}}
WHERE response_id = ? AND tenant_id || '' = ? AND transport = '{Transport.SSE.value}'
    AND ended_by = '{EndedBy.TERMINAL_EVENT.value}' AND raw_response IS NOT NULL
ORDER BY started_at, exchange_id LIMIT 1"""


class ServedLookup(Lookup):
    """A `Lookup` that also finds what served answers are made of. For one thread."""

    def find_served(self, tenant: str, response_id: str, fields: Fields) -> ServedResponse | None:
        """Return some fields of the response with exactly this id. Raises StoreError."""
        streamed = fields is Fields.STREAM
        with self._reader.snapshot() if streamed else nullcontext():
            row = self._reader.row(SERVED[fields], (tenant, response_id))
            if row is None:
                return None
            recorded = self._find_recorded(tenant, response_id) if streamed else None
        text = self._check_text(row[0])
        if fields is Fields.INPUT:
            return ServedResponse(input=text)
        accumulated = row[1] if isinstance(row[1], str) else None
        return ServedResponse(text, recorded=recorded, accumulated=accumulated)

    def _find_recorded(self, tenant: str, response_id: str) -> bytes | None:
        """Return the oldest recorded stream of a response, a zstd frame."""
        row = self._reader.row(RECORDED, (response_id, tenant))
        return bytes(row[0]) if row else None

    def _check_text(self, value: object) -> str:
        if not isinstance(value, str):  # SQLite keeps whatever a program writes
            raise StoreError(
                f"{self._reader.name}: a row of a response holds something that is not text. "
                "Delete it, or have the program that wrote it write text."
            )
        return value
