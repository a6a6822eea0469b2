"""Fixtures of PostgreSQL servers; `tests/conftest.py` has them for every folder.

The shared servers live as long as the run: a test leaves them as they were, and keeps to databases
of its own. A test that stops, kills or reconfigures a server makes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from tests.harness import postgres_shared
from tests.harness.line import Line
from tests.harness.postgres import Postgres, PostgresDatabase, Template
from tests.harness.postgres_certificates import PostgresCertificates

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
    "pytest_configure",
    "pytest_unconfigure",
]


def pytest_configure(config: pytest.Config) -> None:
    """Have a folder that the workers of this run share."""
    if _is_first(config):
        postgres_shared.open_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the servers of this process."""
    postgres_shared.close_run(first=_is_first(config))


def _is_first(config: pytest.Config) -> bool:
    return not hasattr(config, "workerinput")


@pytest.fixture(scope="session")
def postgres_certificates() -> PostgresCertificates:
    """An authority, and certificates that are right and wrong."""
    return postgres_shared.shared_certificates()


@pytest.fixture(scope="session")
def postgres_template() -> Template:
    """What servers are copied from, initialised once."""
    return postgres_shared.shared_template()


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """The shared server that speaks TLS, with the right certificate, and plain text."""
    return postgres_shared.shared_tls_server()


@pytest.fixture(scope="session")
def plain_postgres() -> Postgres:
    """The shared server that speaks plain text only."""
    return postgres_shared.shared_server()


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
