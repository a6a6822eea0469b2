"""What the tests of the reading side share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.unit.queries.stored import Stored
from tests.unit.queries.stored_in_postgres import (
    StoredInPostgres,
    session_stored,
    stored_in_postgres,
)

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["session_stored", "stored_in_postgres"]

Anywhere: TypeAlias = Stored | StoredInPostgres


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """An empty database of this version."""
    return Stored(tmp_path / "responses.db")


@pytest.fixture(params=["sqlite", "postgres"])
def anywhere(request: pytest.FixtureRequest) -> Anywhere:
    """An empty database, of either kind."""
    name = "stored" if request.param == "sqlite" else "stored_in_postgres"
    made: Anywhere = request.getfixturevalue(name)
    return made
