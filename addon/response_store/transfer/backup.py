"""Copy a whole database into one SQLite file that needs no other beside it.

It is made under another name and takes its own when it is whole: what a backup of that name held
before stays until then, and whatever breaks off leaves nothing behind.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from response_store.config.model import SqliteTarget
from response_store.config.table_names import TableNames
from response_store.errors import PermanentStoreError
from response_store.queries.reader import translate_read_errors

_BUSY_SECONDS = 30.0
_SIDES = ("-wal", "-shm", "-journal")


@contextmanager
def write_database(file: Path) -> Iterator[SqliteTarget]:
    """Give a database to fill, which becomes `file` at the end. Raises StoreError."""
    temporary = file.with_name(f".{file.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        with translate_read_errors(str(file)):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        yield SqliteTarget(temporary)
        with translate_read_errors(str(file)):
            _close_into_one_file(temporary)
            temporary.replace(file)
    finally:
        for name in ("", *_SIDES):
            with suppress(OSError):
                temporary.with_name(temporary.name + name).unlink()


def copy_file(source: Path, target: Path) -> None:
    """Copy a SQLite file as of one moment, with what its -wal holds; writers are not held up.

    Raises StoreError.
    """
    with (
        translate_read_errors(str(source)),
        closing(_open(source, "ro")) as reader,
        closing(_open(target, "rw")) as writing,
    ):
        reader.backup(writing)


def count_rows(file: Path, tables: TableNames) -> dict[str, int]:
    """Return how many rows of each kind a backup holds. Raises StoreError."""
    kinds = {
        "responses": tables.responses,
        "conversations": tables.conversations,
        "exchanges": tables.exchanges,
    }
    with translate_read_errors(str(file)), closing(_open(file, "ro")) as reader:
        check = reader.execute("PRAGMA quick_check(1)").fetchone()[0]
        if check != "ok":
            raise PermanentStoreError(f"{file}: the copy is damaged ({check}). Check the disk.")
        return {
            kind: int(reader.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])
            for kind, table in kinds.items()
        }


def _close_into_one_file(path: Path) -> None:
    """Have everything in the file itself, and on the disk."""
    with closing(_open(path, "rw")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
    )
