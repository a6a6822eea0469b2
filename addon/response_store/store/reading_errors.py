"""Errors of a database that is only read, and how to fix them: of both, and of SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from response_store.errors import PermanentStoreError, StoreError, TransientStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CORRUPT = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"}
_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"}
_NO_ACCESS = {"SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_READONLY"}


@contextmanager
def translate_read_errors(label: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise KeyboardInterrupt from None  # nothing but a signal breaks off what is read
        raise _translate(label, error) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PermanentStoreError(f"{label}: {reason}. Check the path and its folder.") from None
    except UnicodeEncodeError:
        raise build_not_stored_error(label) from None


def build_no_file_error(label: str, *, something: bool) -> StoreError:
    """Return the error where there is no file, or with `something` what is not a file."""
    if something:
        return PermanentStoreError(f"{label}: this is no file. Name the database file itself.")
    return PermanentStoreError(
        f"{label}: there is no database. Either nothing has been captured yet, which this does:"
        " response-store run -- COMMAND; or the proxy runs in another folder or with another"
        " configuration: name the file with --database, or the proxy's configuration with --config."
    )


def build_not_stored_error(label: str) -> StoreError:
    """Return the error where a search is for a value that no database can hold."""
    return StoreError(f"{label}: what was asked for is no text, so it is not stored.")


def build_no_tables_error(label: str, missing: Sequence[str], why: str | None = None) -> StoreError:
    """Return the error where tables are missing; `why` replaces the general advice."""
    reason = why or (
        "Either no proxy has written to this database yet, which this does: response-store run --"
        " COMMAND; or it is one of a proxy that names its tables otherwise: give its configuration"
        " with --config."
    )
    return PermanentStoreError(f"{label}: tables are missing: {', '.join(missing)}. {reason}")


def explain_missing_tables(
    tables: Sequence[str], *, in_wal_mode: bool, has_wal: bool
) -> str | None:
    """Return why a SQLite file lacks our tables, by what else is in it and beside it."""
    others = [table for table in tables if not table.startswith("sqlite_")]
    if in_wal_mode and not has_wal and not others:
        return (
            "The file was written with a -wal beside it, which is not there: a copy of the file"
            " alone lacks what the -wal held. Copy both while no proxy runs, or make a copy that is"
            " whole: response-store backup FILE"
        )
    if others:
        return (
            "It is another program's database, with tables of other names. Name the file that the"
            " proxy writes; where it names its tables otherwise, give its configuration with"
            " --config."
        )
    return None


def build_version_error(label: str, table: str, stored: object, known: int) -> StoreError:
    """Return the error where a table's schema is not the one that this program reads."""
    where = f"{label}: table {table} says version {stored}, this program reads version {known}."
    if isinstance(stored, int) and stored > known:
        return PermanentStoreError(
            f"{where} A newer program has written the database. Upgrade this one:"
            " pip install --upgrade mitmproxy-response-store"
        )
    return PermanentStoreError(
        f"{where} Start a proxy of this version on the database once, which brings the tables up"
        " to date: response-store run -- true"
    )


def _translate(label: str, error: sqlite3.Error) -> StoreError:
    full_name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    kind = "_".join(full_name.split("_")[:2])
    if kind in _BUSY:
        return TransientStoreError(
            f"{label}: the database is locked by another program. Try again in a moment."
        )
    if kind in _CORRUPT:
        return PermanentStoreError(
            f"{label}: this is no SQLite database, or a damaged one ({full_name}). Check the path;"
            ' what a damaged file still holds comes out with: sqlite3 FILE ".recover"'
        )
    if kind in _NO_ACCESS:
        return PermanentStoreError(
            f"{label}: the database can't be opened for reading ({full_name}). Check the"
            " permissions of the file and its folder; a folder that can't be written needs the"
            " proxy to be running, or a copy of the file (and its -wal) elsewhere."
        )
    if kind == "SQLITE_ERROR":
        return PermanentStoreError(
            f"{label}: the tables are not as this program knows them ({error}). Check the table"
            " names in the configuration."
        )
    return TransientStoreError(
        f"{label}: reading failed ({full_name}). Check the disk and try again."
    )
