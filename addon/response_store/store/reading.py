"""One read-only look at a SQLite store, while proxies may be writing to it.

The file is opened with `mode=ro`: nothing here can create, migrate or change a database. SQLite
itself may put its `-wal` and `-shm` files beside a database in WAL mode, which is how readers
and writers find each other; `immutable` would avoid that and read torn pages, so it is not used.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from response_store.store.reading_errors import no_file, no_tables, translated, version_differs
from response_store.store.sqlite_schema import MIGRATIONS, SHARED_VERSION
from response_store.store.sqlite_statements import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from response_store.config.tables import TableNames

BUSY_SECONDS = 2.0

_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"

Row = tuple[Any, ...]


class Reading:
    """An open read-only connection; statements name the tables as `{exchanges}`, `{responses}`.

    For one thread. Raises `PermanentStoreError` where the file is missing, not a database, holds
    other tables or another version; `PassingStoreError` where it is locked.
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
        self.name = shown_as or str(path)
        self.versions: dict[str, int] = {}
        self._filled: dict[str, str] = {}
        self._quoted = {key: quoted(name) for key, name in names.by_placeholder().items()}
        self._connection = self._connected(busy_seconds)
        try:
            self._check(names)
        except BaseException:
            self.close()
            raise

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Every row of a statement."""
        with translated(self.name):
            return self._connection.execute(self._sql(statement), values).fetchall()

    def row(self, statement: str, values: Sequence[object] = ()) -> Row | None:
        """The first row of a statement, if any."""
        with translated(self.name):
            found: Row | None = self._connection.execute(self._sql(statement), values).fetchone()
            return found

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Several statements that see one state of the database."""
        self.rows("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    def sizes(self) -> tuple[int, int]:
        """Bytes of the database file and of its write-ahead log."""
        return self._size(self.path), self._size(self.path.with_name(self.path.name + "-wal"))

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _sql(self, statement: str) -> str:
        filled = self._filled.get(statement)
        if filled is None:
            filled = self._filled[statement] = statement.format(**self._quoted)
        return filled

    def _connected(self, busy_seconds: float) -> sqlite3.Connection:
        with translated(self.name):
            if not self.path.is_file():
                raise no_file(self.name, something=self.path.exists())
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=busy_seconds,
                isolation_level=None,
            )
        connection.text_factory = _text
        return connection

    def _size(self, path: Path) -> int:
        with translated(self.name), suppress(FileNotFoundError):
            return path.stat().st_size
        return 0

    def _check(self, names: TableNames) -> None:
        present = {str(name).lower() for (name,) in self.rows(_TABLES)}
        wanted = (
            names.responses, names.exchanges, names.responses_version, names.exchanges_version,
        )  # fmt: skip
        missing = [name for name in wanted if name.lower() not in present]
        if missing:
            raise no_tables(self.name, missing)
        self._check_version("responses", names.responses_version, SHARED_VERSION)
        self._check_version("exchanges", names.exchanges_version, len(MIGRATIONS))

    def _check_version(self, what: str, table: str, known: int) -> None:
        found = self.row(f"SELECT max(version) FROM {{{what}_version}}")
        stored = found[0] if found else None
        if stored != known:
            raise version_differs(self.name, table, stored, known)
        self.versions[what] = known


def _text(stored: bytes) -> str:
    """Text as stored, whatever it holds: lone surrogates pass, other wrong bytes are replaced."""
    try:
        return stored.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return stored.decode("utf-8", "replace")
