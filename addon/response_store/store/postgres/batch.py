"""A batch of changes in one transaction: responses first, then exchanges, each by its key.

The order of keys is the same for everyone, so that two proxies with rows in common wait for each
other rather than lock each other out.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import psycopg

from response_store.store.columns import response_values
from response_store.store.merging import merge
from response_store.store.postgres.each import each
from response_store.store.postgres.statements import Statements
from response_store.store.postgres.values import Connection
from response_store.store.records import Change, Deletion, Record, ResponseRow
from response_store.store.weighing import is_plain, large_columns

_Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]
_Key: TypeAlias = tuple[str, str]
_End: TypeAlias = ResponseRow | Deletion

_ROW_OVERHEAD = 1024  # bytes on the wire beside the large columns, roughly


def write_batch(connection: Connection, statements: Statements, changes: Sequence[Change]) -> None:
    """Commit a batch. Raises the driver's errors, and UnicodeEncodeError for a lone surrogate."""
    if not changes:
        return
    # The pipeline ends before the transaction does: what is refused is told by its end, which also
    # sends all that large rows left in the driver's buffer, as its `sync` would not.
    with connection.transaction(), connection.pipeline():
        cursor = connection.cursor()
        for gone, run in groupby(_settled(cursor, statements, changes), _is_deletion):
            statement = statements.delete_response if gone else statements.replace_response
            cursor.executemany(statement, map(_values, run))
        found = (each.exchange for each in changes if isinstance(each, Record))
        exchanges = sorted(found, key=attrgetter("exchange_id"))
        if exchanges:
            cursor.executemany(statements.record_exchange, map(msgspec.structs.astuple, exchanges))


def size(changes: Sequence[Change]) -> int:
    """How many bytes a batch sends, roughly."""
    return sum(map(large_columns, changes), len(changes) * _ROW_OVERHEAD)


def _settled(cursor: _Cursor, statements: Statements, changes: Sequence[Change]) -> list[_End]:
    """What becomes of each response, in the order of keys: written or deleted, once.

    What replaces whatever is stored is written without a look, and so is what follows a deletion.
    For the others the stored row is locked first; where there is none, the first one is put there,
    which makes others wait.
    """
    incoming: dict[_Key, list[_End]] = {}
    for change in changes:
        end = change if isinstance(change, Deletion) else change.response
        if end is not None:
            incoming.setdefault((end.tenant_id, end.id), []).append(end)
    unsure = {key: first for key, ends in incoming.items() if (first := _unsure(ends))}
    stored = _locked(cursor, statements, unsure)
    result = []
    for key in sorted(incoming):
        before = stored.get(key)
        after = _folded(before, incoming[key])
        if after is not before:
            result.append(after)
    return result


def _unsure(ends: Sequence[_End]) -> ResponseRow | None:
    """The first row, where what is stored counts; None where that is replaced or deleted."""
    rows = [end for end in ends if isinstance(end, ResponseRow)]
    sure = len(rows) < len(ends) or any(map(is_plain, rows))
    return None if sure else rows[0]


def _locked(
    cursor: _Cursor, statements: Statements, first: dict[_Key, ResponseRow]
) -> dict[_Key, ResponseRow]:
    """The stored rows, locked until the end of the transaction; `first` where there was none."""
    rows: dict[_Key, ResponseRow] = {}
    while waiting := sorted(first.keys() - rows.keys()):  # again for what was deleted meanwhile
        added = [response_values(first[key]) for key in waiting]
        for key, found in zip(waiting, each(cursor, statements.add_response, added), strict=True):
            if found is not None:
                rows[key] = first[key]
        there = [key for key in waiting if key not in rows]
        for key, found in zip(there, each(cursor, statements.lock_response, there), strict=True):
            if found is not None:
                rows[key] = ResponseRow(*found)
    return rows


def _folded(stored: ResponseRow | None, incoming: Sequence[_End]) -> _End:
    """What the stored row becomes by all that comes, one after the other."""
    current: _End | None = stored
    for end in incoming:
        if isinstance(end, Deletion) or not isinstance(current, ResponseRow) or is_plain(end):
            current = end
        elif end is not current:
            current = merge(current, end) or current
    assert current is not None, "a key has at least one end"
    return current


def _is_deletion(end: _End) -> bool:
    return isinstance(end, Deletion)


def _values(end: _End) -> tuple[Any, ...]:
    """What the statement for this end takes."""
    return (end.tenant_id, end.id) if isinstance(end, Deletion) else response_values(end)
