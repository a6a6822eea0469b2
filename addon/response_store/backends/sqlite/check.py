"""Check whether a store could work in a SQLite file, which is only read, and never made."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from response_store.backends.sqlite import schema as sqlite_schema
from response_store.backends.sqlite.connection import (
    BUSY_TIMEOUT_MS,
    distrust_schema,
    resolve_links,
)
from response_store.backends.sqlite.errors import translate_errors
from response_store.backends.sqlite.files import check_files
from response_store.backends.sqlite.schema import check_catalogue
from response_store.config import SqliteTarget, TableNames
from response_store.config.secret import mask_credentials
from response_store.errors import StoreError
from response_store.queries.schema_state import PRESENT, Findings


def check_sqlite(target: SqliteTarget, tables: TableNames, findings: Findings) -> None:
    """Look at the file, and note what there is to know. Raises nothing: what fails is a problem."""
    if target.path is None:
        findings.note("file", "none: memory, gone when the proxy ends")
        return
    path = resolve_links(target.path)
    findings.note("file", mask_credentials(str(path)))
    label = f"SQLite {target.describe()}"
    if fault := _find_problem_of_path(path, makes=target.mode == "rwc"):
        findings.object_to(f"{label}: {fault}")
    elif not _has_safe_files(target.path, label, findings):
        return
    elif not path.exists():
        findings.note("schema", "absent: file and tables are made at start")
    else:
        findings.note("size", f"{path.stat().st_size} bytes")
        _check_schema(path, tables, label, findings)


def _has_safe_files(path: Path, label: str, findings: Findings) -> bool:
    """Return whether the files are such as the store would open. Nothing is changed."""
    try:
        with translate_errors(label):
            check_files(path, label, closes=False)
    except StoreError as error:
        findings.object_to(str(error))
        return False
    return True


def _find_problem_of_path(path: Path, *, makes: bool) -> str | None:
    if path.is_dir():
        return "this is a folder: name a file in it"
    if not path.parent.is_dir():
        return "its folder does not exist: make it"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return "its folder may not be written: give write access"
    if not path.exists():
        return None if makes else "the file does not exist, and mode=rw makes none: leave it out"
    if not path.is_file():
        return "this is no regular file: name another one"
    return None if os.access(path, os.R_OK | os.W_OK) else "the file may not be read and written"


def _check_schema(path: Path, tables: TableNames, label: str, findings: Findings) -> None:
    """Have the store look at the schema; what it would make is refused to it here."""
    try:
        with translate_errors(label), closing(_open_read_only(path)) as connection:
            distrust_schema(connection)
            check_catalogue(connection, tables, label)
            ready = _is_ready(connection, tables, label)
            some = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    except StoreError as error:
        findings.object_to(str(error))
        return
    if ready:
        findings.note("schema", PRESENT)
    else:
        findings.note("schema", f"{'incomplete' if some else 'absent'}: it is made at start")


def _open_read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level=None,
    )


def _is_ready(connection: sqlite3.Connection, tables: TableNames, label: str) -> bool:
    """Return whether the schema is complete. Raises what the store would raise at start."""
    try:
        sqlite_schema.prepare(connection, tables, label)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY:
            raise
        return False
    return True
