"""Read a PostgreSQL store, while proxies may be writing to it.

One connection, made the way the store makes its own: to an address that was checked at this
moment. Each look is a read-only transaction, and nothing is left behind in the session, so that a
pooler between here and the server does no harm.

Where reader and store need the same fix, the text is the store's (`backends/postgres/errors.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import TransactionStatus

from response_store.backends.postgres import errors as postgres_errors
from response_store.backends.postgres.connection import Connection, register_dumpers
from response_store.backends.postgres.errors import translate_connect_errors
from response_store.backends.postgres.resolver import (
    Resolver,
    build_checked_connection_string,
    resolve_by_system,
)
from response_store.backends.postgres.schema import find_hidden_tables, fold_names
from response_store.backends.postgres.watchdog import BatchDeadline, Watchdog
from response_store.config.postgres_target import PostgresTarget
from response_store.config.table_names import TableNames
from response_store.errors import PermanentStoreError, StoreError, TransientStoreError
from response_store.model.tables import quote_name
from response_store.queries.reader import (
    CLIENT,
    ID_COLUMNS,
    MEASURES,
    MODELS,
    QUANTILES,
    Dialect,
    PostgresLocation,
    Row,
    build_cancelled_error,
    build_no_tables_error,
    build_not_stored_error,
    list_required_tables,
    name_tables,
    read_versions,
)

_NO_RIGHT = "42501"
_NO_SUCH_VALUE = "22"
_TOO_LONG = "57014"
_LOCKED = "55P03"
_WRONG_STATEMENT = "42"


@contextmanager
def translate_read_errors(label: str) -> Iterator[None]:
    """Turn the driver's errors into ours; `label` is what errors call it."""
    with postgres_errors.translate_errors(label):
        try:
            yield
        except psycopg.Error as error:
            if (ours := _translate_for_reader(label, error.sqlstate or "")) is not None:
                raise ours from None
            raise
        except UnicodeEncodeError:
            raise build_not_stored_error(label) from None


def _translate_for_reader(label: str, state: str) -> StoreError | None:
    """Return the error where a reader needs another fix than a store; None for all others."""
    if state == _NO_RIGHT:
        return PermanentStoreError(
            f"{label}: the role may not read (SQLSTATE {state}). Grant it SELECT on the tables and"
            " USAGE on their schema, or connect as another role."
        )
    if state.startswith(_NO_SUCH_VALUE):
        return build_not_stored_error(label)
    if state == _TOO_LONG:
        return TransientStoreError(
            f"{label}: the answer took too long, so it was broken off (SQLSTATE {state}). Try"
            " again when the server has less to do."
        )
    if state == _LOCKED:
        return TransientStoreError(
            f"{label}: a table is locked by another program (SQLSTATE {state}). Try again in a"
            " moment."
        )
    if state.startswith(_WRONG_STATEMENT):
        return PermanentStoreError(
            f"{label}: the tables are not as this program knows them (SQLSTATE {state}). Check the"
            " table names in the configuration."
        )
    return None


SECONDS = 30.0
_GRACE = 5.0  # that the server has for saying itself that the time is over
_LOCK_SECONDS = 5.0
_CANCEL_SECONDS = 5.0
# Compiling what looks for a few rows takes longer than to find them.
_LIMITS = """
SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true),
    set_config('jit', 'off', true)"""
_NO_ENCODING = "SQL_ASCII"
UNDATED = {
    column: f"regexp_replace({column}, '^(.+)-[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$', '\\1')"
    for column in MODELS
}
"""The words `{undated[...]}`."""


