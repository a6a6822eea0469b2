"""Pages of a table's rows by key, limited in number and in weight.

Each page is read by itself, so no transaction is open in between. Rows that come behind the place
where the reading is are found, those that come before it are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from response_store.transfer.scope import build_condition

if TYPE_CHECKING:
    from response_store.store.reading import Reader
    from response_store.store.selection import Selection
    from response_store.transfer.tables import Key, Row, Table

MAX_ROWS = 200
MAX_WEIGHT = 8 << 20  # bytes or characters; a page has one row at least


def list_key_pages(
    reader: Reader,
    table: Table,
    selection: Selection,
    *,
    max_rows: int = MAX_ROWS,
    max_weight: int = MAX_WEIGHT,
) -> Iterator[list[Key]]:
    """Yield the keys of the selected rows in pages, in the order of the table's key."""
    after: Key | None = None
    while rows := _read_keys(reader, table, selection, after, max_rows):
        page: list[Key] = []
        weight = 0
        for *key, heavy in rows:
            if page and weight + heavy > max_weight:
                yield page
                page, weight = [], 0
            page.append(tuple(key))
            weight += heavy
        yield page
        if len(rows) < max_rows:
            return
        after = page[-1]


def read_rows(reader: Reader, table: Table, keys: Sequence[Key]) -> list[Row]:
    """Return the rows with these keys, in their order, without those that are gone."""
    columns = ", ".join(f"{{{table.word}}}.{name}" for name in table.names)
    rows = {table.key_of(row): row for row in select_by_keys(reader, table, columns, keys)}
    return [rows[key] for key in keys if key in rows]


def select_by_keys(reader: Reader, table: Table, columns: str, keys: Sequence[Key]) -> list[Row]:
    """Return some columns of the rows with these keys, in any order."""
    if not keys:
        return []
    places = ", ".join(["(" + ", ".join("?" * len(table.key)) + ")"] * len(keys))
    same = " AND ".join(
        f"{{{table.word}}}.{name} = wanted.column{at}" for at, name in enumerate(table.key, 1)
    )
    return reader.rows(
        f"SELECT {columns} FROM (VALUES {places}) AS wanted JOIN {{{table.word}}} ON {same}",
        [value for key in keys for value in key],
    )


def _read_keys(
    reader: Reader, table: Table, selection: Selection, after: Key | None, max_rows: int
) -> list[Row]:
    where, values = build_condition(table, selection)
    key = ", ".join(table.key)
    weight = " + ".join(f"coalesce(length({name}), 0)" for name in table.heavy)
    if after is not None:
        where = f"({key}) > ({', '.join('?' * len(after))}) AND {where}"
        values = (*after, *values)
    return reader.rows(
        f"SELECT {key}, {weight} FROM {{{table.word}}} WHERE {where} ORDER BY {key} LIMIT ?",
        (*values, max_rows),
    )
