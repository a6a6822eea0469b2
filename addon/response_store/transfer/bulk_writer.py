"""Write rows from elsewhere, by the store's own rules.

- A response moves forward only, and a known input is never erased (`model/precedence.py`).
- An exchange is replaced by one in a later state, or in the same one with more of its raw answer
  (`model/precedence.py`).
- A conversation grows: one with longer messages is not replaced by one with shorter.

A batch is one transaction. No recorder enters, so the rows of others stay open as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from response_store import jsontext
from response_store.model.precedence import (
    build_body_updates,
    build_supersedes,
    is_another,
    is_final,
    merge,
    supersedes,
)
from response_store.model.records import ResponseRow
from response_store.model.tables import (
    CONVERSATIONS,
    EXCHANGES,
    RESPONSES,
    Key,
    Row,
    Table,
    TableColumn,
    list_response_values,
    quote_name,
)


class BulkWriter(Protocol):
    """An open database whose tables are there. For one thread; all methods raise StoreError."""

    @property
    def name(self) -> str:
        """Return what errors call the database; safe to show."""

    def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Commit rows of one table, each as far as the rules let it.

        Raises RowRefusedError where the database will never take one of them; then none is there.
        """

    def close(self) -> None:
        """Let go of everything; closing twice is fine."""


@functools.cache
def build_upsert(table: Table, name: str, place: Callable[[TableColumn], str]) -> str:
    """Return the statement that writes a row, unless the stored one is newer.

    `place` returns the parameter for a column.
    """
    places = ", ".join(place(column) for column in table.columns)
    body = build_body_updates(quote_name(name)) if table is EXCHANGES else {}
    columns = [column for column in table.names if column not in (*table.key, *body)]
    updates = ", ".join(
        f"{column} = {value}"
        for column, value in ({one: f"excluded.{one}" for one in columns} | body).items()
    )
    return (
        f"INSERT INTO {quote_name(name)} ({', '.join(table.names)}) VALUES ({places})"
        f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {updates}"
        f" WHERE {build_update_rule(table, quote_name(name))}"
    )


def merge_rows(stored: Mapping[Key, Row], rows: Iterable[Row]) -> list[Row]:
    """Return the rows of responses to write, where those that are stored are known."""
    result: dict[Key, Row] = {}
    for row in rows:
        key = RESPONSES.key_of(row)
        before = result.get(key) or stored.get(key)
        after = row if before is None else merge_row(before, row)
        if after is not None and after != before:
            result[key] = after
    return [result[key] for key in sorted(result)]


def merge_row(stored: Row, incoming: Row) -> Row | None:
    """Return what a stored response becomes by another; None where it stays as it is."""
    try:
        old, new = _build_response_row(stored), _build_response_row(incoming)
        after = None if is_another(old, new) else merge(old, new)
    except UnicodeEncodeError:  # what only another program writes has no state to judge by
        return incoming
    return None if after is None else list_response_values(after)


def is_stored_newer(table: Table, stored: Row, incoming: Row) -> bool:
    """Return whether a stored row stays as it is, because it is newer."""
    if table is RESPONSES:
        return merge_row(stored, incoming) in (None, stored)
    old = dict(zip(table.names, stored, strict=True))
    new = dict(zip(table.names, incoming, strict=True))
    if table is CONVERSATIONS:
        return len(old["messages"]) > len(new["messages"])
    return supersedes(old, new)


def build_update_rule(table: Table, name: str) -> str:
    """Return the SQL condition that `excluded` replaces a stored
    row; `name` is that of the table.
    """
    if table is EXCHANGES:
        return build_supersedes("excluded", name)
    if table is CONVERSATIONS:
        return f"length(excluded.messages) >= length({name}.messages)"
    return "1 = 1"


def _build_response_row(row: Row) -> ResponseRow:
    plain = ResponseRow(*row)
    return msgspec.structs.replace(
        plain,
        final=is_final(plain.response_object),
        has_input=bool(jsontext.strip_brackets(jsontext.as_utf8(plain.input))),
    )
