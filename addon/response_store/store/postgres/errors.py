"""PostgreSQL's errors in our words: what may pass, what must be mended, what is one row's fault.

The driver's texts are never shown: they repeat values of rows, and libpq's the connection string.
Sources: the PostgreSQL manual, appendix A (SQLSTATE); libpq's `fe-connect.c` and the backend's
`auth.c` for failed connections, which carry no SQLSTATE.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import psycopg

from response_store.errors import (
    PassingStoreError,
    PermanentStoreError,
    RowRefusedError,
    StoreError,
)


class WorthARetryError(PassingStoreError):
    """The same batch may well succeed at once, on another connection."""


_Meaning: TypeAlias = tuple[type[StoreError], str]

_LOST: _Meaning = (WorthARetryError, "the connection was lost")
_ADAPTATION = (psycopg.DataError, psycopg.ProgrammingError, psycopg.NotSupportedError)

# By SQLSTATE, or by its class, the first two characters; the longer one counts.
_MEANINGS: dict[str, _Meaning] = {
    "08": _LOST,
    "0A": (WorthARetryError, "a table was changed under us"),
    "22": (RowRefusedError, "a value does not fit its column"),
    "23": (RowRefusedError, "a row breaks a rule of its table"),
    "25": (PassingStoreError, "the transaction was refused"),
    "25006": (PassingStoreError, "the database is read-only for now: a standby, or closed"),
    "26": (WorthARetryError, "the server forgot a prepared statement"),
    "28": (PermanentStoreError, "the server refuses user or password: check both, and pg_hba.conf"),
    "3D": (PermanentStoreError, "the database does not exist: make it, or name another one"),
    "3F": (PermanentStoreError, "the role's search_path names no schema: make one, or set it"),
    "40": (WorthARetryError, "another transaction was in the way"),
    "42": (
        PermanentStoreError,
        "a statement failed: was a table changed or dropped? Mend it, or name other tables",
    ),
    "42501": (
        PermanentStoreError,
        "the role lacks a right: grant it the tables, or CREATE where they are still to be made",
    ),
    "42710": (PassingStoreError, "another program makes the schema at this moment"),
    "42P07": (PassingStoreError, "another program makes the schema at this moment"),
    "53": (PassingStoreError, "the server is short of resources: disk, memory or connections"),
    "53100": (PassingStoreError, "the server's disk is full: make room"),
    "53300": (PassingStoreError, "the server has too many connections"),
    "54": (RowRefusedError, "a value is too large for the database or an index"),
    "55": (PassingStoreError, "a table is locked by another program"),
    "57": (PassingStoreError, "an operator or a time limit of the server broke it off"),
    "57P01": (WorthARetryError, "the server ended the connection"),
    "57P02": (WorthARetryError, "the server ended the connection"),
    "57P03": (PassingStoreError, "the server starts or stops at this moment"),
    "57P05": (WorthARetryError, "the server ended a connection that was idle"),
    "58": (PassingStoreError, "the server's system fails: check its disk"),
    "XX": (PermanentStoreError, "the server reports an internal error: see its log"),
}

# Words of a failed connection's text, which is only looked at.
_CONNECTING: tuple[tuple[str, _Meaning], ...] = (
    ("password authentication failed", _MEANINGS["28"]),
    ("no password supplied", (PermanentStoreError, "the server asks for a password: give one")),
    ("authentication failed", _MEANINGS["28"]),
    (
        "pg_hba.conf",
        (PermanentStoreError, "pg_hba.conf admits no such connection: mend it, or the TLS mode"),
    ),
    ("too many clients", _MEANINGS["53300"]),
    ("too many connections", _MEANINGS["53300"]),
    ("remaining connection slots", _MEANINGS["53300"]),
    ("the database system is", _MEANINGS["57P03"]),
    ("permission denied for database", _MEANINGS["42501"]),
    (
        "certificate verify failed",
        (PermanentStoreError, "the server's certificate is not trusted: see ssl_root_cert"),
    ),
    (
        "does not match host name",
        (PermanentStoreError, "the server's certificate is for another name"),
    ),
    (
        "does not support ssl",
        (PermanentStoreError, "the server speaks no TLS: turn it on, or see ssl_mode"),
    ),
    ("root certificate file", (PermanentStoreError, "the file of ssl_root_cert can't be read")),
    ("certificate file", (PermanentStoreError, "a file of the client certificate can't be read")),
    ("private key file", (PermanentStoreError, "the file of the client's key can't be used")),
    ("role", _MEANINGS["28"]),
    ("database", _MEANINGS["3D"]),
)
_ABOUT_WHAT_EXISTS = ("role", "database")
_FAR: _Meaning = (PassingStoreError, "no connection: is the server up, and can it be reached?")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn the driver's errors into ours; `where` names the database."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(where, error) from None
    except (UnicodeEncodeError, OverflowError) as error:
        raise RowRefusedError(f"{where}: a value does not fit ({type(error).__name__})") from None
    except MemoryError:
        raise PassingStoreError(f"{where}: memory ran out") from None
    except OSError as error:
        raise PassingStoreError(f"{where}: the system fails for now ({error.errno})") from None


@contextmanager
def connecting(where: str) -> Iterator[None]:
    """Turn the errors of a connection that is just being made into ours."""
    try:
        yield
    except psycopg.Error as error:
        kind, words = _why_not_connected(error)
        raise kind(f"{where}: {words}") from None
    except OSError as error:
        raise PassingStoreError(f"{where}: the system fails for now ({error.errno})") from None


def _translate(where: str, error: psycopg.Error) -> StoreError:
    state = error.sqlstate
    if state is None:
        # Without an answer of the server: a value that the driver refuses, or a broken line.
        kind, words = (
            (RowRefusedError, "a value is of a type that no column takes")
            if isinstance(error, _ADAPTATION)
            else _LOST
        )
        return kind(f"{where}: {words} ({type(error).__name__})")
    kind, words = _MEANINGS.get(state) or _MEANINGS.get(state[:2]) or _MEANINGS["42"]
    return kind(f"{where}: {words} (SQLSTATE {state})")


def _why_not_connected(error: psycopg.Error) -> _Meaning:
    said = str(error).lower()  # for comparison alone: it may hold what is secret
    for words, meaning in _CONNECTING:
        if words in said and (words not in _ABOUT_WHAT_EXISTS or "does not exist" in said):
            return meaning
    return _FAR
