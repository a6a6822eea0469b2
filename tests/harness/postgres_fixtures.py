"""Fixtures of PostgreSQL servers, for a `conftest.py` to import.

from tests.harness.postgres_fixtures import *

The shared servers live as long as the session: a test leaves them as they were, and keeps to
databases of its own. A test that stops, kills or reconfigures a server makes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from tests.harness.line import Line
from tests.harness.postgres import Postgres, PostgresDatabase, Template
from tests.harness.postgres_certificates import PostgresCertificates, make_postgres_certificates

MakePostgres: TypeAlias = Callable[..., Postgres]
MakeLine: TypeAlias = Callable[..., Line]

__all__ = [
    "make_line",
    "make_postgres",
    "plain_database",
    "plain_postgres",
    "postgres",
    "postgres_certificates",
    "postgres_database",
    "postgres_template",
]


@pytest.fixture(scope="session")
def postgres_certificates(tmp_path_factory: pytest.TempPathFactory) -> PostgresCertificates:
    """An authority, and certificates that are right and wrong."""
    return make_postgres_certificates(tmp_path_factory.mktemp("postgres_certificates"))


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[Template]:
    """What servers are copied from, initialised once."""
    with Template() as template:
        yield template


@pytest.fixture(scope="session")
def postgres(
    postgres_template: Template, postgres_certificates: PostgresCertificates
) -> Iterator[Postgres]:
    """The shared server that speaks TLS, with the right certificate, and plain text."""
    with Postgres(postgres_template, certificate=postgres_certificates.right) as server:
        yield server


@pytest.fixture(scope="session")
def plain_postgres(postgres_template: Template) -> Iterator[Postgres]:
    """The shared server that speaks plain text only."""
    with Postgres(postgres_template) as server:
        yield server


@pytest.fixture
def postgres_database(postgres: Postgres) -> Iterator[PostgresDatabase]:
    """An empty database of the test's own, on the shared server that speaks TLS."""
    database = postgres.create_database()
    yield database
    database.drop()


@pytest.fixture
def plain_database(plain_postgres: Postgres) -> Iterator[PostgresDatabase]:
    """An empty database of the test's own, on the shared plain server."""
    database = plain_postgres.create_database()
    yield database
    database.drop()


@pytest.fixture
def make_postgres(postgres_template: Template) -> Iterator[MakePostgres]:
    """Starts servers of the test's own, with the arguments of `Postgres`; they end with it."""
    made: list[Postgres] = []

    def make(**how: Any) -> Postgres:
        made.append(Postgres(postgres_template, **how))
        return made[-1].open()

    yield make
    for server in made:
        server.close()


@pytest.fixture
def make_line() -> Iterator[MakeLine]:
    """Makes lines to a port, with the arguments of `Line`; they end with the test."""
    made: list[Line] = []

    def make(server_port: int, **how: Any) -> Line:
        made.append(Line(server_port, **how))
        return made[-1].open()

    yield make
    for line in made:
        line.close()
