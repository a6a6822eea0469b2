"""Unpack bodies as they were on the wire, and count the tokens of exchanges."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from response_store.errors import StoreError
from response_store.format.text import format_number
from response_store.jsontext import check_values
from response_store.model import zstd

if TYPE_CHECKING:
    from response_store.model.records import ExchangeRow, StoredResponse
    from response_store.queries.lookup import LookupResult

_MAX_INTEGER_LENGTH = 300  # beyond it digits stay text: Python converts no more than 4,300
_STRICT = json.JSONDecoder(
    parse_int=str, parse_float=str, parse_constant=lambda _: _refuse_constant()
)


def unpack_body(frame: bytes) -> bytes:
    """Return the bytes in a zstd frame. Raises StoreError where the frame is damaged."""
    try:
        return zstd.unpack(frame)
    except zstd.TooLargeZstdError as error:
        raise StoreError(
            f"The stored body is too large: {error}. See the row's other columns with --json, and"
            " the frame as it is stored with export."
        ) from None
    except zstd.DamagedZstdError as error:
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


MAX_INDENTED = 1 << 20
"""Characters of JSON that is indented: what is longer is shown as it came."""
_ONE_LINE = 60  # characters


def indent_json(text: str) -> str:
    """Return JSON text with its numbers and strings as they are and a line for each member.

    What fits into one line is one; what is too long, too deep or no JSON is returned as it is.
    """
    if len(text) > MAX_INDENTED:
        return text
    try:
        line = msgspec.json.format(text, indent=0)
        return line if len(line) <= _ONE_LINE else msgspec.json.format(text, indent=2)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text


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


class Tokens(NamedTuple):
    """Counts of tokens, None where nothing is known. `cached` and `reasoning` are parts."""

    input: int | None = None
    cached: int | None = None
    output: int | None = None
    reasoning: int | None = None

    @classmethod
    def of(cls, row: ExchangeRow) -> Tokens:
        """Return the tokens of an exchange."""
        return cls(row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens)

    def __str__(self) -> str:
        """Return `120 in (64 cached), 45 out (20 reasoning)`; nothing where neither is known."""
        if self.input is None and self.output is None:
            return ""
        cached = f" ({self.cached} cached)" if self.cached else ""
        reasoning = f" ({self.reasoning} reasoning)" if self.reasoning else ""
        return (
            f"{format_number(self.input)} in{cached}, {format_number(self.output)} out{reasoning}"
        )


def count_tokens(entry: LookupResult) -> Tokens:
    """Return the tokens of the row or, where that counts none, those that the response names.

    The row of a response that was asked for once more counts none, as another row has them.
    """
    counted = Tokens.of(entry.exchange) if entry.exchange else Tokens()
    if str(counted) or entry.response is None:
        return counted
    usage = _read_usage(entry.response)
    return Tokens(
        _count(usage, "input_tokens"),
        _count(_get_member(usage, "input_tokens_details"), "cached_tokens"),
        _count(usage, "output_tokens"),
        _count(_get_member(usage, "output_tokens_details"), "reasoning_tokens"),
    )


def count_priced_tokens(entry: LookupResult) -> ExchangeRow | None:
    """Return the row with the tokens that `count_tokens` says, those written to the cache as well.

    None without a row.
    """
    row, response = entry.exchange, entry.response
    if row is None or response is None or str(Tokens.of(row)):
        return row
    counted = count_tokens(entry)
    details = _get_member(_read_usage(response), "input_tokens_details")
    return msgspec.structs.replace(
        row,
        input_tokens=counted.input,
        cached_tokens=counted.cached,
        output_tokens=counted.output,
        cache_write_tokens=_count(details, "cache_write_tokens"),
    )


def _read_usage(response: StoredResponse) -> object:
    return _get_member(parse_document(response.response_object), "usage")


def sum_tokens(counts: Iterable[Tokens]) -> Tokens:
    """Return the sum of what is known."""
    return Tokens(*(_sum(column) for column in zip(*counts, strict=True)))


def _sum(column: Iterable[int | None]) -> int | None:
    known = [count for count in column if count is not None]
    return sum(known) if known else None


def _get_member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _count(usage: object, name: str) -> int | None:
    value = _get_member(usage, name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
