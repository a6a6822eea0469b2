"""A look into the SQLite file with nothing but SQL."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import zstandard

from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from tests.harness.records import NAMES

Row = dict[str, Any]
DEADLINE = 10.0


@dataclass(frozen=True)
class Database:
    """The database file of one or several proxies."""

    path: Path
    exchanges_table: str = "openai_exchanges"
    responses_table: str = "openai_responses"

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """The rows of any query; none where the file or its tables do not exist yet."""
        try:
            with closing(self._connect()) as connection:
                return [dict(row) for row in connection.execute(sql, values)]
        except sqlite3.OperationalError as error:
            if "no such table" in str(error) or "unable to open" in str(error):
                return []
            raise

    def exchanges(self, tenant: str | None = None) -> list[Row]:
        """The exchanges, oldest first, of one tenant or of all."""
        order = "ORDER BY started_at, rowid"
        if tenant is None:
            return self.rows(f"SELECT * FROM {self.exchanges_table} {order}")
        return self.rows(
            f"SELECT * FROM {self.exchanges_table} WHERE tenant_id = ? {order}", tenant
        )

    def responses(self, tenant: str | None = None) -> list[Row]:
        """The stored responses of one tenant or of all."""
        if tenant is None:
            return self.rows(f"SELECT * FROM {self.responses_table}")
        return self.rows(f"SELECT * FROM {self.responses_table} WHERE tenant_id = ?", tenant)

    def exchange(self, tenant: str) -> Row:
        """The one exchange of the tenant, as it is now."""
        rows = self.exchanges(tenant)
        assert len(rows) == 1, f"{len(rows)} exchanges of {tenant}, not 1"
        return rows[0]

    def response(self, tenant: str) -> Row:
        """The one stored response of the tenant."""
        rows = self.responses(tenant)
        assert len(rows) == 1, f"{len(rows)} responses of {tenant}, not 1"
        return rows[0]

    def ended(self, tenant: str, timeout: float = DEADLINE) -> Row:
        """The one exchange of the tenant, once it has ended."""
        (row,) = self.all_ended(tenant, 1, timeout)
        return row

    def all_ended(self, tenant: str, count: int, timeout: float = DEADLINE) -> list[Row]:
        """The exchanges of the tenant, once there are so many and all of them have ended."""
        deadline, pauses = monotonic() + timeout, growing_pauses()
        while True:
            rows = self.exchanges(tenant)
            states = [row["state"] for row in rows]
            if len(rows) >= count and "open" not in states:
                assert len(rows) == count, f"{len(rows)} exchanges of {tenant}, not {count}"
                return rows
            assert monotonic() < deadline, f"of {tenant}, after {timeout} s: {states}"
            sleep(next(pauses))

    def dump(self, tenant: str | None = None) -> str:
        """Every value of every table, blobs unpacked, as one text to search in.

        With a tenant, rows that are another one's are left out.
        """
        tables = self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
        values = [
            value
            for table in tables
            for row in self.rows(f"SELECT * FROM {table['name']}")
            if tenant in (None, row.get("tenant_id", tenant))
            for value in row.values()
        ]
        return "\n".join(as_text(value) for value in values)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)
        connection.row_factory = sqlite3.Row
        return connection


def growing_pauses() -> Iterator[float]:
    """Yield for how many seconds to sleep between one look and the next: ever longer."""
    pause = 0.002
    while True:
        yield pause
        pause = min(1.3 * pause, 0.03)


def write_empty(path: Path) -> None:
    """Write the file that the store makes: the schema takes four times as long as a copy."""
    path.touch(mode=0o600)
    path.write_bytes(_build_empty())


@cache
def _build_empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.db")
        with closing(SqliteStore(SqliteTarget(path), NAMES, Durability.PROCESS)) as store:
            store.open()
        return path.read_bytes()


def as_text(value: Any) -> str:
    """A value of a table as text; a packed blob as what it holds."""
    if isinstance(value, bytes):
        body = unpacked(value) if value.startswith(zstandard.FRAME_HEADER) else value
        return body.decode("utf-8", "backslashreplace")
    return str(value)


def unpacked(blob: bytes) -> bytes:
    """The bytes in a zstd frame."""
    return zstandard.ZstdDecompressor().decompressobj().decompress(blob)
