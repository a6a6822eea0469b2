"""Bodies as they were on the wire, out of the zstd frames that the store keeps."""

from __future__ import annotations

import json
import math

from response_store.errors import StoreError
from response_store.json_text import check_values
from response_store.store import packed

_MAX_INTEGER_LENGTH = 300  # beyond it digits stay text: Python converts no more than 4,300
_STRICT = json.JSONDecoder(
    parse_int=str, parse_float=str, parse_constant=lambda _: _refuse_constant()
)


def unpack_body(frame: bytes) -> bytes:
    """Return the bytes in a zstd frame. Raises StoreError where the frame is damaged."""
    try:
        return packed.unpack(frame)
    except packed.TooLargeZstdError as error:
        raise StoreError(
            f"The stored body is too large: {error}. See the row's other columns with --json, and"
            " the frame as it is stored with export."
        ) from None
    except packed.DamagedZstdError as error:
        raise StoreError(
            f"The stored body is damaged: {error}. The row's other columns are fine:"
            " see them with --json."
        ) from None


def is_json(text: str) -> bool:
    """Return whether this is JSON, whatever its numbers; text too deep to follow counts as JSON."""
    try:
        _STRICT.decode(text)
    except ValueError:
        return False
    except RecursionError:
        return text.lstrip(" \t\r\n")[:1] in ("[", "{")
    return True


def parse_document(text: str | None) -> object:
    """Return the value of JSON text for display; None where it can't be read."""
    if text is None:
        return None
    try:
        check_values(text.encode(errors="replace"))
        return json.loads(text, parse_int=_parse_integer, parse_float=_parse_real, strict=False)
    except (ValueError, RecursionError):
        return None


def _refuse_constant() -> None:
    raise ValueError


def _parse_integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_INTEGER_LENGTH else digits


def _parse_real(digits: str) -> float | str:
    value = float(digits)
    return value if math.isfinite(value) else digits
