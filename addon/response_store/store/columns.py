"""The tables' columns and the values of rows in their order: the same in every database."""

from __future__ import annotations

from typing import Any

from response_store.store.records import ExchangeRow, ResponseRow

RESPONSE_COLUMNS = (
    "tenant_id",
    "id",
    "created_at",
    "model",
    "response_object",
    "input",
    "messages",
)
CONVERSATION_COLUMNS = ("conversation_id", "tenant_id", "created_at", "metadata", "messages")
EXCHANGE_COLUMNS = ExchangeRow.__struct_fields__
LARGE_TEXTS = frozenset({"response_object", "input", "messages", "result", "output_text"})
"""Columns whose values may be UTF-8 instead of `str`."""


def list_response_values(row: ResponseRow) -> tuple[Any, ...]:
    """Return the values of a response, in the order of its columns."""
    return (
        row.tenant_id,
        row.id,
        row.created_at,
        row.model,
        row.response_object,
        row.input,
        row.messages,
    )


def quote_name(name: str) -> str:
    """Return a name, already checked, as an SQL identifier."""
    return f'"{name}"'
