"""Export: a header, the selected rows by table and key, and an end, a line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from response_store import __version__
from response_store.store.columns import list_response_values
from response_store.store.records import Deletion
from response_store.transfer.lines import encode_object, encode_row
from response_store.transfer.paging import list_key_pages, read_rows
from response_store.transfer.tables import EXCHANGES, RESPONSES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from response_store.store.reading import Reader
    from response_store.store.records import Change
    from response_store.store.selection import Selection

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
            rows = read_rows(reader, table, keys)
            write(b"".join(encode_row(table, row) for row in rows))
            counts[table.word] += len(rows)
            advance(len(rows))
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
