"""Databases on the shared server, and a server of one's own for tests that end or freeze it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.line import Line
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.harness.postgres_shared import shared_server, shared_template


@pytest.fixture
def database() -> Iterator[PostgresDatabase]:
    """An empty database on the shared server."""
    made = shared_server().create_database()
    yield made
    made.drop()


@pytest.fixture
def line(database: PostgresDatabase) -> Iterator[Line]:
    """A line to the shared server."""
    with Line(database.server.port) as line:
        yield line


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server that a test may end; it starts it again."""
    with Postgres(shared_template()) as server:
        yield server
