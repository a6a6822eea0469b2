"""A batch of records in one transaction: responses first, then exchanges, each by its key.

The order of keys is the same for everyone, so that two proxies with rows in common wait for each
other rather than lock each other out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import psycopg

from response_store.store.merging import merge
from response_store.store.postgres_statements import Statements
from response_store.store.postgres_values import Connection
from response_store.store.records import Record, ResponseRow
from response_store.store.sqlite_statements import response_values

_Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]
_Key: TypeAlias = tuple[str, str]

_ROW_OVERHEAD = 1024  # bytes on the wire beside the large columns, roughly


def write_batch(connection: Connection, statements: Statements, records: Sequence[Record]) -> None:
    """Commit a batch. Raises the driver's errors, and UnicodeEncodeError for a lone surrogate."""
    if not records:
        return
    # The pipeline ends before the transaction does: what is refused is told by its end, which also
    # sends all that large rows left in the driver's buffer, as its `sync` would not.
    with connection.transaction(), connection.pipeline():
        cursor = connection.cursor()
        responses = _settled(cursor, statements, records)
        if responses:
            cursor.executemany(statements.replace_response, map(response_values, responses))
        exchanges = sorted((each.exchange for each in records), key=attrgetter("exchange_id"))
        cursor.executemany(statements.record_exchange, map(msgspec.structs.astuple, exchanges))


def size(records: Iterable[Record]) -> int:
    """How many bytes a batch sends, roughly."""
    return sum(map(_size, records))


def _settled(
    cursor: _Cursor, statements: Statements, records: Sequence[Record]
) -> list[ResponseRow]:
    """The responses to write, one for each key, in the order of keys.

    What replaces whatever is stored is written without a look. For the others the stored row is
    locked first; where there is none, the first one is put there, which makes others wait.
    """
    incoming: dict[_Key, list[ResponseRow]] = {}
    for record in records:
        if (row := record.response) is not None:
            incoming.setdefault((row.tenant_id, row.id), []).append(row)
    unsure = {key: rows[0] for key, rows in incoming.items() if not any(map(_is_plain, rows))}
    stored = _locked(cursor, statements, unsure)
    result = []
    for key in sorted(incoming):
        before = stored.get(key)
        after = _folded(before, incoming[key])
        if after is not before:
            result.append(after)
    return result


def _locked(
    cursor: _Cursor, statements: Statements, first: dict[_Key, ResponseRow]
) -> dict[_Key, ResponseRow]:
    """The stored rows, locked until the end of the transaction; `first` where there was none."""
    rows: dict[_Key, ResponseRow] = {}
    while waiting := sorted(first.keys() - rows.keys()):  # again for what was deleted meanwhile
        added = [response_values(first[key]) for key in waiting]
        for key, found in zip(waiting, _each(cursor, statements.add_response, added), strict=True):
            if found is not None:
                rows[key] = first[key]
        there = [key for key in waiting if key not in rows]
        for key, found in zip(there, _each(cursor, statements.lock_response, there), strict=True):
            if found is not None:
                rows[key] = ResponseRow(*found)
    return rows


def _each(
    cursor: _Cursor, statement: str, values: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...] | None]:
    """The only row, or None, that a statement gives for each of the values."""
    if not values:
        return
    cursor.executemany(statement, values, returning=True)
    more: bool | None = True
    while more:
        yield cursor.fetchone()
        more = cursor.nextset()


def _folded(stored: ResponseRow | None, incoming: Sequence[ResponseRow]) -> ResponseRow:
    """What the stored row becomes by all that comes, one after the other."""
    current = stored
    for row in incoming:
        if current is None or _is_plain(row):
            current = row
        elif row is not current:
            current = merge(current, row) or current
    assert current is not None, "a key has at least one row"
    return current


def _is_plain(response: ResponseRow) -> bool:
    """Whether a response replaces whatever is stored, so that nothing has to be read first."""
    return response.final and response.has_input


def _size(record: Record) -> int:
    response, exchange = record.response, record.exchange
    held = _ROW_OVERHEAD + len(exchange.request_body or b"") + len(exchange.raw_response or b"")
    held += len(exchange.result or "") + len(exchange.output_text or "")
    if response is not None:
        held += len(response.response_object) + len(response.input) + len(response.messages)
    return held
