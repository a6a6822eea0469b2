"""A store that was interrupted is at its end: nothing that hung goes on by itself."""

from __future__ import annotations

from contextlib import closing

import pytest

from response_store.errors import TransientStoreError
from tests.harness.postgres import PostgresDatabase
from tests.harness.records import record
from tests.unit.backends.postgres.stores import ids, opened, store_on


def test_writing_afterwards(database: PostgresDatabase) -> None:
    """What comes after an interruption is not written, on no connection."""
    with opened(database) as store:
        store.write([record("e1")])
        store.interrupt()
        with pytest.raises(TransientStoreError, match="interrupted"):
            store.write([record("e2")])
        with pytest.raises(TransientStoreError, match="interrupted"):
            store.open()
    assert ids(database) == ["e1"]


def test_opening_afterwards(database: PostgresDatabase) -> None:
    """A connection that was about to be made when the interruption came does nothing any more."""
    with closing(store_on(database)) as store:
        store.interrupt()
        with pytest.raises(TransientStoreError, match="interrupted"):
            store.open()
    assert database.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
