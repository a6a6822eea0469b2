"""An ingester that is killed again and again loses nothing, and does nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.ingester.kill_rounds import Rounds, sqlite_file
from tests.harness.postgres import PostgresDatabase
from tests.unit.ingest.proxy_side import make_config

PRIVATE = "allow_private_database_url: true\nssl_mode: disable\n"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("durability", ["process", "power"])
def test_sqlite(tmp_path: Path, durability: str) -> None:
    """What was acknowledged is there once, and what was deleted in between stays away."""
    config = make_config(tmp_path, f"durability: {durability}\n")
    Rounds(config, sqlite_file(tmp_path / "responses.db"), seed=len(durability)).run(3)


@pytest.mark.timeout(120)
def test_postgres(tmp_path: Path, plain_database: PostgresDatabase) -> None:
    """The same with PostgreSQL."""
    config = make_config(tmp_path, PRIVATE, url=plain_database.url())

    def execute(statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in plain_database.execute(statement)]

    Rounds(config, execute, seed=3).run(2)
