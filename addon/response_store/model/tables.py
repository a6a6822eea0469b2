"""Name the columns of the three tables: their order, their keys, the kind of value each holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, TypeAlias

from response_store.model.records import ExchangeRow, PackedExchangeRow, ResponseRow

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
STORED_EXCHANGE_COLUMNS = PackedExchangeRow.__struct_fields__
"""With what only says how the row is stored, and does not travel with it."""
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


Row: TypeAlias = tuple[Any, ...]
"""The values of a row, in the order of its table's columns."""
Key: TypeAlias = tuple[str, ...]
"""The values of a row's key."""


class ColumnKind(Enum):
    """What a column holds."""

    TEXT = "text"
    INTEGER = "integer"  # of 64 bits
    REAL = "real"
    JSON = "json"  # text, which may be any
    PACKED = "packed"  # a zstd frame


@dataclass(frozen=True)
class TableColumn:
    """A column of a table."""

    name: str
    kind: ColumnKind
    nullable: bool


@dataclass(frozen=True)
class Table:
    """A table. `word` stands for it in SQL, as in `reading.py`; `row` names one row of it.

    `of_exchange` is the column of exchanges that names one of its rows, if any does.
    """

    word: str
    row: str
    key: tuple[str, ...]
    columns: tuple[TableColumn, ...]
    of_exchange: str | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def heavy(self) -> tuple[str, ...]:
        """Return the columns that may hold much."""
        return tuple(
            column.name
            for column in self.columns
            if column.kind in (ColumnKind.JSON, ColumnKind.PACKED) or column.name == "output_text"
        )

    def key_of(self, row: Row) -> Key:
        """Return the key of a row."""
        return tuple(row[at] for at in self._key_places)

    def shown(self, key: Key) -> str:
        """Return a key as errors show it: the id, and whose it is."""
        named = dict(zip(self.key, key, strict=True))
        tenant = named.pop("tenant_id", None)
        return f"{self.row} {', '.join(named.values())}" + (f" of {tenant}" if tenant else "")

    @cached_property
    def _key_places(self) -> tuple[int, ...]:
        return tuple(self.names.index(name) for name in self.key)


_TYPES = ResponseRow.__annotations__ | ExchangeRow.__annotations__
_INTEGERS = frozenset(name for name, kind in _TYPES.items() if kind.startswith("int"))
_REALS = frozenset(name for name, kind in _TYPES.items() if kind.startswith("float"))
_JSON = frozenset({"response_object", "input", "messages", "metadata", "result"})
_PACKED = frozenset({"request_body", "raw_response"})
_EXCHANGE_NEEDS = frozenset(
    "exchange_id tenant_id api transport state started_at method scheme host path"
    " recorder_id".split()
)


def _build_columns(
    names: tuple[str, ...], needed: frozenset[str] | tuple[str, ...]
) -> tuple[TableColumn, ...]:
    return tuple(TableColumn(name, _choose_kind(name), name not in needed) for name in names)


def _choose_kind(name: str) -> ColumnKind:
    for kind, names in (
        (ColumnKind.INTEGER, _INTEGERS),
        (ColumnKind.REAL, _REALS),
        (ColumnKind.JSON, _JSON),
        (ColumnKind.PACKED, _PACKED),
    ):
        if name in names:
            return kind
    return ColumnKind.TEXT


CONVERSATIONS = Table(
    "conversations",
    "conversation",
    ("conversation_id", "tenant_id"),
    _build_columns(CONVERSATION_COLUMNS, CONVERSATION_COLUMNS),
    "conversation_id",
)
RESPONSES = Table(
    "responses",
    "response",
    ("tenant_id", "id"),
    _build_columns(RESPONSE_COLUMNS, RESPONSE_COLUMNS),
    "response_id",
)
EXCHANGES = Table(
    "exchanges", "exchange", ("exchange_id",), _build_columns(EXCHANGE_COLUMNS, _EXCHANGE_NEEDS)
)

TABLES = (CONVERSATIONS, RESPONSES, EXCHANGES)
"""In the order in which they travel: what is named by others comes before them."""
BY_ROW = {table.row: table for table in TABLES}
