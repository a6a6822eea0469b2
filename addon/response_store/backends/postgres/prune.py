"""Remove rows from PostgreSQL, while proxies write to it.

Nothing here waits for a lock: what somebody else writes at this moment is passed over, so that
neither side holds up the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg.errors import InsufficientPrivilege

from response_store.backends.postgres.connection import PostgresConnections
from response_store.backends.postgres.errors import translate_errors
from response_store.backends.postgres.reader import UNDATED
from response_store.backends.postgres.schema import fold_names
from response_store.backends.postgres.watchdog import Watchdog
from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.errors import PermanentStoreError
from response_store.model.selection import Selection
from response_store.pruning.batch import (
    PruneCursor,
    PrunedBatch,
    build_placeholders,
    remove_batch,
    select_batch,
)
from response_store.pruning.redact import RowChange, rewrite_rows
from response_store.queries.reader import CLIENT, Row, name_tables


class PostgresRemover:
    """A `Remover` of a database whose tables are there."""

    space = None

    def __init__(self, target: PostgresTarget, names: TableNames) -> None:
        self._label = f"PostgreSQL {target.describe()}"
        self._names = fold_names(names)
        self._words: dict[str, Any] = {
            **name_tables(self._names),
            "bytewise": '"C"',
            "by_time": "",
            "lock": "FOR UPDATE SKIP LOCKED",
            "client": f"substring(user_agent FROM '{CLIENT}')",
            "undated": UNDATED,
        }
        self._watchdog = Watchdog(self._label)
        self._connection = PostgresConnections(target, self._watchdog).connect()

    def remove(
        self, tenant: str, selection: Selection, after: PruneCursor, max_rows: int
    ) -> PrunedBatch:
        with self._transaction():
            rows = select_batch(self._execute, tenant, selection, after, max_rows)
            return remove_batch(
                self._execute, tenant, selection, rows, before_responses=self._locked
            )

    def rewrite(self, changes: Sequence[RowChange]) -> tuple[list[RowChange], list[str]]:
        with self._transaction():
            return rewrite_rows(self._execute, changes)

    def purge_words(self) -> None:
        """Do nothing: words go with their rows, and these with the server's autovacuum."""

    def checkpoint(self) -> None:
        """Do nothing: the server looks after its files."""

    def shrink_step(self) -> bool:
        return False  # its autovacuum does

    def close(self) -> None:
        self._connection.close()
        self._watchdog.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with (
            translate_errors(self._label),
            self._watchdog.watching(self._connection),
            self._permitted(),
            self._connection.transaction(),
        ):
            yield

    @contextmanager
    def _permitted(self) -> Iterator[None]:
        """Name the missing privileges in errors: a role that only captures can do without some of
        them.
        """
        try:
            yield
        except InsufficientPrivilege:
            tables = f"{self._names.exchanges}, {self._names.responses}"
            raise PermanentStoreError(
                f"{self._label}: the role may not remove or change rows:"
                f" GRANT SELECT, UPDATE, DELETE ON {tables} to it, or do it as another role"
            ) from None

    def _locked(self, tenant: str, ids: Sequence[str]) -> Sequence[str]:
        """Lock and return the responses that nobody writes now, until the end of the transaction.

        This is a statement of its own, so that the next one sees which exchanges name them.
        """
        rows, _ = self._execute(
            f"SELECT id FROM {{responses}} WHERE tenant_id = ? AND id IN"
            f" ({build_placeholders(ids)}) ORDER BY id {{lock}}",
            (tenant, *ids),
        )
        return [row[0] for row in rows]

    def _execute(self, statement: str, values: Sequence[object]) -> tuple[list[Row], int]:
        filled = statement.format(**self._words).replace("?", "%s")
        cursor = self._connection.execute(filled, list(values))
        return (cursor.fetchall() if cursor.description else []), cursor.rowcount
