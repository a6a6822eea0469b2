"""Connect to a SQLite file: made private, in WAL mode, as durable as configured."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import time
from array import array
from contextlib import closing
from functools import cache
from pathlib import Path

from response_store.backends.sqlite.files import check_files
from response_store.backends.sqlite.schema import check_catalogue
from response_store.config import Durability, SqliteTarget, TableNames
from response_store.errors import PermanentStoreError
from response_store.queries.reader import CLIENT, MEASURES, MODELS

BUSY_TIMEOUT_MS = 1000
_MODE = 0o600
_SYNCHRONOUS = {Durability.POWER: "FULL", Durability.PROCESS: "NORMAL"}
_WAL_PAUSE = 0.02  # seconds

FileIdentity = tuple[int, int]
"""Device and inode: what a path means now."""


def connect(target: SqliteTarget, durability: Durability, tables: TableNames) -> sqlite3.Connection:
    """Open a connection in autocommit mode; make the file, private, where it is missing.

    Raises PermanentStoreError where the file, or what it holds under the tables' names, is not
    ours; sqlite3.Error, OSError.
    """
    connection = sqlite3.connect(
        _prepare_uri(target),
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    try:
        distrust_schema(connection)
        check_catalogue(connection, tables, f"SQLite {target.describe()}")
        if not _is_fts5_innocuous():
            # Only a trusted schema may use it in a trigger, and ours is one that was compared.
            connection.execute("PRAGMA trusted_schema = ON")
        _set_up(connection, target, durability)
    except BaseException:
        connection.close()
        raise
    return connection


def distrust_schema(connection: sqlite3.Connection) -> None:
    """Have SQLite distrust what the file says of itself."""
    connection.execute("PRAGMA trusted_schema = OFF")
    # Python 3.11 has no way to say the rest.
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)


@cache
def _is_fts5_innocuous() -> bool:
    """Return whether this SQLite lets triggers of an untrusted schema use FTS5: newer ones do."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        try:
            connection.executescript(
                "CREATE TABLE a (b); CREATE VIRTUAL TABLE c USING fts5 (d);"
                "CREATE TRIGGER e AFTER DELETE ON a BEGIN DELETE FROM c; END;"
            )
            connection.execute("DELETE FROM a")
        except sqlite3.Error:
            return False
        return True


def set_synchronous(connection: sqlite3.Connection, durability: Durability) -> None:
    """Have commits, from now on, be as durable as configured."""
    connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")


def identify_file(path: Path | None) -> FileIdentity | None:
    """Return the identity of the file at a path; None where there is no file, or no path."""
    if path is None:
        return None
    try:
        status = os.stat(path)  # noqa: PTH116 - the quicker one
    except OSError:
        return None
    return status.st_dev, status.st_ino


def resolve_links(path: Path) -> Path:
    """Return the path without links, the same for all who name the same file."""
    return Path(os.path.realpath(path))


def _prepare_uri(target: SqliteTarget) -> str:
    if target.path is None:
        return ":memory:"
    path = resolve_links(target.path)
    check_files(target.path, f"SQLite {target.describe()}")
    if target.mode == "rwc":
        _make_private(path)
    elif not path.exists():
        raise PermanentStoreError(
            f"SQLite {target.describe()}: the file does not exist, and mode=rw makes none: "
            "make it, or leave the mode out"
        )
    return f"{path.as_uri()}?mode=rw"


def _make_private(path: Path) -> None:
    """Make an empty file that only its owner reads; SQLite gives -wal and -shm the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))
    except FileExistsError:
        return


def _set_up(connection: sqlite3.Connection, target: SqliteTarget, durability: Durability) -> None:
    # Text that is not UTF-8, of whatever program, may not keep its row from being replaced.
    connection.text_factory = lambda stored: stored.decode("utf-8", "replace")
    if target.path is not None:
        if resolve_links(target.path).stat().st_size == 0:
            # What is removed later can be given back in small steps.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        mode = _switch_to_wal(connection)
        if mode != "wal":
            connection.execute("BEGIN IMMEDIATE")  # says so if the file is read-only
            raise PermanentStoreError(
                f"SQLite {target.describe()}: WAL mode is refused ({mode}); "
                "put the file on a local disk"
            )
    set_synchronous(connection, durability)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -8000")


def _switch_to_wal(connection: sqlite3.Connection) -> str:
    """Switch, and tell the mode that is in force.

    Where several switch a new file at once, SQLite refuses some without waiting.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(_WAL_PAUSE)


_VALUES, _CLIENT = "response_store_values", "response_store_client"
_CLIENT_PATTERN = re.compile(CLIENT)

_DATE = "-".join("[0-9]" * digits for digits in (4, 2, 2))
WORDS = {
    "computed_once": "LIMIT -1",
    "quantiles": {column: f"{_VALUES}({column})" for column in MEASURES},
    "undated": {
        column: f"CASE WHEN {column} GLOB '?*-{_DATE}'"
        f" THEN substr({column}, 1, length({column}) - 11) ELSE {column} END"
        for column in MODELS
    },
    "client": f"{_CLIENT}(user_agent)",
    "floor_of": "CAST(",
    "floor_end": " AS INTEGER)",
}


class _Values:
    """All values, as bytes: who reads them picks the quantiles, of one group and of all."""

    def __init__(self) -> None:
        self._values: list[object] = []
        self.step = self._values.append  # a third of the time that a method of ours takes

    def finalize(self) -> bytes | None:
        values = sorted(one for one in self._values if isinstance(one, int | float))
        return array("d", values).tobytes() if values else None


def register_functions(connection: sqlite3.Connection) -> None:
    """Let the statements of a connection use the functions."""
    # typeshed asks aggregates for whole numbers, which SQLite does not.
    connection.create_aggregate(_VALUES, 1, _Values)  # type: ignore[arg-type]
    connection.create_function(_CLIENT, 1, _read_client, deterministic=True)


def _read_client(user_agent: object) -> str | None:
    match = _CLIENT_PATTERN.match(user_agent) if isinstance(user_agent, str) else None
    return match[1] if match else None
