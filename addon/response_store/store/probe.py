"""A probe: a change of plain values, which the database refuses only if the table is at fault."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from response_store.store.records import Change, Deletion, ExchangeRow, Record, ResponseRow

# Few known words each, which a rule of the table may ask for.
_KEPT = frozenset({"api", "transport", "state", "ended_by", "method", "scheme"})
_PLAIN: dict[str, Any] = {"str": "x", "Any": "x", "bytes": b"", "int": 1, "float": 1.0}


def build_probe(change: Change) -> Change:
    """Return a change of the same kind with ids of its own, short plain texts and no bodies."""
    name = f"probe-{uuid.uuid4()}"
    if isinstance(change, Deletion):
        return Deletion(name, name)
    response = change.response and ResponseRow(name, name, 1, "x", "{}", "[]", "[]")
    return Record(_build_plain_exchange(change.exchange, name), response)


def _build_plain_exchange(exchange: ExchangeRow, name: str) -> ExchangeRow:
    """Return a row with values in the same columns, and in those that can't do without."""
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(exchange):
        value = getattr(exchange, field.name)
        if field.name in _KEPT and isinstance(value, str):
            values[field.name] = value
        elif value is not None or field.required:
            kind = str(field.type)
            values[field.name] = next(_PLAIN[word] for word in _PLAIN if word in kind)
    return ExchangeRow(**values | {"exchange_id": name})
