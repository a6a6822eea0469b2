"""Rows as they are read back."""

from __future__ import annotations

from typing import Any

import msgspec

from response_store.store.records import ExchangeRow

_NAMES = ExchangeRow.__struct_fields__
EXCHANGE_COLUMNS = ", ".join(_NAMES)


class StoredResponse(msgspec.Struct, frozen=True):
    """A row of the responses table; `response_object`, `input`, `messages` are JSON text."""

    tenant_id: str
    id: str
    created_at: int
    model: str
    response_object: str
    input: str
    messages: str


def build_exchange_row(columns: tuple[Any, ...]) -> ExchangeRow:
    """Return the exchange of a row that was selected as `EXCHANGE_COLUMNS`."""
    return ExchangeRow(**dict(zip(_NAMES, columns, strict=True)))
