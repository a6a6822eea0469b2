"""Read a SQLite file, while proxies may be writing to it.

The file is opened with `mode=ro`: nothing here can create, migrate or change a database. SQLite
itself may put its `-wal` and `-shm` files beside a database in WAL mode, which is how readers
and writers find each other; `immutable` would avoid that and read torn pages, so it is not used.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from response_store.backends.sqlite import connection as sqlite_functions
from response_store.backends.sqlite.connection import distrust_schema
from response_store.backends.sqlite.files import check_files
from response_store.backends.sqlite.schema import check_catalogue
from response_store.model.tables import quote_name
from response_store.queries.reader import (
    ID_COLUMNS,
    Closes,
    Dialect,
    Row,
    SqliteLocation,
    build_cancelled_error,
    build_no_file_error,
    build_no_tables_error,
    explain_missing_tables,
    list_required_tables,
    name_tables,
    read_versions,
    translate_read_errors,
)

if TYPE_CHECKING:
    from response_store.config.table_names import TableNames

BUSY_SECONDS = 2.0

_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
_STEPS = 200_000  # of SQLite's machine, some milliseconds

_SURROGATES, _BEHIND_SURROGATES = 0xD800, 0xE000  # no text holds the code points between


class SqliteReader(Closes):
    """A `Reader` of a file.

    Raises `PermanentStoreError` where the file is missing, not a database, holds
    other tables or another version; `TransientStoreError` where it is locked.
    """

    def __init__(
        self,
        path: Path,
        names: TableNames,
        *,
        shown_as: str | None = None,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.path = path
        self.dialect: Dialect = "sqlite"
        self.name = shown_as or str(path)
        self.versions: dict[str, int] = {}
        self._filled: dict[str, str] = {}
        self._is_cancelled = False
        self._words = {
            **name_tables(names),
            "begins": {column: f"{column} >= ? AND {column} < ?" for column in ID_COLUMNS},
            "bytewise": "BINARY",
            "by_state": f"INDEXED BY {quote_name(names.exchanges_state_index)}",
            **sqlite_functions.WORDS,
        }
        self._connection = self._connected(busy_seconds)
        try:
            self._check(names)
        except BaseException:
            self.close()
            raise

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return every row of a statement."""
        with self._translate_errors():
            return self._connection.execute(self._sql(statement), values).fetchall()

    def row(self, statement: str, values: Sequence[object] = ()) -> Row | None:
        """Return the first row of a statement, if any."""
        with self._translate_errors():
            row: Row | None = self._connection.execute(self._sql(statement), values).fetchone()
            return row

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Have several statements see one state of the database."""
        self.rows("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def bind_prefix(self, text: str) -> tuple[object, ...] | None:
        """Return the first text that begins so, and the first one after all that do."""
        after = increment_prefix(text)
        return None if after is None else (text, after)

    def place(self) -> SqliteLocation:
        """Return the file and its size."""
        wal = self.path.with_name(self.path.name + "-wal")
        return SqliteLocation(
            database=self.name, database_bytes=self._size(self.path), wal_bytes=self._size(wal)
        )

    def cancel(self) -> None:
        """Break off what is read now, and refuse whatever comes after it. For any thread."""
        self._is_cancelled = True  # SQLite asks `_is_over` now and then

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._connection.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        if self._is_cancelled:
            raise build_cancelled_error(self.name)
        try:
            with translate_read_errors(self.name):
                yield
        except KeyboardInterrupt:
            if not self._is_cancelled:
                raise
            raise build_cancelled_error(self.name) from None

    def _sql(self, statement: str) -> str:
        filled = self._filled.get(statement)
        if filled is None:
            filled = self._filled[statement] = statement.format(**self._words)
        return filled

    def _connected(self, busy_seconds: float) -> sqlite3.Connection:
        with translate_read_errors(self.name):
            if not self.path.is_file():
                raise build_no_file_error(self.name, something=self.path.exists())
            check_files(self.path, self.name, writes=False)
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=busy_seconds,
                isolation_level=None,
            )
            distrust_schema(connection)
        connection.text_factory = _decode_text
        # SQLite runs one statement as long as it takes; here a signal is looked at in between.
        connection.set_progress_handler(self._is_over, _STEPS)
        sqlite_functions.register_functions(connection)
        return connection

    def _is_over(self) -> bool:
        """Return whether to end a statement; that Python runs at all is what has Ctrl-C end it."""
        return self._is_cancelled

    def _size(self, path: Path) -> int:
        with translate_read_errors(self.name), suppress(FileNotFoundError):
            return path.stat().st_size
        return 0

    def _why_no_tables(self, present: list[str]) -> str | None:
        """Return why tables are missing. What SQLite holds is asked: to open the file frees it."""
        mode = str(self.rows("PRAGMA journal_mode")[0][0])
        has_wal = self._size(self.path.with_name(self.path.name + "-wal")) > 0
        return explain_missing_tables(present, in_wal_mode=mode == "wal", has_wal=has_wal)

    def _check(self, names: TableNames) -> None:
        present = {str(name).lower() for (name,) in self.rows(_TABLES)}
        required = list_required_tables(names)
        missing = [name for name in required if name.lower() not in present]
        if missing:
            is_other = len(missing) == len(required)  # else it is ours, with other names in part
            why = self._why_no_tables(sorted(present)) if is_other else None
            raise build_no_tables_error(self.name, missing, why)
        with translate_read_errors(self.name):
            check_catalogue(self._connection, names, self.name)
        self.versions = read_versions(self, names)


def _decode_text(stored: bytes) -> str:
    """Return text as stored: lone surrogates are kept, other invalid bytes are replaced."""
    try:
        return stored.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return stored.decode("utf-8", "replace")


def increment_prefix(beginning: str) -> str | None:
    """Return the first text that sorts after all that begin so: its last character, one up."""
    kept = beginning.rstrip("\U0010ffff")
    if not kept:
        return None
    code = ord(kept[-1]) + 1
    return kept[:-1] + chr(_BEHIND_SURROGATES if code == _SURROGATES else code)