class PostgresReader:
    """A `Reader` of a PostgreSQL database. No statement takes longer than `seconds`.

    Raises `PermanentStoreError` where somebody has to fix something first: no access, no tables,
    another version; `TransientStoreError` where the server is away or busy.
    """

    def __init__(
        self,
        target: PostgresTarget,
        names: TableNames,
        *,
        seconds: float = SECONDS,
        resolver: Resolver = resolve_by_system,
    ) -> None:
        self.dialect: Dialect = "postgresql"
        self.name = f"PostgreSQL {target.describe()}"
        self.versions: dict[str, int] = {}
        self._shown = target.describe()
        self._names = fold_names(names)
        self._limits = [f"{1000 * limit:.0f}ms" for limit in (seconds, min(_LOCK_SECONDS, seconds))]
        self._words: dict[str, Any] = {
            **name_tables(self._names),
            "begins": {column: f"{column} LIKE ?" for column in ID_COLUMNS},
            "bytewise": '"C"',
            "by_state": "",
            "computed_once": "",
            "floor_of": "floor(",
            "floor_end": ")",
            "quantiles": {column: _build_quantiles(column) for column in MEASURES},
            "undated": UNDATED,
            "client": f"substring(user_agent FROM '{CLIENT}')",
        }
        self._is_cancelled = False
        self._watchdog = Watchdog(self.name, BatchDeadline(seconds + _GRACE))
        self._connection = self._connected(target, resolver)
        try:
            with self.snapshot():
                self._check()
        except BaseException:
            self.close()
            raise

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return every row of a statement."""
        if self._connection.info.transaction_status is TransactionStatus.IDLE:
            with self.snapshot():
                return self._rows(statement, values)
        return self._rows(statement, values)

    def row(self, statement: str, values: Sequence[object] = ()) -> Row | None:
        """Return the first row of a statement, if any."""
        return next(iter(self.rows(statement, values)), None)

    def bind_prefix(self, text: str) -> tuple[object, ...]:
        """Return the pattern of texts that begin so. Only LIKE
        finds them whatever the collation.
        """
        escaped = text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
        return (f"{escaped}%",)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Have several statements see one state of the database."""
        with self._translate_errors():
            self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._connection.execute(_LIMITS, self._limits)
        try:
            yield
        finally:
            if not self._connection.closed:
                with self._translate_errors():
                    self._connection.execute("ROLLBACK")

    def place(self) -> PostgresLocation:
        """Return the server's version, and the size of each table that is there."""
        tables = (self._names.responses, self._names.conversations, self._names.exchanges)
        columns = ", ".join("pg_total_relation_size(to_regclass(?))" for _ in tables)
        sizes = self.rows(f"SELECT {columns}", [quote_name(table) for table in tables])[0]
        sized_tables = zip(tables, sizes, strict=True)
        return PostgresLocation(
            database=self._shown,
            server_version=self._connection.info.parameter_status("server_version") or "unknown",
            table_bytes={table: size for table, size in sized_tables if size is not None},
        )

    def cancel(self) -> None:
        """Break off what is read now, and refuse whatever comes after it. For any thread.

        It takes a connection of its own to tell the server. What fails there is left to the limit
        of time that every statement has.
        """
        self._is_cancelled = True
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=_CANCEL_SECONDS)

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._connection.close()
        self._watchdog.close()

    def _connected(self, target: PostgresTarget, resolver: Resolver) -> Connection:
        # The driver's own warnings repeat texts of the server.
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)
        checked = build_checked_connection_string(target, resolver)
        with translate_connect_errors(self.name, target.password):
            connection = psycopg.connect(checked.reveal(), autocommit=True, prepare_threshold=None)
            try:
                _set_up(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        if self._is_cancelled:
            raise build_cancelled_error(self.name)
        try:
            with translate_read_errors(self.name), self._watchdog.watching(self._connection):
                yield
        except StoreError:
            if not self._is_cancelled:
                raise
            raise build_cancelled_error(self.name) from None

    def _rows(self, statement: str, values: Sequence[object]) -> list[Row]:
        filled = statement.format(**self._words).replace("?", "%s")
        with self._translate_errors():
            return self._connection.execute(filled, list(values)).fetchall()

    def _check(self) -> None:
        required = list_required_tables(self._names)
        columns = ", ".join("to_regclass(?)" for _ in required)
        present = self.rows(f"SELECT {columns}", [quote_name(table) for table in required])[0]
        missing = [table for table, oid in zip(required, present, strict=True) if oid is None]
        if missing:
            raise build_no_tables_error(self.name, missing)
        with self._translate_errors():
            problems = list(find_hidden_tables(self._connection, self._names))
        if problems:
            raise PermanentStoreError(f"{self.name}: {'; '.join(problems)}")
        self.versions = read_versions(self, self._names)


def _build_quantiles(column: str) -> str:
    parts = ", ".join(map(str, QUANTILES))
    return f"percentile_disc(ARRAY[{parts}]) WITHIN GROUP (ORDER BY {column})"


def _set_up(connection: Connection) -> None:
    register_dumpers(connection)
    if connection.info.parameter_status("server_encoding") == _NO_ENCODING:
        # The server would refuse to send what it has cut in the middle of a character.
        connection.execute(f"SET client_encoding TO {_NO_ENCODING}")
        connection.adapters.register_loader("text", _BytesAsText)


class _BytesAsText(Loader):
    """Text of a database without an encoding, as well as it can be read."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "replace")
