"""Connections to a SQLite file: made private, in WAL mode, as durable as configured."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from response_store.config import Durability, SqliteTarget
from response_store.errors import PermanentStoreError

BUSY_TIMEOUT_MS = 1000
_MODE = 0o600
_SYNCHRONOUS = {Durability.POWER: "FULL", Durability.PROCESS: "NORMAL"}
_WAL_PAUSE = 0.02  # seconds

FileIdentity = tuple[int, int]
"""Device and inode: what a path means now."""


def connect(target: SqliteTarget, durability: Durability) -> sqlite3.Connection:
    """Open a connection in autocommit mode; make the file, private, where it is missing."""
    connection = sqlite3.connect(
        _name(target),
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
        uri=True,
    )
    try:
        _set_up(connection, target, durability)
    except BaseException:
        connection.close()
        raise
    return connection


def identity(target: SqliteTarget) -> FileIdentity | None:
    """Which file stands at the path; None where there is none, or for memory."""
    if target.path is None:
        return None
    try:
        found = os.stat(target.path)  # noqa: PTH116 - the quicker one
    except OSError:
        return None
    return found.st_dev, found.st_ino


def real_path(path: Path) -> Path:
    """The path that all who mean the same file have in common."""
    return Path(os.path.realpath(path))


def _name(target: SqliteTarget) -> str:
    if target.path is None:
        return ":memory:"
    path = real_path(target.path)
    if target.mode == "rwc":
        _make_private(path)
    elif not path.exists():
        raise PermanentStoreError(
            f"SQLite {target.describe()}: the file does not exist, and mode=rw makes none: "
            "make it, or leave the mode out"
        )
    if path.is_dir():
        raise PermanentStoreError(f"SQLite {target.describe()}: a folder: name a file in it")
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
        if real_path(target.path).stat().st_size == 0:
            # What is removed later can be given back in small steps.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        mode = _switched_to_wal(connection)
        if mode != "wal":
            connection.execute("BEGIN IMMEDIATE")  # says so if the file is read-only
            raise PermanentStoreError(
                f"SQLite {target.describe()}: WAL mode is refused ({mode}); "
                "put the file on a local disk"
            )
    connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -8000")


def _switched_to_wal(connection: sqlite3.Connection) -> str:
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
