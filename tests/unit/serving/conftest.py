"""A store for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.serving.shelf import SqliteShelf


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[SqliteShelf]:
    """An empty store in SQLite."""
    with closing(SqliteShelf(tmp_path / "responses.db")) as made:
        yield made
