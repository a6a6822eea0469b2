"""Digests of rows, 32 bytes, computed alike in Python and in PostgreSQL.

The SHA-256 of all columns one after the other, each with its length before it: text as UTF-8, whole
numbers and floats as eight bytes, blobs as they are; a null has the length -1. PostgreSQL makes it
where the rows are, so that looking whether a row is there costs no more than its digest.

A NUL in a text counts as U+FFFD, which PostgreSQL's tables hold in its place, and -0.0 as 0.0,
which SQLite's do.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from response_store.transfer.paging import read_rows, select_by_keys
from response_store.transfer.tables import ColumnKind, Key, Row, Table, TableColumn

if TYPE_CHECKING:
    from response_store.store.reading import Reader

_NULL = struct.pack(">i", -1)
_INTEGER = struct.Struct(">q")
_REAL = struct.Struct(">d")
_LENGTH = struct.Struct(">i")
_REPLACEMENT = "\ufffd"


def compute_digest(table: Table, row: Row) -> bytes:
    """Return the digest of a row."""
    hasher = hashlib.sha256()
    for column, value in zip(table.columns, row, strict=True):
        if value is None:
            hasher.update(_NULL)
        else:
            data = encode_canonical(column.kind, value)
            hasher.update(_LENGTH.pack(len(data)))
            hasher.update(data)
    return hasher.digest()


def read_digests(reader: Reader, table: Table, keys: Sequence[Key]) -> dict[Key, bytes]:
    """Return the digests of the rows with these keys, as far as they are there."""
    if reader.dialect == "sqlite":
        return {
            table.key_of(row): compute_digest(table, row) for row in read_rows(reader, table, keys)
        }
    name = f"{{{table.word}}}"
    key = ", ".join(f"{name}.{column}" for column in table.key)
    rows = select_by_keys(reader, table, f"{key}, {_build_expression(table)}", keys)
    return {tuple(row[:-1]): bytes(row[-1]) for row in rows}


def encode_canonical(kind: ColumnKind, value: Any) -> bytes:
    """Return the bytes that stand for a value that is not null."""
    if kind is ColumnKind.PACKED:
        return bytes(value)
    if isinstance(value, str):
        return value.replace("\0", _REPLACEMENT).encode("utf-8", "surrogatepass")
    if kind is ColumnKind.REAL:
        return _REAL.pack(float(value) + 0.0)
    if isinstance(value, int):
        return _INTEGER.pack(value)
    return repr(value).encode()  # what only another program can have put there


def _build_expression(table: Table) -> str:
    """Return the SQL expression of `compute_digest` for PostgreSQL."""
    return f"sha256({' || '.join(_build_column(table, column) for column in table.columns)})"


def _build_column(table: Table, column: TableColumn) -> str:
    value = f"{{{table.word}}}.{column.name}"
    match column.kind:
        case ColumnKind.PACKED:
            data = value
        case ColumnKind.INTEGER:
            data = f"int8send({value}::bigint)"
        case ColumnKind.REAL:
            data = f"float8send({value}::double precision + 0)"
        case _:
            data = f"textsend({value}::text)"
    return f"coalesce(int4send(octet_length({data})) || {data}, int4send(-1))"
