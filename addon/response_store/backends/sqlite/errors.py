"""Translate SQLite's errors: what may pass, what must be fixed, what is one row's fault; end
transactions by them.

Source: the SQLite manual, "Result and Error Codes".
"""

from __future__ import annotations

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from response_store.errors import (
    PermanentStoreError,
    RowRefusedError,
    StoreError,
    TransientStoreError,
)

_PASSING = {
    sqlite3.SQLITE_BUSY: "the database is locked by another program",
    sqlite3.SQLITE_LOCKED: "the database is locked by another connection",
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_IOERR: "the disk reports an I/O error: check it, and its free space",
    sqlite3.SQLITE_NOMEM: "memory ran out",
    sqlite3.SQLITE_PROTOCOL: "the database is locked by another program",
    sqlite3.SQLITE_INTERRUPT: "writing was interrupted",
}
_PERMANENT = {
    sqlite3.SQLITE_CANTOPEN: (
        "the file can't be opened: check that its folder exists and may be written"
    ),
    sqlite3.SQLITE_READONLY: "the file or its folder is read-only: give write access",
    sqlite3.SQLITE_PERM: "access to the file is denied: give write access",
    sqlite3.SQLITE_AUTH: "access to the file is denied: give write access",
    sqlite3.SQLITE_CORRUPT: "the file is corrupt: move it away, or restore a copy",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database: move it away, or name another file",
    sqlite3.SQLITE_SCHEMA: "the schema changed under us: restart the proxy",
}
# What the system says when the disk or a table of its own is full, for now.
_PASSING_OS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO, errno.EAGAIN, errno.EINTR}
)
_ROW = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_RANGE,
    }
)


# After any other error a connection may hold on to what is broken, or no longer there.
_USABLE_AFTER = _ROW | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
}


@contextmanager
def translate_errors(label: str) -> Iterator[None]:
    """Turn the driver's errors into ours; `label` is what errors call it."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(label, error) from None
    except (UnicodeEncodeError, OverflowError) as error:
        raise RowRefusedError(f"{label}: a value does not fit ({type(error).__name__})") from None
    except OSError as error:
        raise _translate_os(label, error) from None
    except MemoryError:
        raise TransientStoreError(f"{label}: memory ran out") from None


def leaves_connection_usable(error: BaseException) -> bool:
    """Return whether a connection that is rolled back after this error can go on."""
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return _is_binding(error) or (code is not None and code & 0xFF in _USABLE_AFTER)


def _translate(label: str, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    primary = code & 0xFF if code is not None else None
    if primary in _PASSING:
        return TransientStoreError(f"{label}: {_PASSING[primary]} ({name})")
    if primary in _PERMANENT:
        return PermanentStoreError(f"{label}: {_PERMANENT[primary]} ({name})")
    if primary in _ROW or isinstance(error, sqlite3.DataError) or _is_binding(error):
        return RowRefusedError(f"{label}: a row breaks a rule of its table ({name})")
    # The driver's text names tables and columns here; values are always bound, never in it.
    return PermanentStoreError(
        f"{label}: a statement failed ({error}): was a table changed or dropped? "
        "Restart the proxy to make or check the schema again"
    )


def _is_binding(error: sqlite3.Error) -> bool:
    """Return whether the driver refused a value before SQLite saw it: it has no code for that."""
    return isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError) and (
        "binding" in str(error)
    )


def _translate_os(label: str, error: OSError) -> StoreError:
    reason = error.strerror or type(error).__name__
    if error.errno in _PASSING_OS:
        return TransientStoreError(f"{label}: the system fails for now: {reason}")
    return PermanentStoreError(
        f"{label}: the file can't be opened: {reason}: "
        "check that its folder exists and may be written"
    )


@contextlib.contextmanager
def begin_immediate(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what the block writes at its end; roll it back after an error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo what is not committed; some errors have done so by themselves."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def try_roll_back(connection: sqlite3.Connection, error: BaseException) -> bool:
    """Roll back after an error; False where the connection itself may be at fault."""
    try:
        roll_back(connection)
    except sqlite3.Error:
        return False
    return leaves_connection_usable(error)


def interrupt(connection: sqlite3.Connection | None) -> None:
    """Break off a statement that runs, from any thread."""
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):  # closed at the same moment
            connection.interrupt()
