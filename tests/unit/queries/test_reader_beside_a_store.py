"""The reading side beside the store that writes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from response_store.backends.registry import open_file
from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from response_store.model.records import ExchangeRow, Record, ResponseRow
from tests.unit.queries.stored import NAMES, REQUIRED
from tests.unit.queries.stored_in_postgres import StoredInPostgres


def record(number: int) -> Record:
    """A record with a response."""
    exchange = ExchangeRow(
        **{**REQUIRED, "exchange_id": f"e{number}", "started_at": float(number)},
        response_id=f"resp_{number}",
        output_text="grün \U0001f600",
        request_body=b"\x00\xff",
    )
    response = ResponseRow(
        "default", f"resp_{number}", number, "m", '{"id": "x", "n": 1e400}', "[]", "[]"
    )
    return Record(exchange, response)


@pytest.mark.parametrize("durability", Durability)
def test_what_the_store_commits_is_read(tmp_path: Path, durability: Durability) -> None:
    """A reader that was open before sees each commit, field for field, while the store works on."""
    target = SqliteTarget(tmp_path / "responses.db")
    store = SqliteStore(target, NAMES, durability)
    with closing(store):
        store.open()
        with open_file(tmp_path / "responses.db", NAMES) as reader:
            for number in range(3):
                written = record(number)
                store.write([written])
                assert reader.exchange("default", f"e{number}") == written.exchange
                found = reader.response("default", f"resp_{number}")
                assert found is not None
                assert found.response_object == '{"id": "x", "n": 1e400}'
            assert reader.status().responses == 3
            assert len(reader.recent("default", limit=10).exchanges) == 3


def test_what_goes_to_postgresql_is_read(stored_in_postgres: StoredInPostgres) -> None:
    """A look that was open before sees each commit there as well, field for field."""
    with stored_in_postgres.open() as reader:
        for number in range(3):
            written = record(number)
            stored_in_postgres._store.write([written])
            assert reader.exchange("default", f"e{number}") == written.exchange
            found = reader.response("default", f"resp_{number}")
            assert found is not None
            assert found.response_object == '{"id": "x", "n": 1e400}'
        assert reader.status().responses == 3
        with reader.snapshot() as tables:
            assert tables.exchange("default", "e3") is None
            stored_in_postgres._store.write([record(3)])
            assert tables.exchange("default", "e3") is None
        assert reader.exchange("default", "e3") == record(3).exchange
