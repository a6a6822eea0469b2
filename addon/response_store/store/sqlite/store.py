"""The SQLite store: one connection that writes, whole batches in one transaction each."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace

from response_store.config import Durability, SqliteTarget, TableNames
from response_store.store.columns import RESPONSE_COLUMNS, quoted
from response_store.store.merging import merge
from response_store.store.records import Change, Deletion, EndedBy, Record, ResponseRow, State
from response_store.store.seldom import Seldom
from response_store.store.sqlite import schema as sqlite_schema
from response_store.store.sqlite.checkpoints import Checkpoints
from response_store.store.sqlite.connection import LOOK_EVERY, FileIdentity, connect, identity
from response_store.store.sqlite.errors import translated
from response_store.store.sqlite.recorders import Recorders
from response_store.store.sqlite.statements import (
    delete_response,
    insert_records,
    parameters,
    record_view,
)
from response_store.store.sqlite.transaction import interrupt, undone
from response_store.store.weighing import all_plain, is_plain, large_columns

_MOST_ROWS = 32  # in one statement; the driver keeps up to 128 of them prepared
_ROW_OVERHEAD = 4 * 4096  # pages that a row's indexes touch, roughly


class SqliteStore:
    """Keeps records in a SQLite file (or memory). Used by one thread, but for `interrupt`."""

    def __init__(
        self, target: SqliteTarget, tables: TableNames, durability: Durability, recorder_id: str
    ) -> None:
        self._target = target
        self._tables = tables
        self._durability = durability
        self._recorder_id = recorder_id
        self._connection: sqlite3.Connection | None = None
        self._file: FileIdentity | None = None
        # Not before every batch: the look gives up the interpreter lock, see `record_view.sql`.
        self._is_same_file = Seldom(lambda: self._file == identity(target), LOOK_EVERY)
        self._recorders = Recorders(target.path) if target.path else None
        self._checkpoints = Checkpoints(self._connect_again) if target.path else None

    def describe(self) -> str:
        """Where the records go."""
        return f"SQLite {self._target.describe()}"

    def open(self) -> None:
        """Connect, prepare the schema, and close what killed recorders left open."""
        if self._connection is not None:
            if self._is_same_file():
                return
            self._drop_connection()  # deleted or replaced: what is written there is lost
        where = self._target.describe()
        with translated(where):
            connection = connect(self._target, self._durability)
            try:
                sqlite_schema.prepare(connection, self._tables, where)
                for statement in record_view(self._tables):
                    connection.execute(statement)
                if self._recorders is not None:
                    self._enter(connection, self._recorders)
            except BaseException:
                connection.close()
                raise
            self._file = identity(self._target)
        self._connection = connection
        if self._checkpoints is not None:
            self._checkpoints.start()

    def write(self, changes: Sequence[Change]) -> None:
        """Commit a batch."""
        connection = self._connection
        assert connection is not None, "open comes before write"
        with translated(self._target.describe()):
            try:
                self._write(connection, changes)
            except BaseException as error:
                self._undo(connection, error)
                raise

    def after_acknowledge(self) -> None:
        """Have a checkpoint made if one is due."""
        if self._checkpoints is not None:
            self._checkpoints.poke()

    def interrupt(self) -> None:
        """Break off a statement that runs."""
        interrupt(self._connection)

    def close(self) -> None:
        """Close the connection, which checkpoints the file if nobody else has it open."""
        if self._checkpoints is not None:
            self._checkpoints.close()
        self._drop_connection()
        if self._recorders is not None:
            self._recorders.leave()

    def _connect_again(self) -> sqlite3.Connection:
        return connect(replace(self._target, mode="rw"), self._durability)

    def _write(self, connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
        if not all_plain(changes):
            self._write_each(connection, changes)
        elif 0 < len(changes) <= _MOST_ROWS:
            connection.execute(insert_records(len(changes)), parameters(changes))
        else:
            connection.execute("BEGIN IMMEDIATE")
            for part in _parts(changes, _MOST_ROWS):
                connection.execute(insert_records(len(part)), parameters(part))
            connection.execute("COMMIT")
        if self._checkpoints is not None:
            self._checkpoints.note(sum(map(large_columns, changes), len(changes) * _ROW_OVERHEAD))

    def _write_each(self, connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
        """One after the other: what one becomes depends on what those before it have left."""
        connection.execute("BEGIN IMMEDIATE")
        for change in changes:
            if isinstance(change, Deletion):
                connection.execute(delete_response(self._tables), (change.tenant_id, change.id))
            else:
                settled = self._settled(connection, change)
                connection.execute(insert_records(1), parameters([settled]))
        connection.execute("COMMIT")

    def _settled(self, connection: sqlite3.Connection, record: Record) -> Record:
        """Decide what becomes of the stored response, where the new one may not replace it."""
        incoming = record.response
        if incoming is None or is_plain(incoming):
            return record
        stored = self._stored(connection, incoming)
        return Record(record.exchange, merge(stored, incoming) if stored else incoming)

    def _stored(self, connection: sqlite3.Connection, like: ResponseRow) -> ResponseRow | None:
        row = connection.execute(
            f"SELECT {', '.join(RESPONSE_COLUMNS)} FROM {quoted(self._tables.responses)} "
            "WHERE tenant_id = ? AND id = ?",
            (like.tenant_id, like.id),
        ).fetchone()
        if row is None:
            return None
        return ResponseRow(*row)

    def _undo(self, connection: sqlite3.Connection, error: BaseException) -> None:
        """Leave no trace of a failed batch; connect anew where the connection may be at fault."""
        usable = undone(connection, error)
        if not usable and self._target.path is not None:  # memory goes with its connection
            self._drop_connection()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._checkpoints is not None:
            self._checkpoints.renew()

    def _enter(self, connection: sqlite3.Connection, recorders: Recorders) -> None:
        """Say that this recorder lives, and clear up after those that don't.

        The write transaction keeps others from doing the same at the same moment: nobody takes
        a lock file that is just being made for one that was left behind.
        """
        connection.execute("BEGIN IMMEDIATE")
        recorders.enter(self._recorder_id)
        self._close_abandoned(connection, recorders)
        recorders.sweep()
        connection.execute("COMMIT")

    def _close_abandoned(self, connection: sqlite3.Connection, recorders: Recorders) -> None:
        exchanges = quoted(self._tables.exchanges)
        ids = connection.execute(
            f"SELECT DISTINCT recorder_id FROM {exchanges} WHERE state = ?", (State.OPEN.value,)
        ).fetchall()
        for (recorder_id,) in ids:
            if recorder_id != self._recorder_id and not recorders.is_alive(recorder_id):
                connection.execute(
                    f"UPDATE {exchanges} SET state = ?, ended_by = ? "
                    "WHERE state = ? AND recorder_id = ?",
                    (
                        State.INTERRUPTED.value,
                        EndedBy.PROXY_STOPPED.value,
                        State.OPEN.value,
                        recorder_id,
                    ),
                )


def _parts(records: Sequence[Record], most: int) -> Iterator[Sequence[Record]]:
    """Cut a batch into parts of at most `most` records."""
    for at in range(0, len(records), most):
        yield records[at : at + most]
