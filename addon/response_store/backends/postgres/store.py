"""Write to PostgreSQL: a batch and its checkpoint in one transaction, on a pool's connections.

The order of keys is the same for everyone, so that two proxies with rows in common wait for each
other rather than lock each other out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import msgspec
import psycopg
from psycopg.types.string import StrDumperUnknown

from response_store.backends.base import Checkpoint, CheckpointMovedError
from response_store.backends.postgres import schema as postgres_schema
from response_store.backends.postgres.connection import (
    Connection,
    LargeTextLoader,
    PoolLimits,
    PostgresConnections,
    make_durable,
)
from response_store.backends.postgres.errors import WorthARetryError, translate_errors
from response_store.backends.postgres.resolver import Resolver, resolve_by_system
from response_store.backends.postgres.schema import (
    build_postgres_statements,
    execute_returning,
    fold_names,
)
from response_store.backends.postgres.watchdog import BatchDeadline, Watchdog
from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.errors import RowRefusedError, TransientStoreError
from response_store.jsontext import LongText
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
    build_probe,
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
    changes: Sequence[Change],
    checkpoint: Checkpoint | None = None,
) -> int | None:
    """Write a batch in the caller's transaction; return how many final responses had a taken id.

    None where its journal stands elsewhere: the caller rolls back then. Raises the driver's errors,
    and UnicodeEncodeError for a lone surrogate.
    """
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
    return len(results) if moved is None or moved.rowcount == 1 else None


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
        (record.response.tenant_id, record.response.id): msgspec.structs.astuple(record.exchange)
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
        rows = (_prepare_values(msgspec.structs.astuple(exchange)) for exchange in left)
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


T = TypeVar("T")


class PostgresStore:
    """Keeps records in a PostgreSQL database. For one thread, but for `interrupt`.

    After a failure all connections are given up: the next opening tells at once whether the server
    is there, checks the schema again and starts with fresh ones. A connection that idled may have
    died meanwhile, and another proxy may have locked the same rows: what fails for that gets a
    second attempt at once. After an interruption nothing is written any more.
    """

    def __init__(
        self,
        target: PostgresTarget,
        tables: TableNames,
        *,
        limits: PoolLimits | None = None,
        deadline: BatchDeadline | None = None,
        resolver: Resolver = resolve_by_system,
    ) -> None:
        self._where = f"PostgreSQL {target.describe()}"
        self._tables = fold_names(tables)
        self._statements = build_postgres_statements(self._tables)
        self._watchdog = Watchdog(self._where, deadline)
        self._connections = PostgresConnections(target, self._watchdog, limits, resolver)
        self._is_open = False
        self._database_id = ""

    def describe(self) -> str:
        """Return where the records go."""
        return self._where

    @property
    def database_id(self) -> str:
        """Return the database's own id; known after `open`."""
        return self._database_id

    def open(self) -> None:
        """Connect and prepare the schema, unless that has been done since the last failure."""
        if self._is_open:
            return
        try:
            self._database_id = self._prepare()
            self._connections.open()
            self._is_open = True
            self._once(_ping)
        except RowRefusedError:
            self._leave()
            raise TransientStoreError(
                f"{self._where}: another program makes the schema at this moment"
            ) from None
        except BaseException:
            self._leave()
            raise

    def position(self, journal_id: str) -> int | None:
        """Return where a journal stands; None where this database knows nothing of it."""

        def read(connection: Connection) -> int | None:
            row = connection.execute(self._statements.read_position, (journal_id,)).fetchone()
            return row[0] if row else None

        return self._run(read)

    def write(self, changes: Sequence[Change], checkpoint: Checkpoint | None = None) -> int:
        """Commit a batch, and where its journal stands now."""

        def commit(connection: Connection) -> int:
            with connection.transaction():
                make_durable(connection)
                conflicts = write_batch(connection, self._statements, changes, checkpoint)
                if conflicts is None:
                    raise CheckpointMovedError(self._where)
                return conflicts

        try:
            return self._once(commit, estimate_size(changes))
        except WorthARetryError:
            return (
                0 if self._is_committed(checkpoint) else self._once(commit, estimate_size(changes))
            )

    def sync(self) -> None:
        """Do nothing: the server's disk has what is committed."""

    def finish(self, journal_id: str) -> None:
        """Forget a journal."""
        forget = self._statements.delete_position
        self._run(lambda connection: connection.execute(forget, (journal_id,)))

    def close_abandoned(self) -> int:
        """Make open rows whose journal is not known `interrupted`; return how many there were."""
        statement = self._statements.close_abandoned
        return self._run(lambda connection: connection.execute(statement).rowcount)

    def accepts(self, change: Change) -> bool:
        """Return whether a plain change of the same kind would be taken. Nothing stays of it."""

        def attempt(connection: Connection) -> None:
            with connection.transaction(force_rollback=True):
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # which wait for the commit
                write_batch(connection, self._statements, [build_probe(change)])

        try:
            self._run(attempt)
        except RowRefusedError:
            return False
        return True

    def maintain(self) -> None:
        """Do nothing: the server looks after its files."""

    def rest(self) -> None:
        """Do nothing: the server looks after its files."""

    def interrupt(self) -> None:
        """Cut the line of what is under way, and of all that would follow."""
        self._watchdog.give_up("writing was interrupted")

    def close(self) -> None:
        """Close all connections."""
        self._leave()
        self._watchdog.close()

    def _prepare(self) -> str:
        """Make, migrate or check the schema, on a connection that tells at once why there is none.

        The pool would not: it is glad to open without a server.
        """
        with (
            closing(self._connections.connect()) as connection,
            translate_errors(self._where),
            self._watchdog.watching(connection),
        ):
            return postgres_schema.prepare(connection, self._tables, self._where)

    def _run(self, work: Callable[[Connection], T]) -> T:
        """Do what may be done twice, a second time where the connection was at fault."""
        try:
            return self._once(work)
        except WorthARetryError:
            return self._once(work)

    def _once(self, work: Callable[[Connection], T], sent: int = 0) -> T:
        """Do work on a connection, which sends so many bytes or so."""
        self.open()
        try:
            with (
                self._connections.connection() as connection,
                translate_errors(self._where),
                self._watchdog.watching(connection, sent),
            ):
                return work(connection)
        except (RowRefusedError, CheckpointMovedError):
            raise
        except BaseException:
            self._leave()
            raise

    def _is_committed(self, checkpoint: Checkpoint | None) -> bool:
        """Return whether a commit whose answer was lost went through."""
        if checkpoint is None or checkpoint.position == checkpoint.expected:
            return False
        return self.position(checkpoint.journal_id) == checkpoint.position

    def _leave(self) -> None:
        self._is_open = False
        self._connections.close()


def _ping(connection: Connection) -> None:
    connection.execute("SELECT 1")
