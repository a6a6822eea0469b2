"""Checks of an export's lines: quick ones, and the published schema where something is wrong.

The quick look and the schema are of one mind, which a test shows. Only the schema can say what is
wrong, and it takes a hundred times as long.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import functools
import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from msgspec import Raw

from response_store import json_text
from response_store.errors import ResponseStoreError
from response_store.limits import IMPORTED_BYTES
from response_store.resources import read_schema
from response_store.store.packed import TooLargeZstdError, check_size
from response_store.strict_schema import build_strict_validator
from response_store.transfer.lines import BASE64, ODD_NUMBERS, STORED
from response_store.transfer.tables import BY_ROW, ColumnKind, Table

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
        return json_text.slice_all_members(line)
    except UnicodeDecodeError:
        raise BadLineError("this is not UTF-8. Was the file changed, or is it packed?") from None
    except json_text.UnreadableError as error:
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
    where = f"{error.absolute_path[0]}: " if error.absolute_path else ""
    limit = error.validator_value
    match error.validator:
        case "const" if where == "version: ":
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
            return f"{where}the type must be {' or '.join(kinds)}. Take the line out, or fix it."
        case "enum" | "const":
            allowed = limit if isinstance(limit, list) else [limit]
            return f"{where}the value must be {' or '.join(map(str, allowed))}. Is this an export?"
        case "not":
            return "a body stands there twice, in two spellings. Keep one of them."
        case _:
            return f"{where}the value breaks a rule of export.schema.json. Fix it."


@functools.cache
def _build_validator() -> Draft202012Validator:
    return build_strict_validator(load_schema())
