"""What the tests of removing share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from response_store.backends.registry import open_database
from response_store.config import SqliteTarget
from response_store.pruning.batch import PruneTarget
from tests.harness.postgres_shared import target_of
from tests.unit.queries.conftest import Anywhere, anywhere, stored
from tests.unit.queries.stored import NAMES, Stored
from tests.unit.queries.stored_in_postgres import session_stored, stored_in_postgres

__all__ = ["anywhere", "session_stored", "stored", "stored_in_postgres"]

Open: TypeAlias = Callable[[Anywhere], PruneTarget]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens a database for removing; it is closed with the test."""
    made: list[PruneTarget] = []

    def opened(stored: Anywhere) -> PruneTarget:
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
        return sorted(row[0] for row in query._reader.rows("SELECT exchange_id FROM {exchanges}"))


def response_ids(stored: Anywhere) -> list[str]:
    """The responses that are there."""
    with stored.open() as query:
        return sorted(row[0] for row in query._reader.rows("SELECT id FROM {responses}"))
