"""What the tests of removing share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from response_store.config import SqliteTarget
from response_store.pruning.database import Database, open_database
from tests.harness.postgres_shared import target_of
from tests.unit.query.stored import NAMES, Stored
from tests.unit.query.stored_in_postgres import (
    StoredInPostgres,
    session_stored,
    stored_in_postgres,
)

__all__ = ["session_stored", "stored_in_postgres"]

Anywhere: TypeAlias = Stored | StoredInPostgres
Open: TypeAlias = Callable[[Anywhere], Database]


@pytest.fixture
def stored(tmp_path: Any) -> Stored:
    """An empty database file."""
    return Stored(tmp_path / "responses.db")


@pytest.fixture(params=["sqlite", "postgres"])
def anywhere(request: pytest.FixtureRequest) -> Anywhere:
    """An empty database, of either kind."""
    name = "stored" if request.param == "sqlite" else "stored_in_postgres"
    made: Anywhere = request.getfixturevalue(name)
    return made


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens a database for removing; it is closed with the test."""
    made: list[Database] = []

    def opened(stored: Anywhere) -> Database:
        in_file = isinstance(stored, Stored)
        target = SqliteTarget(stored.path) if in_file else target_of(stored.database.url())
        made.append(open_database(target, NAMES))
        return made[-1]

    yield opened
    for database in made:
        database.close()


def ids(stored: Anywhere) -> list[str]:
    """The exchanges that are there."""
    with stored.open() as query:
        return sorted(row[0] for row in query._reading.rows("SELECT exchange_id FROM {exchanges}"))


def response_ids(stored: Anywhere) -> list[str]:
    """The responses that are there."""
    with stored.open() as query:
        return sorted(row[0] for row in query._reading.rows("SELECT id FROM {responses}"))
