"""A row as a line of JSON, and back, without a loss. `schemas/export.schema.json` describes it.

- A column that is null is left out.
- JSON that a column holds stands in the line as it is, to the letter, where it is an object or an
  array on one line. Any other text stands there as a JSON string.
- Packed bodies are unpacked, and stand there in the same two ways. Bytes that are no text are in
  `NAME_base64`; what can't be unpacked is in `NAME_stored_base64`, as it is stored.
- Numbers that JSON has no word for are `"Infinity"`, `"-Infinity"` and `"NaN"`.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from response_store.errors import StoreError
from response_store.ingest.compression import Compressor
from response_store.store.packed import DamagedZstdError, unpack
from response_store.transfer.tables import ColumnKind, Row, Table, TableColumn

BASE64 = "_base64"
STORED = "_stored_base64"
ODD_NUMBERS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}

_compressor = Compressor()


def encode_row(table: Table, row: Row) -> bytes:
    """Return a row as a line with its line end. Raises StoreError
    for values that no store writes.
    """
    members: dict[str, object] = {"row": table.row}
    for column, value in zip(table.columns, row, strict=True):
        if value is not None:
            members.update(_encode_column(table, row, column, value))
    return encode_object(members)


def encode_object(members: Mapping[str, object]) -> bytes:
    """Return one JSON object as a line; lone surrogates become escapes."""
    try:
        return msgspec.json.encode(members) + b"\n"
    except UnicodeEncodeError:
        escaped = {
            name: Raw(json.dumps(value).encode()) if isinstance(value, str) else value
            for name, value in members.items()
        }
        return msgspec.json.encode(escaped) + b"\n"


def decode_row(table: Table, members: Mapping[str, Raw], decoded: Mapping[str, Any]) -> Row:
    """Return the row of a checked line, from its members as JSON text and as decoded values."""
    return tuple(_decode_value(column, members, decoded) for column in table.columns)


def _encode_column(
    table: Table, row: Row, column: TableColumn, value: Any
) -> Iterator[tuple[str, object]]:
    name = column.name
    match column.kind, value:
        case ColumnKind.TEXT, str():
            yield name, value
        case ColumnKind.INTEGER, int():
            yield name, value
        case ColumnKind.REAL, int() | float():
            yield name, _encode_number(float(value))
        case ColumnKind.JSON, str():
            yield name, _embed_json(value)
        case ColumnKind.PACKED, bytes() | memoryview():
            yield _encode_body(name, bytes(value))
        case _:
            raise StoreError(
                f"{table.shown(table.key_of(row))}: its {name} is not {_KIND_NAMES[column.kind]}."
                " Another program has written it: fix the row, or delete it."
            )


_KIND_NAMES = {
    ColumnKind.TEXT: "a text",
    ColumnKind.JSON: "a text",
    ColumnKind.INTEGER: "a whole number",
    ColumnKind.REAL: "a number",
    ColumnKind.PACKED: "a blob",
}


def _encode_number(value: float) -> object:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"


def _embed_json(text: str) -> object:
    """Return JSON as it is where it can stand in a line, else the text as a string."""
    if text[:1] in ("{", "[") and "\n" not in text and "\r" not in text:
        try:
            data = text.encode()
            # One level deeper, as it will stand in the line.
            if len(msgspec.json.decode(b"[%b]" % data, type=list[Raw])) == 1 and _is_bare_value(
                data
            ):
                return Raw(data)
        except (UnicodeEncodeError, msgspec.MsgspecError, RecursionError):
            pass
    return text


def _is_bare_value(data: bytes) -> bool:
    """Return whether it is one JSON value, without blanks around it."""
    return bytes(msgspec.json.decode(data, type=Raw)) == data


def _encode_body(name: str, frame: bytes) -> tuple[str, object]:
    try:
        body = unpack(frame)
    except DamagedZstdError:
        return name + STORED, base64.b64encode(frame).decode()
    try:
        return name, _embed_json(body.decode())
    except UnicodeDecodeError:
        return name + BASE64, base64.b64encode(body).decode()


def _decode_value(
    column: TableColumn, members: Mapping[str, Raw], decoded: Mapping[str, Any]
) -> Any:
    name = column.name
    if column.kind is ColumnKind.PACKED:
        return _decode_body(name, members, decoded)
    value = decoded.get(name)
    if value is None:
        return None
    return _READ[column.kind](members[name], value)


def _decode_text(member: Raw, value: Any) -> str:
    """Return the text that a line holds as a string, or as JSON of its own."""
    return value if isinstance(value, str) else bytes(member).decode()


def _decode_real(_: Raw, value: Any) -> float:
    if isinstance(value, str):
        return ODD_NUMBERS[value]
    try:
        return float(value)
    except OverflowError:  # as the same number with a point in it
        return math.inf if value > 0 else -math.inf


_READ: dict[ColumnKind, Callable[[Raw, Any], Any]] = {
    ColumnKind.TEXT: _decode_text,
    ColumnKind.JSON: _decode_text,
    ColumnKind.INTEGER: lambda _, value: int(value),
    ColumnKind.REAL: _decode_real,
}


def _decode_body(name: str, members: Mapping[str, Raw], decoded: Mapping[str, Any]) -> bytes | None:
    if (stored := decoded.get(name + STORED)) is not None:
        return base64.b64decode(stored)
    if (packed := decoded.get(name + BASE64)) is not None:
        return _compressor.frame(base64.b64decode(packed))
    if (value := decoded.get(name)) is not None:
        return _compressor.frame(_decode_text(members[name], value).encode())
    return None
