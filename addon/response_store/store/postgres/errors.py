"""PostgreSQL's errors in our words: what may pass, what must be fixed, what is one row's fault.

The driver's texts are never shown: they repeat values of rows, and libpq's the connection string.
What a server says as it refuses a connection is shown (`refusals.py`).
Sources: the PostgreSQL manual, appendix A (SQLSTATE); libpq's `fe-connect.c` and the backend's
`auth.c` for failed connections, which carry no SQLSTATE.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import psycopg

from response_store.errors import (
    PermanentStoreError,
    RowRefusedError,
    StoreError,
    TransientStoreError,
)
from response_store.store.postgres.refusals import (
    NO_POSTGRES,
    classify_answer,
    quote_answer,
    read_answer,
    speaks_something_else,
)

if TYPE_CHECKING:
    from response_store.config.secret import Secret


class WorthARetryError(TransientStoreError):
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
    "25": (TransientStoreError, "the transaction was refused"),
    "25006": (TransientStoreError, "the database is read-only for now: a standby, or closed"),
    "26": (WorthARetryError, "the server forgot a prepared statement"),
    "28": (PermanentStoreError, "the server refuses user or password: check both, and pg_hba.conf"),
    "3D": (PermanentStoreError, "the database does not exist: make it, or name another one"),
    "3F": (PermanentStoreError, "the role's search_path names no schema: make one, or set it"),
    "40": (WorthARetryError, "another transaction was in the way"),
    "42": (
        PermanentStoreError,
        "a statement failed: was a table changed or dropped? Fix it, or name other tables",
    ),
    "42501": (
        PermanentStoreError,
        (
            "the role lacks a right: grant it the tables (their owner brings those of an earlier"
            " version up to date), or CREATE where they are still to be made"
        ),
    ),
    "42710": (TransientStoreError, "another program makes the schema at this moment"),
    "42P07": (TransientStoreError, "another program makes the schema at this moment"),
    "53": (TransientStoreError, "the server is short of resources: disk, memory or connections"),
    "53100": (TransientStoreError, "the server's disk is full: make room"),
    "53300": (TransientStoreError, "the server has too many connections"),
    "54": (RowRefusedError, "a value is too large for the database or an index"),
    "55": (TransientStoreError, "a table is locked by another program"),
    "57": (TransientStoreError, "an operator or a time limit of the server broke it off"),
    "57P01": (WorthARetryError, "the server ended the connection"),
    "57P02": (WorthARetryError, "the server ended the connection"),
    "57P03": (TransientStoreError, "the server starts or stops at this moment"),
    "57P05": (WorthARetryError, "the server ended a connection that was idle"),
    "58": (TransientStoreError, "the server's system fails: check its disk"),
    "XX": (PermanentStoreError, "the server reports an internal error: see its log"),
}

# Words of libpq's own for a failed connection, which are only looked at.
_CONNECTING: tuple[tuple[str, _Meaning], ...] = (
    ("no password supplied", (PermanentStoreError, "the server asks for a password: give one")),
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
    (
        "channel binding",
        (PermanentStoreError, "the server offers no channel binding: see channel_binding"),
    ),
    ("root certificate file", (PermanentStoreError, "the file of ssl_root_cert can't be read")),
    ("certificate file", (PermanentStoreError, "a file of the client certificate can't be read")),
    ("private key file", (PermanentStoreError, "the file of the client's key can't be used")),
)
_FAR: _Meaning = (TransientStoreError, "no connection: is the server up, and can it be reached?")


@contextmanager
def translate_errors(label: str) -> Iterator[None]:
    """Turn the driver's errors into ours; `label` is what errors call it."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(label, error) from None
    except (UnicodeEncodeError, OverflowError) as error:
        raise RowRefusedError(f"{label}: a value does not fit ({type(error).__name__})") from None
    except MemoryError:
        raise TransientStoreError(f"{label}: memory ran out") from None
    except OSError as error:
        raise TransientStoreError(f"{label}: the system fails for now ({error.errno})") from None


@contextmanager
def translate_connect_errors(label: str, password: Secret | None = None) -> Iterator[None]:
    """Turn the errors of a connection that is just being made into ours.

    A server's own words are shown, without the password, whatever else they hold.
    """
    try:
        yield
    except psycopg.Error as error:
        raise build_connection_error(label, error, password) from None
    except OSError as error:
        raise TransientStoreError(f"{label}: the system fails for now ({error.errno})") from None


def _translate(label: str, error: psycopg.Error) -> StoreError:
    state = error.sqlstate
    if state is None:
        # Without an answer of the server: a value that the driver refuses, or a broken line.
        kind, words = (
            (RowRefusedError, "a value is of a type that no column takes")
            if isinstance(error, _ADAPTATION)
            else _LOST
        )
        return kind(f"{label}: {words} ({type(error).__name__})")
    kind, words = _MEANINGS.get(state) or _MEANINGS.get(state[:2]) or _MEANINGS["42"]
    return kind(f"{label}: {words} (SQLSTATE {state})")


def build_connection_error(label: str, error: psycopg.Error, password: Secret | None) -> StoreError:
    """Return our error for a connection that could not be made."""
    answer = read_answer(error)
    if answer is None:
        kind, words = _explain_failed_connection(error)
        return kind(f"{label}: {words}")
    refusal = classify_answer(answer)
    kind = TransientStoreError if refusal.passes else PermanentStoreError
    state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    text = quote_answer(answer, password)
    return kind(f'{label}: {refusal.words}{state}. The server says: "{text}"')


def _explain_failed_connection(error: psycopg.Error) -> _Meaning:
    text = str(error).lower()  # for comparison alone: it may hold what is secret
    if speaks_something_else(text):
        return PermanentStoreError, NO_POSTGRES
    return next((meaning for words, meaning in _CONNECTING if words in text), _FAR)
