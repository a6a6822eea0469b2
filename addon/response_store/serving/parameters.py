"""Parsing and checking of query parameters.

The last one of a name counts, but each is checked. Values are decoded as forms are: `+` is a blank.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

# Clients write a list as `include=`, `include[]=` or `include[0]=`.
_list_name = re.compile(r"include\[\d*\]").fullmatch
_LISTS = "include"
# A place in a list: what is no UTF-8 names no item, but needs no error of its own.
_LENIENT = "after"


class QueryError(ValueError):
    """A query breaks a rule. The message is the one that the client gets."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter; `raw` is its value as it came."""

    name: str
    value: str
    raw: str


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one query, in order."""

    occurrences: tuple[Parameter, ...]

    def named(self, name: str) -> Sequence[Parameter]:
        """Return every occurrence of a parameter."""
        return [parameter for parameter in self.occurrences if parameter.name == name]

    def last(self, name: str) -> Parameter | None:
        """Return the last occurrence of a parameter, which is the one that counts."""
        return next(reversed(self.named(name)), None)

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a parameter."""
        return tuple(parameter.value for parameter in self.named(name))


def parse_query(query: str, known: Collection[str]) -> Parameters:
    """Read a query of which only these names are known. Raises QueryError."""
    return Parameters(tuple(_parse_parameter(pair, known) for pair in query.split("&") if pair))


def parse_flag(parameters: Parameters, name: str, *, default: bool) -> bool:
    """Return a parameter that is true or false. Raises QueryError."""
    return parse_choice(parameters, name, ("true", "false"), default=str(default).lower()) == "true"


def parse_choice(parameters: Parameters, name: str, values: Sequence[str], *, default: str) -> str:
    """Return a parameter that is one of two values. Raises QueryError."""
    for parameter in parameters.named(name):
        if parameter.value not in values:
            raise QueryError(
                f"Invalid value for '{name}': must be '{values[0]}' or '{values[1]}',"
                f" got '{parameter.value}'."
            )
        default = parameter.value
    return default


def parse_number(parameters: Parameters, name: str, maximum: int) -> int | None:
    """Return a parameter that is a number in digits, at most `maximum`. Raises QueryError."""
    number = None
    for parameter in parameters.named(name):
        number = parse_digits(parameter.value, maximum)
        if number is None:
            raise QueryError(
                f"Invalid value for '{name}': '{parameter.raw}' is not a valid integer."
            )
    return number


def parse_digits(text: str, maximum: int) -> int | None:
    """Return the number in ASCII digits; None for anything else and for more than `maximum`."""
    if not (text.isascii() and text.isdigit()):
        return None
    significant = text.lstrip("0")
    if len(significant) > len(str(maximum)):  # Python refuses to read thousands of digits
        return None
    number = int(significant or "0")
    return number if number <= maximum else None


def _parse_parameter(pair: str, known: Collection[str]) -> Parameter:
    raw_name, equals, raw = pair.partition("=")
    try:
        name = _decode(raw_name)
    except UnicodeDecodeError:
        raise QueryError(f"Invalid percent-encoding in query parameter key '{raw_name}'.") from None
    if _list_name(name):
        name = _LISTS
    if name not in known:
        raise QueryError(f"Unknown query parameter: '{name}'.")
    if not equals:
        raise QueryError(f"Missing value for query parameter '{name}'.")
    try:
        return Parameter(name, _decode(raw, "replace" if name == _LENIENT else "strict"), raw)
    except UnicodeDecodeError:
        raise QueryError(f"Invalid percent-encoding in value for '{name}'.") from None


def _decode(text: str, errors: str = "strict") -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode(errors=errors)
