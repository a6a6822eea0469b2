"""A store as lines: a header, the rows that are meant by table and key, and an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from response_store import __version__
from response_store.transfer.lines import encoded, line_of
from response_store.transfer.paging import key_pages, rows_of
from response_store.transfer.tables import TABLES

if TYPE_CHECKING:
    from response_store.store.reading import Reading
    from response_store.store.selection import Selection

FORMAT = "response-store-export"
VERSION = 1


def export(
    reading: Reading,
    selection: Selection,
    write: Callable[[bytes], object],
    advance: Callable[[int], object],
) -> dict[str, int]:
    """Write every line. Returns how many rows of each table there were. Raises StoreError."""
    write(header())
    counts = dict.fromkeys((table.word for table in TABLES), 0)
    for table in TABLES:
        for keys in key_pages(reading, table, selection):
            rows = rows_of(reading, table, keys)
            write(b"".join(line_of(table, row) for row in rows))
            counts[table.word] += len(rows)
            advance(len(rows))
    write(encoded({"row": "end", **counts}))
    return counts


def header() -> bytes:
    """The first line."""
    program = f"mitmproxy-response-store {__version__}"
    return encoded({"row": "header", "format": FORMAT, "version": VERSION, "program": program})
