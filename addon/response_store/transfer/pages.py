"""Read a table's rows in pages, by key, with what each row holds as a digest.

Each page is read by itself, so no transaction is open in between. Rows that come behind the place
where the reading is are found, those that come before it are not. What is read stands alone: it
needs no other row (`queries/bodies.py`).

The SHA-256 of all columns one after the other, each with its length before it: text as UTF-8, whole
numbers and floats as eight bytes, blobs as they are; a null has the length -1. PostgreSQL makes it
where the rows are, so that looking whether a row is there costs no more than its digest.

A NUL in a text counts as U+FFFD, which PostgreSQL's tables hold in its place, and -0.0 as 0.0,
which SQLite's do.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from response_store.model.records import StoredResponse
from response_store.model.selection import Condition, Selection
from response_store.model.tables import (
    EXCHANGES,
    RESPONSES,
    STORED_EXCHANGE_COLUMNS,
    ColumnKind,
    Key,
    Row,
    Table,
    TableColumn,
)
from response_store.model.zstd import Compressor, build_raw_frame
from response_store.queries.bodies import Pack, complete_exchange, complete_response

if TYPE_CHECKING:
    from response_store.queries.reader import Reader

_FENCE = 1_000_000_000  # rows; keeps planners from looking for the filters' own indexes


def build_condition(table: Table, selection: Selection) -> Condition:
    """Return what stands after WHERE for the rows of a table.

    A tenant alone selects all of its rows. Further filters select exchanges, and of the other
    tables the rows that such an exchange names.
    """
    if table is EXCHANGES:
        return selection.condition()
    tenant_condition = Selection(tenant=selection.tenant).condition()
    filters = msgspec.structs.replace(selection, tenant=None)
    if filters == Selection():
        return tenant_condition
    exchange_condition = filters.condition()
    (other,) = (name for name in table.key if name != "tenant_id")
    return Condition(
        f"{tenant_condition.sql} AND EXISTS (SELECT 1 FROM (SELECT * FROM {{exchanges}} AS turn"
        f" WHERE turn.{table.of_exchange} = {{{table.word}}}.{other}"
        f" AND turn.tenant_id || '' = {{{table.word}}}.tenant_id LIMIT {_FENCE}) AS named"
        f" WHERE {exchange_condition.sql})",
        tenant_condition.values + exchange_condition.values,
    )


def count_selected(reader: Reader, table: Table, selection: Selection) -> int:
    """Return how many rows are selected."""
    condition, values = build_condition(table, selection)
    row = reader.row(f"SELECT count(*) FROM {{{table.word}}} WHERE {condition}", values)
    return int(row[0]) if row else 0


MAX_ROWS = 200
MAX_WEIGHT = 8 << 20  # bytes or characters; a page has one row at least


def list_key_pages(
    reader: Reader,
    table: Table,
    selection: Selection,
    *,
    max_rows: int = MAX_ROWS,
    max_weight: int = MAX_WEIGHT,
) -> Iterator[list[Key]]:
    """Yield the keys of the selected rows in pages, in the order of the table's key."""
    after: Key | None = None
    while rows := _read_keys(reader, table, selection, after, max_rows):
        page: list[Key] = []
        weight = 0
        for *key, heavy in rows:
            if page and weight + heavy > max_weight:
                yield page
                page, weight = [], 0
            page.append(tuple(key))
            weight += heavy
        yield page
        if len(rows) < max_rows:
            return
        after = page[-1]


def read_rows(
    reader: Reader, table: Table, keys: Sequence[Key], *, packs: bool = True
) -> Iterator[Row]:
    """Yield the rows with these keys, in their order, without those that are gone.

    Each stands alone: bodies are packed against no other, or unless it `packs` them not at all;
    input and messages are there, be they stored or not. So a row may be much larger than it is
    stored, and is made when it is taken.
    """
    pack = _compressor.frame if packs else build_raw_frame
    stored = read_stored_rows(reader, table, keys)
    completed = (_complete_row(reader, table, row, pack) for row in stored)
    return (row for row in completed if row is not None)


def read_stored_rows(reader: Reader, table: Table, keys: Sequence[Key]) -> list[Row]:
    """Return the rows with these keys, in their order, as they are stored."""
    names = STORED_EXCHANGE_COLUMNS if table is EXCHANGES else table.names
    columns = ", ".join(f"{{{table.word}}}.{name}" for name in names)
    rows = {table.key_of(row): row for row in select_by_keys(reader, table, columns, keys)}
    return [rows[key] for key in keys if key in rows]


_compressor = Compressor()


def _complete_row(reader: Reader, table: Table, row: Row, pack: Pack) -> Row | None:
    if table is EXCHANGES:
        return complete_exchange(reader, row, pack)
    if table is RESPONSES and all(isinstance(row[at], str) for at in _COMPLETED):
        return msgspec.structs.astuple(complete_response(reader, StoredResponse(*row)))
    return row


_COMPLETED = tuple(RESPONSES.names.index(name) for name in ("response_object", "input", "messages"))


def split_by_weight(rows: Iterable[Row], max_weight: int = MAX_WEIGHT) -> Iterator[list[Row]]:
    """Yield rows in lists that hold no more than a page; a list has one row at least."""
    part: list[Row] = []
    weight = 0
    for row in rows:
        heavy = sum(len(value) for value in row if isinstance(value, str | bytes))
        if part and weight + heavy > max_weight:
            yield part
            part, weight = [], 0
        part.append(row)
        weight += heavy
    if part:
        yield part


def select_by_keys(reader: Reader, table: Table, columns: str, keys: Sequence[Key]) -> list[Row]:
    """Return some columns of the rows with these keys, in any order."""
    if not keys:
        return []
    places = ", ".join(["(" + ", ".join("?" * len(table.key)) + ")"] * len(keys))
    same = " AND ".join(
        f"{{{table.word}}}.{name} = wanted.column{at}" for at, name in enumerate(table.key, 1)
    )
    return reader.rows(
        f"SELECT {columns} FROM (VALUES {places}) AS wanted JOIN {{{table.word}}} ON {same}",
        [value for key in keys for value in key],
    )


def _read_keys(
    reader: Reader, table: Table, selection: Selection, after: Key | None, max_rows: int
) -> list[Row]:
    condition, values = build_condition(table, selection)
    key = ", ".join(table.key)
    weight = " + ".join(f"coalesce(length({name}), 0)" for name in table.heavy)
    if after is not None:
        condition = f"({key}) > ({', '.join('?' * len(after))}) AND {condition}"
        values = (*after, *values)
    return reader.rows(
        f"SELECT {key}, {weight} FROM {{{table.word}}} WHERE {condition} ORDER BY {key} LIMIT ?",
        (*values, max_rows),
    )


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
    expression = f"CASE WHEN {_build_whole_condition(table)} THEN {_build_expression(table)} END"
    rows = select_by_keys(reader, table, f"{key}, {expression}", keys)
    digests = {tuple(row[:-1]): row[-1] and bytes(row[-1]) for row in rows}
    rest = [key for key, one in digests.items() if one is None]
    computed = {
        table.key_of(row): compute_digest(table, row) for row in read_rows(reader, table, rest)
    }
    return {key: one for key, one in (digests | computed).items() if one is not None}


def _build_whole_condition(table: Table) -> str:
    """Return the condition that a row can be read without another one."""
    name = f"{{{table.word}}}"
    if table is EXCHANGES:
        return f"{name}.request_base_id IS NULL"
    return f"{name}.input <> '[]'" if table is RESPONSES else "1 = 1"


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
