"""The SQLite store: one connection that writes, a batch and its checkpoint in one transaction."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from response_store import jsontext
from response_store.backends.base import Checkpoint, CheckpointMovedError, Turn
from response_store.backends.sqlite import schema as sqlite_schema
from response_store.backends.sqlite.connection import BUSY_TIMEOUT_MS, connect, set_synchronous
from response_store.backends.sqlite.errors import (
    begin_immediate,
    interrupt,
    roll_back,
    translate_errors,
    try_roll_back,
)
from response_store.backends.sqlite.files import DatabaseFiles, FilesState
from response_store.config import Durability, SqliteTarget, TableNames
from response_store.errors import RowRefusedError, StoreError, TransientStoreError
from response_store.limits import LARGE_TEXT
from response_store.model.body_packer import BodyPacker, MissingBaseError, PackedChanges
from response_store.model.precedence import (
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
    list_stored_values,
    weigh_large_columns,
)
from response_store.model.tables import (
    RESPONSE_COLUMNS,
    STORED_EXCHANGE_COLUMNS,
    list_response_values,
)
from response_store.queries.statements import TurnKey, build_statements

_CHECKPOINT_BYTES = 16 * 1024 * 1024  # a page that is written often is copied once
_ROW_OVERHEAD = 4 * 4096  # pages that a row's indexes touch, roughly
# A log that is written over costs a seventh less than one that is cut and grows again, measured.
_CUT_BYTES = 48 * 1024 * 1024
_PATIENCE_MS = 20  # that cutting the log waits for a reader or another writer


class SqliteStore:
    """Keeps records in a SQLite file, or in memory. For one thread, but for `interrupt`.

    Where other files stand at the database's paths it is opened anew. `before_reopening` is called
    before that: who else has it open in this process must close it, as all connections of a process
    share one -shm, even one that was removed.
    """

    def __init__(
        self,
        target: SqliteTarget,
        tables: TableNames,
        durability: Durability,
        *,
        before_reopening: Callable[[], None] = lambda: None,
    ) -> None:
        self._target = target
        self._label = f"SQLite {target.describe()}"
        self._tables = tables
        self._durability = durability
        self._before_reopening = before_reopening
        self._statements = build_statements(tables, "?", "CAST(? AS TEXT)")
        self._connection: sqlite3.Connection | None = None
        self._files: DatabaseFiles | None = None
        self._database_id = ""
        self._packer = BodyPacker()
        self._written = 0  # bytes, roughly, since the last checkpoint

    def describe(self) -> str:
        """Return where the records go."""
        return self._label

    @property
    def database_id(self) -> str:
        """Return the database's own id; known after `open`."""
        return self._database_id

    def open(self) -> None:
        """Connect and prepare the schema; anew where the files were moved, replaced or written."""
        if self._connection is not None:
            state = self._files.look() if self._files is not None else FilesState.SAME
            if state is FilesState.SAME:
                return
            if state is FilesState.MOVED:
                self._leave_moved_files(self._connection)
            self._drop_connection()
        with translate_errors(self._label):
            connection = connect(self._target, self._durability, self._tables)
            try:
                self._database_id = sqlite_schema.prepare(connection, self._tables, self._label)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self._files = DatabaseFiles(self._target.path) if self._target.path else None

    def position(self, journal_id: str) -> int | None:
        """Return where a journal stands; None where this file knows nothing of it."""
        with self._use_connection() as connection:
            row = connection.execute(self._statements.read_position, (journal_id,)).fetchone()
            return row[0] if row else None

    def write(self, changes: Sequence[Change], checkpoint: Checkpoint | None = None) -> int:
        """Commit a batch, and where its journal stands now."""
        return self._packer.write(changes, lambda packed: self._write_packed(packed, checkpoint))

    def _write_packed(self, packed: PackedChanges, checkpoint: Checkpoint | None) -> int:
        changes = packed.changes
        with self._use_connection() as connection, begin_immediate(connection):
            if checkpoint is not None:
                self._move(connection, checkpoint)
            conflicts = self._apply(connection, changes)
            self._check_bases(connection, packed.bases)
            size = sum(map(weigh_large_columns, changes))
            if size > LARGE_TEXT:
                self._let_go(connection)
        self._written += size + len(changes) * _ROW_OVERHEAD
        if self._files is not None and not self._files.are_in_place():
            raise TransientStoreError(
                f"{self._label}: the file, its -wal or its -shm was moved or removed while a batch "
                "was written: what is there now is looked at again"
            )
        return conflicts

    def find_turns(self, names: Sequence[tuple[str, str]], key: TurnKey) -> list[Turn | None]:
        """Return the exchange that each pair of a name and a tenant means."""
        statement = self._statements.find_turns[key]
        with self._use_connection() as connection:
            rows = (connection.execute(statement, name).fetchone() for name in names)
            return [Turn(*row) if row else None for row in rows]

    def sync(self) -> None:
        """Have the disk keep all that was committed, also with `durability: process`.

        A commit that is synced takes all that stands before it in the log along. It has to change
        something: else nothing is written.
        """
        if self._durability is Durability.POWER or self._target.path is None:
            return
        with self._use_connection() as connection:
            set_synchronous(connection, Durability.POWER)
            try:
                connection.execute(self._statements.touch, (time.time(),))
            finally:
                set_synchronous(connection, self._durability)

    def finish(self, journal_id: str) -> None:
        """Forget a journal."""
        with self._use_connection() as connection:
            connection.execute(self._statements.delete_position, (journal_id,))

    def close_abandoned(self) -> int:
        """Make open rows whose journal is not known `interrupted`; return how many there were."""
        with self._use_connection() as connection:
            return connection.execute(self._statements.close_abandoned).rowcount

    def accepts(self, change: Change) -> bool:
        """Return whether a plain change of the same kind would be taken. Nothing stays of it."""
        try:
            with self._use_connection() as connection:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    self._apply(connection, [build_probe(change)])
                finally:
                    roll_back(connection)
        except RowRefusedError:
            return False
        return True

    def maintain(self) -> None:
        """Write the log back into the file once so much was written; cut it where it is long."""
        if self._written >= _CHECKPOINT_BYTES:
            self._write_back(_CUT_BYTES)

    def rest(self) -> None:
        """Write all of the log back into the file, so that a copy of the file is whole."""
        self._write_back(1)

    def interrupt(self) -> None:
        """Break off a statement that runs."""
        interrupt(self._connection)

    def close(self) -> None:
        """Close the connection, which checkpoints the file if nobody else has it open."""
        self._drop_connection()

    @contextlib.contextmanager
    def _use_connection(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection, open. After an error it is clean, or dropped where it may be bad."""
        self.open()
        connection = self._connection
        assert connection is not None, "it is open"
        with translate_errors(self._label):
            try:
                yield connection
            except BaseException as error:
                usable = try_roll_back(connection, error)
                if not usable and self._target.path is not None:  # memory goes with its connection
                    self._drop_connection()
                raise

    def _move(self, connection: sqlite3.Connection, checkpoint: Checkpoint) -> None:
        now, journal_id = time.time(), checkpoint.journal_id
        if checkpoint.expected is None:
            added = (journal_id, checkpoint.position, now)
            moved = connection.execute(self._statements.add_position, added)
        else:
            change = (checkpoint.position, now, journal_id, checkpoint.expected)
            moved = connection.execute(self._statements.move_position, change)
        if moved.rowcount != 1:
            raise CheckpointMovedError(self._label)

    def _apply(self, connection: sqlite3.Connection, changes: Sequence[Change]) -> int:
        groups = group_by_response(changes)
        unsure = [key for key, group in groups.items() if get_first_row(group)]
        rows, results = resolve_responses(groups, self._read_responses(connection, unsure))
        statements = self._statements
        removed = [key for key, row in rows.items() if row is None]
        connection.executemany(statements.delete_response, removed)
        values = (list_response_values(row) for row in rows.values() if row is not None)
        connection.executemany(statements.replace_response, values)
        if results:
            changes = list(attach_results(changes, results))
        exchanges = (change.exchange for change in changes if isinstance(change, Record))
        connection.executemany(statements.record_exchange, map(list_stored_values, exchanges))
        self._apply_conversations(connection, changes)
        return len(results)

    def _check_bases(self, connection: sqlite3.Connection, bases: Mapping[str, bytes]) -> None:
        """Raise MissingBaseError unless each base is stored unpacked, as it was packed against."""
        for exchange_id, frame in bases.items():
            row = connection.execute(self._statements.lock_base, (exchange_id,)).fetchone()
            if row is None or row[0] != frame:
                raise MissingBaseError

    def _let_go(self, connection: sqlite3.Connection) -> None:
        """Have the statements hold no large values: a cached one keeps them until the next."""
        statements = self._statements
        connection.execute("SAVEPOINT emptied")
        for statement, columns in (
            (statements.replace_response, RESPONSE_COLUMNS),
            (statements.record_exchange, STORED_EXCHANGE_COLUMNS),
        ):
            with contextlib.suppress(sqlite3.IntegrityError):
                connection.execute(statement, (None,) * len(columns))
        connection.execute(statements.set_result, (None, None))
        connection.execute("ROLLBACK TO emptied")
        connection.execute("RELEASE emptied")

    def _apply_conversations(
        self, connection: sqlite3.Connection, changes: Sequence[Change]
    ) -> None:
        statements = self._statements
        for key, group in group_by_conversation(changes):
            connection.execute(statements.add_conversation, build_empty_row(key, group)).fetchall()
            row = connection.execute(statements.read_conversation, key).fetchone()
            values = apply_changes(row, group)
            if values is None:
                connection.execute(statements.delete_conversation, key)
            else:
                connection.execute(statements.set_conversation, (*values, *key))

    def _read_responses(
        self, connection: sqlite3.Connection, keys: Sequence[Key]
    ) -> dict[Key, ResponseRow]:
        rows, usual = {}, connection.text_factory
        connection.text_factory = _column  # large ones stay UTF-8
        try:
            for key in keys:
                row = connection.execute(self._statements.read_response, key).fetchone()
                if row is not None:
                    rows[key] = ResponseRow(*row)
        finally:
            connection.text_factory = usual
        return rows

    def _write_back(self, least: int) -> None:
        """Have the log written back, and cut if it has so many bytes, without waiting for anybody.

        A reader that stays keeps it from being cut: it grows until the reader has gone. What fails
        here is left to the next time; the next batch says what is wrong.
        """
        if self._connection is None:
            return
        with contextlib.suppress(StoreError, sqlite3.Error):
            self.open()
            if self._files is not None and self._files.log_bytes:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                if self._files.log_bytes >= least:
                    _truncate_log(self._connection)
                self._files.note()
        self._written = 0

    def _leave_moved_files(self, connection: sqlite3.Connection) -> None:
        """Make what was moved away whole, as far as only its log has it, and leave no log behind.

        Not where somebody else has begun a log meanwhile: the file belongs to that one.
        """
        self._before_reopening()
        assert self._files is not None, "memory has no files"
        if self._files.log_is_ours():
            with contextlib.suppress(sqlite3.Error):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        with contextlib.suppress(OSError):
            self._files.remove_log_of_moved()

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _column(text: bytes) -> jsontext.LongText:
    return text if len(text) > LARGE_TEXT else text.decode(errors="replace")


def _truncate_log(connection: sqlite3.Connection) -> None:
    """Empty the log, unless somebody reads from it or writes to it for longer than a moment."""
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
