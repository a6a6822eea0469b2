"""`docs/tables.md` says the same as the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from response_store.model.tables import (
    RESPONSE_COLUMNS,
    STORED_EXCHANGE_COLUMNS,
)
from response_store.queries.schema_state import MIGRATIONS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "tables.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """What stands under a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """The first column of the first table, without its heading."""
    table = text.partition("| --- |")[2].partition("\n\n")[0]
    return [line.split("|")[1] for line in table.splitlines()[1:]]


@pytest.mark.parametrize(
    ("table", "columns"),
    [("openai_responses", RESPONSE_COLUMNS), ("openai_exchanges", STORED_EXCHANGE_COLUMNS)],
)
def test_each_column_is_described(table: str, columns: tuple[str, ...]) -> None:
    """The page has every column of a table, in the order of the columns, and no other."""
    cells = first_cells(section(table))
    assert [name for cell in cells for name in re.findall(r"`(\w+)`", cell)] == [*columns]


def test_each_version_is_described() -> None:
    """The page names the newest version, and what each one after the first added."""
    text = section("Versions")
    assert re.findall(r"now (\d+)", text) == [str(len(MIGRATIONS))]
    assert [int(cell) for cell in first_cells(text)] == [*range(2, len(MIGRATIONS) + 1)]
