"""A store as lines: a header, the rows that are meant by table and key, and an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from response_store import __version__
from response_store.store.columns import list_response_values
from response_store.store.records import Deletion
from response_store.transfer.lines import encoded, line_of
from response_store.transfer.paging import key_pages, rows_of
from response_store.transfer.tables import EXCHANGES, RESPONSES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from response_store.store.reading import Reading
    from response_store.store.records import Change
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
            responses.append(line_of(RESPONSES, list_response_values(change.response)))
        exchanges.append(line_of(EXCHANGES, msgspec.structs.astuple(change.exchange)))
    counts = {"conversations": 0, "responses": len(responses), "exchanges": len(exchanges)}
    rows = [*responses, *exchanges]
    return rows if bare else [header(), *rows, encoded({"row": "end", **counts})], left_out


def header() -> bytes:
    """Return the first line."""
    program = f"mitmproxy-response-store {__version__}"
    return encoded({"row": "header", "format": FORMAT, "version": VERSION, "program": program})
