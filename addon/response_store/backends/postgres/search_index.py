"""The index of a PostgreSQL database: a table of tsvectors, an entry in one transaction.

Readers and the writer wait for none of it: what is locked are rows of the index, and the exchange
against being deleted meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from response_store.backends.postgres.connection import PostgresConnections
from response_store.backends.postgres.errors import translate_errors
from response_store.backends.postgres.schema import fold_names
from response_store.backends.postgres.watchdog import BatchDeadline, Watchdog
from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.queries.reader import name_tables
from response_store.search.index import Entry
from response_store.search.tokenizer import CAMEL_MARK, GAP, Chunk

# What a crash of the server takes of the index is indexed again.
_SETTINGS = """
SELECT set_config('statement_timeout', '60s', true), set_config('lock_timeout', '2s', true),
    set_config('synchronous_commit', 'off', true)"""
_EXISTS = "SELECT 1 FROM {exchanges} WHERE exchange_id = ? FOR KEY SHARE"
_ENTER = """
INSERT INTO {exchanges_search} (exchange_id, tenant_id, started_at, state, characters, cut)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (exchange_id) DO UPDATE SET
    state = excluded.state, characters = excluded.characters, cut = excluded.cut
WHERE ({exchanges_search}.state, {exchanges_search}.characters, {exchanges_search}.cut)
    <> (excluded.state, excluded.characters, excluded.cut)
RETURNING 1"""
_CLEAR = "DELETE FROM {exchanges_search_words} WHERE exchange_id = ?"
_WRITE = "INSERT INTO {exchanges_search_words} (exchange_id, part, words) VALUES (?, ?, ?)"


class PostgresIndex:
    """An `Index` of a database, on a connection of its own."""

    def __init__(self, target: PostgresTarget, names: TableNames) -> None:
        self._label = f"PostgreSQL {target.describe()}"
        self._words = name_tables(fold_names(names))
        self._watchdog = Watchdog(self._label, BatchDeadline())
        try:
            self._connection = PostgresConnections(target, self._watchdog).connect()
        except BaseException:
            self._watchdog.close()
            raise

    def is_good(self) -> bool:
        return not self._connection.closed

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with self._watched(), self._transaction():
            return self._run(statement, values)

    def put(self, entry: Entry, yield_if_due: Callable[[], None]) -> None:
        """Write an entry. Where two writers do so at once, the second finds it done.

        What `yield_if_due` lets in meanwhile may change the exchange, but not delete it.
        """
        vectors = [format_tsvector(chunk) for chunk in entry.chunks(yield_if_due)]
        with self._watched(), self._transaction():
            if not self._run(_EXISTS, (entry.exchange_id,)):
                return
            key = (entry.exchange_id, entry.tenant_id, entry.started_at)
            values = (*key, entry.state, entry.characters, entry.cut)
            if not self._run(_ENTER, values):
                return
            self._run(_CLEAR, (entry.exchange_id,))
            for number, words in enumerate(vectors):
                yield_if_due()
                self._run(_WRITE, (entry.exchange_id, number, words))

    def interrupt(self) -> None:
        self._watchdog.give_up("indexing was interrupted")

    def close(self) -> None:
        self._connection.close()
        self._watchdog.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Open a transaction with settings of its own: behind a pooler the session is shared."""
        with self._connection.transaction():
            self._connection.execute(_SETTINGS)
            yield

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with translate_errors(self._label), self._watchdog.watching(self._connection):
            yield

    def _run(self, statement: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        filled = statement.format(**self._words).replace("?", "%s")
        done = self._connection.execute(filled, list(values))
        return done.fetchall() if done.description else []


def format_tsvector(chunk: Chunk) -> str:
    """Return a chunk in the syntax of a tsvector: words with their places, parts of camelCase
    without.
    """
    places = defaultdict(list)
    for at, word in enumerate(chunk.words, start=1):
        if word != GAP:
            places[word].append(str(at))
    placed = (f"'{word}':{','.join(numbers)}" for word, numbers in places.items())
    return " ".join((*placed, *(f"'{CAMEL_MARK}{camel_part}'" for camel_part in chunk.camel_parts)))
