"""Names that are too long for PostgreSQL."""

from __future__ import annotations

import pytest

from response_store.config import TableNames
from response_store.config.table_names import find_long_names


@pytest.mark.parametrize(
    ("table", "most"), [("responses", 48), ("conversations", 49), ("exchanges", 38)]
)
def test_every_derived_name_fits(table: str, most: int) -> None:
    """The longest name that is derived from a table has 63 bytes at most."""
    names = {"responses": "r", "conversations": "c", "exchanges": "e"}
    assert list(find_long_names(TableNames(**names | {table: "x" * most}))) == []
    [(key, fault)] = find_long_names(TableNames(**names | {table: "x" * (most + 1)}))
    assert key == f"{table}_table"
    assert f"at most {most} characters" in fault.hint
