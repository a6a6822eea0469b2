"""Errors of a PostgreSQL database that is only read, and how to fix them.

Where reader and store need the same fix, the text is the store's (`errors.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from response_store.errors import PermanentStoreError, StoreError, TransientStoreError
from response_store.store.postgres import errors as postgres_errors
from response_store.store.reading_errors import build_not_stored_error

_NO_RIGHT = "42501"
_NO_SUCH_VALUE = "22"
_TOO_LONG = "57014"
_LOCKED = "55P03"
_WRONG_STATEMENT = "42"


@contextmanager
def translate_read_errors(label: str) -> Iterator[None]:
    """Turn the driver's errors into ours; `label` is what errors call it."""
    with postgres_errors.translate_errors(label):
        try:
            yield
        except psycopg.Error as error:
            if (ours := _translate_for_reader(label, error.sqlstate or "")) is not None:
                raise ours from None
            raise
        except UnicodeEncodeError:
            raise build_not_stored_error(label) from None


def _translate_for_reader(label: str, state: str) -> StoreError | None:
    """Return the error where a reader needs another fix than a store; None for all others."""
    if state == _NO_RIGHT:
        return PermanentStoreError(
            f"{label}: the role may not read (SQLSTATE {state}). Grant it SELECT on the tables and"
            " USAGE on their schema, or connect as another role."
        )
    if state.startswith(_NO_SUCH_VALUE):
        return build_not_stored_error(label)
    if state == _TOO_LONG:
        return TransientStoreError(
            f"{label}: the answer took too long, so it was broken off (SQLSTATE {state}). Try"
            " again when the server has less to do."
        )
    if state == _LOCKED:
        return TransientStoreError(
            f"{label}: a table is locked by another program (SQLSTATE {state}). Try again in a"
            " moment."
        )
    if state.startswith(_WRONG_STATEMENT):
        return PermanentStoreError(
            f"{label}: the tables are not as this program knows them (SQLSTATE {state}). Check the"
            " table names in the configuration."
        )
    return None
