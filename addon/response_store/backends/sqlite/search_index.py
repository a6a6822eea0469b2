"""The index of a SQLite file: an FTS5 table, written in transactions of one chunk each.

The connection does not sync its commits: the next of the writer's does it for both, and what a loss
of power takes is indexed again. Checkpoints are made now and then, as nobody else may write.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from response_store.backends.sqlite import schema as sqlite_schema
from response_store.backends.sqlite.connection import connect, identify_file
from response_store.backends.sqlite.errors import begin_immediate, translate_errors
from response_store.config import Durability, SqliteTarget, TableNames
from response_store.queries.reader import name_tables
from response_store.search.index import Entry
from response_store.search.tokenizer import CAMEL_MARK, Chunk

_MAX_CHUNKS = 65_536  # of an entry, at most: see schemas/sqlite/search_words.sql
_CHECKPOINT_BYTES = 4 * 1024 * 1024
_ROW_BYTES = 4 * 4096  # pages that a row touches, roughly
_SELECT_ENTRY = (
    "SELECT entry_id, state, characters, cut FROM {exchanges_search} WHERE exchange_id = ?"
)
_EXISTS = "SELECT 1 FROM {exchanges} WHERE exchange_id = ?"
_ENTER = """
INSERT INTO {exchanges_search} (exchange_id, tenant_id, started_at, state, characters, cut)
VALUES (?, ?, ?, ?, ?, ?)"""
_CLAIM = "UPDATE {exchanges_search} SET state = ?, characters = ?, cut = ? WHERE entry_id = ?"
_CLAIMED = "SELECT 1 FROM {exchanges_search} WHERE entry_id = ? AND state = ?"
_FINISH = "UPDATE {exchanges_search} SET state = ? WHERE entry_id = ? AND state = ?"
_CLEAR = "DELETE FROM {exchanges_search_words} WHERE rowid >= ? AND rowid < ?"
_WRITE = "INSERT INTO {exchanges_search_words} (rowid, words) VALUES (?, ?)"


class SqliteIndex:
    """An `Index` of a file. It waits for other writers `busy_ms`, then raises TransientStoreError.

    Raises PermanentStoreError where this SQLite has no FTS5.
    """

    def __init__(self, target: SqliteTarget, names: TableNames, *, busy_ms: int) -> None:
        self._target = replace(target, mode="rw")
        self._label = f"SQLite {target.describe()}"
        self._words = name_tables(names)
        self._noted = 0
        with translate_errors(self._label):
            self._connection = connect(self._target, Durability.PROCESS, names)
            try:
                sqlite_schema.require_fts5(self._connection, self._label)
                if not sqlite_schema.has_search_words(self._connection, names):
                    sqlite_schema.prepare(self._connection, names, self._label)
                self._connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
            except BaseException:
                self._connection.close()
                raise
            self._file = identify_file(self._target.path)

    def is_good(self) -> bool:
        return self._file == identify_file(self._target.path)

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with translate_errors(self._label):
            return self._run(statement, values).fetchall()

    def put(self, entry: Entry, yield_if_due: Callable[[], None]) -> None:
        """Write an entry, a transaction a chunk.

        Whoever begins the same one meanwhile takes it over: the two would write the same.
        """
        claim = f"#{secrets.token_hex(8)}"
        # Cut outside of the transaction, which others wait for.
        chunks = itertools.islice(entry.chunks(yield_if_due), _MAX_CHUNKS)
        first, second = next(chunks, None), next(chunks, None)
        state = entry.state if second is None else claim
        entry_id = self._begin(entry, state, first)
        if entry_id is None or second is None:
            return
        for number, chunk in enumerate(itertools.chain([second], chunks), start=1):
            yield_if_due()
            if not self._add(entry_id, claim, number, chunk):
                return
        yield_if_due()
        with self._transaction():
            self._run(_FINISH, (entry.state, entry_id, claim))

    def interrupt(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # closed at the same moment
            self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()

    def _begin(self, entry: Entry, state: str, first: Chunk | None) -> int | None:
        """Make or take over the entry, with its first chunk; None where there is nothing to do."""
        with self._transaction():
            if not self._run(_EXISTS, (entry.exchange_id,)).fetchone():
                return None
            row = self._run(_SELECT_ENTRY, (entry.exchange_id,)).fetchone()
            if row is None:
                key = (entry.exchange_id, entry.tenant_id, entry.started_at)
                entered = self._run(_ENTER, (*key, state, entry.characters, entry.cut))
                entry_id = int(entered.lastrowid or 0)
            elif row[1:] == (entry.state, entry.characters, entry.cut):
                return None
            else:
                entry_id = int(row[0])
                self._run(_CLAIM, (state, entry.characters, entry.cut, entry_id))
                self._run(_CLEAR, (entry_id * _MAX_CHUNKS, (entry_id + 1) * _MAX_CHUNKS))
            if first is not None:
                self._write(entry_id, 0, first)
            return entry_id

    def _add(self, entry_id: int, claim: str, number: int, chunk: Chunk) -> bool:
        """Write one more chunk; return False where another writer has taken the entry over."""
        with self._transaction():
            if not self._run(_CLAIMED, (entry_id, claim)).fetchone():
                return False
            self._write(entry_id, number, chunk)
            return True

    def _write(self, entry_id: int, number: int, chunk: Chunk) -> None:
        text = " ".join(
            (*chunk.words, *(f"{CAMEL_MARK}{camel_part}" for camel_part in chunk.camel_parts))
        )
        self._run(_WRITE, (entry_id * _MAX_CHUNKS + number, text))
        self._noted += 4 * len(text) + _ROW_BYTES

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with translate_errors(self._label):
            with begin_immediate(self._connection):
                yield
            if self._noted >= _CHECKPOINT_BYTES:
                self._noted = 0
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def _run(self, statement: str, values: Sequence[object]) -> sqlite3.Cursor:
        return self._connection.execute(statement.format(**self._words), values)
