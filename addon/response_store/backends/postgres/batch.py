"""Write one batch of changes, and its journal's position, in a transaction of the caller's.

The order of keys is the same for everyone, so that two proxies with rows in common wait for each
other rather than lock each other out.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

import psycopg
from psycopg.types.string import StrDumperUnknown

from response_store.backends.base import Checkpoint
from response_store.backends.postgres.connection import Connection, LargeTextLoader
from response_store.backends.postgres.schema import execute_returning
from response_store.jsontext import LongText
from response_store.model.body_packer import MissingBaseError, PackedChanges
from response_store.model.precedence import (
    NO_MESSAGES,
    NO_METADATA,
    Key,
    apply_changes,
    attach_results,
    build_empty_row,
    get_first_row,
    group_by_conversation,
    group_by_response,
    resolve_responses,
)
from response_store.model.records import (
    Change,
    Record,
    ResponseRow,
    list_stored_values,
    weigh_large_columns,
)
from response_store.model.tables import list_response_values
from response_store.queries.statements import Statements

_Cursor: TypeAlias = psycopg.Cursor[tuple[Any, ...]]

_NUMBERS = frozenset({int, float})
_ROW_OVERHEAD = 1024  # bytes on the wire beside the large columns, roughly


def write_batch(
    connection: Connection,
    statements: Statements,
    packed: PackedChanges,
    checkpoint: Checkpoint | None = None,
) -> int | None:
    """Write a batch in the caller's transaction; return how many final responses had a taken id.

    None where its journal stands elsewhere: the caller rolls back then. Raises the driver's errors,
    UnicodeEncodeError for a lone surrogate, and MissingBaseError.
    """
    changes = packed.changes
    # The pipeline ends before the transaction does: what is refused is told by its end, which also
    # sends all that large rows left in the driver's buffer, as its `sync` would not.
    with connection.pipeline():
        moved = (
            _move_checkpoint(connection.cursor(), statements, checkpoint) if checkpoint else None
        )
        cursor = _open_text_cursor(connection)
        cursor.adapters.register_loader("text", LargeTextLoader)
        written, results = _write_responses(cursor, statements, changes)
        if results:
            changes = list(attach_results(changes, results))
        _write_exchanges(cursor, statements, changes, written)
        _write_conversations(_open_text_cursor(connection), statements, changes)
        held = _lock_bases(connection, statements, packed.bases)
    if any(cursor.rowcount != 1 for cursor in held):
        raise MissingBaseError
    return len(results) if moved is None or moved.rowcount == 1 else None


def _lock_bases(
    connection: Connection, statements: Statements, bases: Mapping[str, bytes]
) -> list[_Cursor]:
    """Have bases locked, so that nobody removes or replaces them before what is packed against them
    is there; once the pipeline has ended, each cursor has a row if its base is as packed against.

    They are compared where they are: a base may be large.
    """
    statement = f"{statements.lock_base} AND sha256(request_body) = %s FOR SHARE"
    cursors = []
    for exchange_id, frame in sorted(bases.items()):
        digest = hashlib.sha256(frame).digest()
        cursors.append(connection.cursor().execute(statement, (exchange_id, digest)))
    return cursors


def estimate_size(changes: Sequence[Change]) -> int:
    """Return how many bytes a batch sends, roughly."""
    return sum(map(weigh_large_columns, changes), len(changes) * _ROW_OVERHEAD)


def _move_checkpoint(cursor: _Cursor, statements: Statements, checkpoint: Checkpoint) -> _Cursor:
    """Have the journal's row moved; once the pipeline has ended, one row was if it stood there.

    It comes first, so that another process with the same frames waits here.
    """
    now, journal_id = time.time(), checkpoint.journal_id
    if checkpoint.expected is None:
        added = (journal_id, checkpoint.position, now)
        return cursor.execute(statements.add_position, added)
    change = (checkpoint.position, now, journal_id, checkpoint.expected)
    return cursor.execute(statements.move_position, change)


def _write_responses(
    cursor: _Cursor, statements: Statements, changes: Sequence[Change]
) -> tuple[set[str], dict[int, LongText]]:
    """Write or delete each response once.

    Return which exchanges were written along, and by their place in the batch the results of those
    whose response has the id of another one. Most responses are new: each is put there with its
    exchange, and those that were there already are locked, looked at and written where they change.
    """
    groups = group_by_response(changes)
    first = {key: row for key, group in groups.items() if (row := get_first_row(group))}
    exchanges = {key: values for key, values in _select_exchanges(changes).items() if key in first}
    stored, replaced = _lock_responses(cursor, statements, first, exchanges)
    rows, results = resolve_responses(groups, stored)
    for is_deletion, run in groupby(rows.items(), lambda end: end[1] is None):
        if is_deletion:
            cursor.executemany(statements.delete_response, (_prepare_values(key) for key, _ in run))
        else:
            values = (
                _prepare_values(list_response_values(row)) for _, row in run if row is not None
            )
            cursor.executemany(statements.replace_response, values)
    late = [
        _prepare_values((result, change.exchange.exchange_id))
        for place, result in results.items()
        if isinstance(change := changes[place], Record) and change.exchange.exchange_id in replaced
    ]
    cursor.executemany(statements.set_result, late)
    return {values[0] for values in exchanges.values()}, results


def _select_exchanges(changes: Sequence[Change]) -> dict[Key, tuple[Any, ...]]:
    """Return the values of one exchange for each response, to be written with it, where there is.

    The rows of an exchange that comes twice keep their order, and so are written by themselves.
    """
    records = [change for change in changes if isinstance(change, Record)]
    times = Counter(record.exchange.exchange_id for record in records)
    return {
        (record.response.tenant_id, record.response.id): list_stored_values(record.exchange)
        for record in records
        if record.response is not None and times[record.exchange.exchange_id] == 1
    }


def _write_exchanges(
    cursor: _Cursor, statements: Statements, changes: Sequence[Change], written: AbstractSet[str]
) -> None:
    """Write the exchanges that are not written yet."""
    exchanges = (change.exchange for change in changes if isinstance(change, Record))
    left = [exchange for exchange in exchanges if exchange.exchange_id not in written]
    if left:
        left.sort(key=attrgetter("exchange_id"))
        rows = (_prepare_values(list_stored_values(exchange)) for exchange in left)
        cursor.executemany(statements.record_exchange, rows)


def _write_conversations(
    cursor: _Cursor, statements: Statements, changes: Sequence[Change]
) -> None:
    """Write each conversation once; its row is there and locked before it is looked at.

    The cursor is fresh: in a pipeline, results of its statements before would come first.
    """
    groups = group_by_conversation(changes)
    new = [_prepare_values(build_empty_row(key, group)) for key, group in groups]
    if not list(execute_returning(cursor, statements.add_conversation, new)):
        return
    keys = [_prepare_values(key) for key, _ in groups]
    stored = list(execute_returning(cursor, statements.lock_conversation, keys))
    removed, kept = [], []
    for (key, group), row in zip(groups, stored, strict=True):
        values = apply_changes((row[0], row[1]) if row else (NO_METADATA, NO_MESSAGES), group)
        if values is None:
            removed.append(_prepare_values(key))
        else:
            kept.append(_prepare_values((*values, *key)))
    cursor.executemany(statements.delete_conversation, removed)
    cursor.executemany(statements.set_conversation, kept)


def _lock_responses(
    cursor: _Cursor,
    statements: Statements,
    first: Mapping[Key, ResponseRow],
    exchanges: Mapping[Key, tuple[Any, ...]],
) -> tuple[dict[Key, ResponseRow], set[str]]:
    """Return the stored rows, locked to the end of the transaction; `first` where was none.

    Also the ids of the `exchanges`, written along, that were new or replaced what was stored.
    """
    rows: dict[Key, ResponseRow] = {}
    replaced: set[str] = set()
    while waiting := sorted(first.keys() - rows.keys()):  # again for what was deleted meanwhile
        added = _add_responses(cursor, statements, waiting, first, exchanges)
        for key, is_new, is_replaced in added:
            rows |= {key: first[key]} if is_new else {}
            replaced |= {exchanges[key][0]} if is_replaced else set()
        present = [key for key in waiting if key not in rows]
        keys = [_prepare_values(key) for key in present]
        for key, row in zip(
            present, execute_returning(cursor, statements.lock_response, keys), strict=True
        ):
            if row is not None:
                rows[key] = ResponseRow(*row)
    return rows, replaced


def _add_responses(
    cursor: _Cursor,
    statements: Statements,
    keys: Sequence[Key],
    first: Mapping[Key, ResponseRow],
    exchanges: Mapping[Key, tuple[Any, ...]],
) -> Iterator[tuple[Key, bool, bool]]:
    """Put rows where there are none; yield for each key whether, and whether its exchange too."""
    # A statement for both rows takes the driver a third less than one for each, measured.
    add_both = (
        f"WITH added AS ({statements.add_response}),"
        f" recorded AS ({statements.record_exchange} RETURNING 1)"
        " SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM recorded)"
    )
    for alone, run in groupby(keys, lambda key: key not in exchanges):
        some = list(run)
        values = [
            _prepare_values(list_response_values(first[key]) + exchanges.get(key, ()))
            for key in some
        ]
        statement = statements.add_response if alone else add_both
        for key, row in zip(some, execute_returning(cursor, statement, values), strict=True):
            yield (
                key,
                row is not None and bool(row[0]),
                row is not None and bool(row[1:] and row[1]),
            )


def _open_text_cursor(connection: Connection) -> _Cursor:
    """Return a cursor that sends texts by the driver's own code, which takes no NUL.

    The connection's dumpers do as `_prepare_values`, but with a Python call for each value: a
    batch took a tenth longer with them, measured.
    """
    cursor = connection.cursor()
    cursor.adapters.register_dumper(str, StrDumperUnknown)
    return cursor


def _prepare_values(values: Sequence[Any]) -> tuple[Any, ...]:
    """Return values as they are sent: numbers written out, NUL in a text as U+FFFD."""
    return tuple(
        [
            value.replace("\0", "\ufffd")
            if isinstance(value, str) and "\0" in value
            else str(value)
            if type(value) in _NUMBERS
            else value
            for value in values
        ]
    )
