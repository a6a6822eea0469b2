"""What becomes of PostgreSQL's errors."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from response_store.backends.postgres.errors import (
    WorthARetryError,
    translate_connect_errors,
    translate_errors,
)
from response_store.config.secret import Secret
from response_store.errors import PermanentStoreError, RowRefusedError, TransientStoreError
from tests.harness.each import each

CANARY = "c4n4ry"
KINDS = {
    RowRefusedError: "22001 22003 22021 22P05 23502 23505 54000",
    TransientStoreError: "25006 42P07 53100 53200 53300 55P03 57014 57P03 58030",
    PermanentStoreError: "28000 28P01 3D000 3F000 42501 42703 42P01 XX001 ZZ999",
    WorthARetryError: "08006 08P01 0A000 26000 40001 40P01 57P01 57P02",
}
SAID = [
    ('FATAL:  password authentication failed for user "x"', PermanentStoreError),
    ("fe_sendauth: no password supplied", PermanentStoreError),
    ('FATAL:  no pg_hba.conf entry for host "::1", no encryption', PermanentStoreError),
    ('FATAL:  pg_hba.conf rejects connection for host "::1"', PermanentStoreError),
    ('FATAL:  role "x" does not exist', PermanentStoreError),
    ('FATAL:  database "x" does not exist', PermanentStoreError),
    ("SSL error: certificate verify failed", PermanentStoreError),
    ('server certificate for "a" does not match host name "b"', PermanentStoreError),
    ("server does not support SSL, but SSL was required", PermanentStoreError),
    ('root certificate file "/x" does not exist', PermanentStoreError),
    ("FATAL:  sorry, too many clients already", TransientStoreError),
    ("FATAL:  the database system is starting up", TransientStoreError),
    ("FATAL:  the database system is shutting down", TransientStoreError),
    ("Connection refused", TransientStoreError),
    ("timeout expired", TransientStoreError),
    ("server closed the connection unexpectedly", TransientStoreError),
    ("etwas in einer anderen Sprache", TransientStoreError),
]


def with_state(state: str) -> psycopg.Error:
    kind = type("AnError", (psycopg.DatabaseError,), {"sqlstate": state})
    error: psycopg.Error = kind(f"DETAIL: Key (id)=({CANARY})")
    return error


@each(
    ("state", "kind"), [(state, kind) for kind, states in KINDS.items() for state in states.split()]
)
def test_a_state_has_a_meaning(state: str, kind: type[Exception]) -> None:
    """The kind follows from SQLSTATE; it is named, and the server's own text is not."""
    with pytest.raises(kind) as caught, translate_errors("PostgreSQL x"):
        raise with_state(state)
    assert caught.type is kind
    assert f"SQLSTATE {state}" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.OperationalError(CANARY), WorthARetryError),
        (errors.InterfaceError(CANARY), WorthARetryError),
        (errors.ProgrammingError(CANARY), RowRefusedError),
        (errors.DataError(CANARY), RowRefusedError),
        (UnicodeEncodeError("utf-8", CANARY, 0, 1, CANARY), RowRefusedError),
        (OverflowError(CANARY), RowRefusedError),
        (MemoryError(CANARY), TransientStoreError),
        (OSError(24, CANARY), TransientStoreError),
    ],
)
def test_errors_without_a_state(error: Exception, kind: type[Exception]) -> None:
    """A broken line may be tried again; a value that the driver refuses is the row's fault."""
    with pytest.raises(kind) as caught, translate_errors("PostgreSQL x"):
        raise error
    assert caught.type is kind
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__


@each(("said", "kind"), SAID)
def test_why_there_is_no_connection(said: str, kind: type[Exception]) -> None:
    """A failed connection has no state: the text decides; libpq's own is never repeated."""
    text = f'connection to server at "127.0.0.1", port 5432 failed: {said} {CANARY}'
    with pytest.raises(kind) as caught, translate_connect_errors("PostgreSQL x", Secret(CANARY)):
        raise errors.OperationalError(text)
    assert caught.type is kind
    assert CANARY not in str(caught.value)
    assert (said.removeprefix("FATAL:  ") in str(caught.value)) is said.startswith("FATAL:")
