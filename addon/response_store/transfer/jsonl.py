"""Write rows as lines of JSON, and read them back without a loss, each line checked.

- A column that is null is left out.
- JSON that a column holds stands in the line as it is, to the letter, where it is an object or an
  array on one line. Any other text stands there as a JSON string.
- Packed bodies are unpacked, and stand there in the same two ways. Bytes that are no text are in
  `NAME_base64`; what can't be unpacked is in `NAME_stored_base64`, as it is stored.
- Numbers that JSON has no word for are `"Infinity"`, `"-Infinity"` and `"NaN"`.

The quick look and the schema are of one mind, which a test shows. Only the schema can say what is
wrong, and it takes a hundred times as long.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import functools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from jsonschema import Draft202012Validator
from msgspec import Raw

from response_store import __version__, jsontext
from response_store.config.schema import build_strict_validator
from response_store.errors import ResponseStoreError, StoreError
from response_store.limits import IMPORTED_BYTES
from response_store.model.records import Change, Deletion
from response_store.model.tables import (
    BY_ROW,
    EXCHANGES,
    RESPONSES,
    TABLES,
    ColumnKind,
    Row,
    Table,
    TableColumn,
    list_response_values,
)
from response_store.model.zstd import (
    Compressor,
    DamagedZstdError,
    TooLargeZstdError,
    check_size,
    unpack,
)
from response_store.resources import read_schema
from response_store.transfer.pages import list_key_pages, read_rows

if TYPE_CHECKING:
    from response_store.model.selection import Selection
    from response_store.queries.reader import Reader

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
    """Return JSON unchanged where it fits into a line, else the text as a string."""
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


_INT64 = range(-(2**63), 2**63)
_OBJECT: dict[str, Any] = {}  # stands for any object, and the list for any array: their text counts
_ARRAY: list[Any] = []


class BadLineError(ResponseStoreError):
    """A line is not one of an export. The text says which rule it breaks, and the fix."""


class ExportLine:
    """A line that is one of an export: what its `row` says, and its members."""

    def __init__(self, line: bytes) -> None:
        """Parse and check a line. Raises BadLineError."""
        self.members = _slice_members(line)
        self.decoded = {name: _decode_shallow(value) for name, value in self.members.items()}
        self.row = self.decoded.get("row")
        self.table = BY_ROW.get(self.row) if isinstance(self.row, str) else None
        if self.table is None or not _fits(self.table, self.decoded):
            _explain(self.decoded)
        _check_bytes(self.decoded)


def load_schema() -> dict[str, Any]:
    """Return the JSON Schema of a line."""
    loaded: dict[str, Any] = json.loads(read_schema("export.schema.json"))
    return loaded


def _slice_members(line: bytes) -> dict[str, Raw]:
    line = line.removeprefix(codecs.BOM_UTF8)  # some editors and shells put it there
    try:
        line.decode()
        return jsontext.slice_all_members(line)
    except UnicodeDecodeError:
        raise BadLineError("this is not UTF-8. Was the file changed, or is it packed?") from None
    except jsontext.UnreadableError as error:
        raise BadLineError(
            f"this is not one JSON object ({error}). Was the file cut off, or changed by hand?"
        ) from None


def _decode_shallow(member: Raw) -> Any:
    """Return the value of a member, without looking into nested ones."""
    data = bytes(member)
    if data[:1] == b"{":
        return _OBJECT
    if data[:1] == b"[":
        return _ARRAY
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise BadLineError(
            "a value is not JSON, or a number has too many digits. Was the file changed by hand?"
        ) from None


def _fits(table: Table, decoded: Mapping[str, Any]) -> bool:
    """Return whether the schema would accept the members."""
    expected = 1
    for column in table.columns:
        name = column.name
        if column.kind is ColumnKind.PACKED:
            spellings = [
                other for other in (name, name + BASE64, name + STORED) if other in decoded
            ]
            if len(spellings) > 1:
                return False
            if spellings and not _fits_body(spellings[0] == name, decoded[spellings[0]]):
                return False
            expected += len(spellings)
        elif name in decoded:
            value = decoded[name]
            if not (_fits_kind(column.kind, value) or (value is None and column.nullable)):
                return False
            expected += 1
        elif not column.nullable:
            return False
    return len(decoded) == expected


def _fits_body(plain: bool, value: Any) -> bool:
    return value is None or isinstance(value, str) or (plain and isinstance(value, dict | list))


def _fits_kind(kind: ColumnKind, value: Any) -> bool:
    match kind:
        case ColumnKind.TEXT:
            return isinstance(value, str)
        case ColumnKind.JSON:
            return isinstance(value, str | dict | list)
        case ColumnKind.INTEGER:
            return type(value) is int and value in _INT64
        case _:
            odd = isinstance(value, str) and value in ODD_NUMBERS
            return odd or type(value) in (int, float)


def _check_bytes(decoded: Mapping[str, Any]) -> None:
    for name, value in decoded.items():
        if name.endswith(BASE64) and value is not None:
            try:
                body = base64.b64decode(value, validate=True)
                if name.endswith(STORED):
                    check_size(body, IMPORTED_BYTES)
            except TooLargeZstdError as error:
                raise BadLineError(f"{name}: {error}. Take the line out.") from None
            except (ValueError, binascii.Error):
                raise BadLineError(f"{name}: this is not base64. Take the line out.") from None


def _explain(decoded: Mapping[str, Any]) -> None:
    """Raise what the schema says, if it says anything."""
    errors = sorted(
        _build_validator().iter_errors(dict(decoded)), key=lambda error: len(error.path)
    )
    if errors:
        raise BadLineError(_describe_error(errors[0]))


def _describe_error(error: Any) -> str:
    place = f"{error.absolute_path[0]}: " if error.absolute_path else ""
    limit = error.validator_value
    match error.validator:
        case "const" if place == "version: ":
            return "a newer release has made this file: upgrade mitmproxy-response-store."
        case "required":
            missing = next(name for name in limit if name not in error.instance)
            return f"{missing} is missing. Take the line out, or export again."
        case "additionalProperties":
            known = error.schema["properties"]
            unknown = next(name for name in error.instance if name not in known)
            return (
                f"{unknown[:40]!r} is no column of a {known['row']['const']}. A newer release may"
                " have made the file: upgrade, or take the column out."
            )
        case "type":
            kinds = (
                [limit] if isinstance(limit, str) else [name for name in limit if name != "null"]
            )
            return f"{place}the type must be {' or '.join(kinds)}. Take the line out, or fix it."
        case "enum" | "const":
            allowed = limit if isinstance(limit, list) else [limit]
            return f"{place}the value must be {' or '.join(map(str, allowed))}. Is this an export?"
        case "not":
            return "a body stands there twice, in two spellings. Keep one of them."
        case _:
            return f"{place}the value breaks a rule of export.schema.json. Fix it."


@functools.cache
def _build_validator() -> Draft202012Validator:
    return build_strict_validator(load_schema())


FORMAT = "response-store-export"
VERSION = 1


def export(
    reader: Reader,
    selection: Selection,
    write: Callable[[bytes], object],
    advance: Callable[[int], object],
) -> dict[str, int]:
    """Write every line. Returns how many rows of each table there were. Raises StoreError."""
    write(build_header())
    counts = dict.fromkeys((table.word for table in TABLES), 0)
    for table in TABLES:
        for keys in list_key_pages(reader, table, selection):
            for row in read_rows(reader, table, keys, packs=False):
                write(encode_row(table, row))
                counts[table.word] += 1
                advance(1)
    write(encode_object({"row": "end", **counts}))
    return counts


def changes_as_lines(changes: Iterable[Change], *, bare: bool) -> tuple[list[bytes], int]:
    """Return the rows of changes as lines, and how many changes are none, or more than rows.

    `bare` leaves out the first line and the last, which make it an export.
    """
    responses, exchanges, left_out = [], [], 0
    for change in changes:
        if isinstance(change, Deletion):
            left_out += 1
            continue
        left_out += change.conversation is not None
        if change.response is not None:
            responses.append(encode_row(RESPONSES, list_response_values(change.response)))
        exchanges.append(encode_row(EXCHANGES, msgspec.structs.astuple(change.exchange)))
    counts = {"conversations": 0, "responses": len(responses), "exchanges": len(exchanges)}
    rows = [*responses, *exchanges]
    return rows if bare else [
        build_header(),
        *rows,
        encode_object({"row": "end", **counts}),
    ], left_out


def build_header() -> bytes:
    """Return the first line."""
    program = f"mitmproxy-response-store {__version__}"
    return encode_object(
        {"row": "header", "format": FORMAT, "version": VERSION, "program": program}
    )
