"""Dumpers that send values without a type, so that PostgreSQL takes that of each column.

One statement then stands for rows of any shape: the driver prepares a statement for each mixture
of types it meets, and a missing value or a larger number would make another one.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import psycopg
from psycopg.adapt import Buffer, Dumper, Loader
from psycopg.pq import Format

from response_store.json_text import LongText, column

Connection: TypeAlias = psycopg.Connection[tuple[Any, ...]]

_REPLACEMENT = "\ufffd".encode()


class TextDumper(Dumper):
    """Text; PostgreSQL's has no NUL, which becomes U+FFFD. Raises UnicodeEncodeError."""

    def dump(self, obj: str) -> Buffer:
        return obj.encode().replace(b"\0", _REPLACEMENT)


class NumberDumper(Dumper):
    """A number, written out."""

    def dump(self, obj: float) -> Buffer:
        return str(obj).encode()


class LargeTextLoader(Loader):
    """Text; a large one stays UTF-8."""

    def load(self, data: Buffer) -> LongText:
        return column(bytes(data))


class BytesDumper(Dumper):
    """Bytes, as they are, and texts that are UTF-8 already."""

    format = Format.BINARY

    def dump(self, obj: Buffer) -> Buffer:
        return obj


def register_dumpers(connection: Connection) -> None:
    """Have a connection send values in this way."""
    connection.adapters.register_dumper(str, TextDumper)
    connection.adapters.register_dumper(int, NumberDumper)
    connection.adapters.register_dumper(float, NumberDumper)
    connection.adapters.register_dumper(bytes, BytesDumper)
