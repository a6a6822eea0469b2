"""What the tests of transfers share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from response_store.cli import main
from tests.harness.postgres import Postgres
from tests.unit.transfer.databases import AnyDatabase, PostgresTables, SqliteFile

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, nothing configured."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("RESPONSE_STORE_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def sqlite(place: Path) -> SqliteFile:
    """An empty SQLite file, where the commands look by default."""
    return SqliteFile(place / "responses.db")


@pytest.fixture
def other(place: Path) -> SqliteFile:
    """Another one."""
    return SqliteFile(place / "other.db")


@pytest.fixture(scope="session")
def session_tables(plain_postgres: Postgres) -> Iterator[PostgresTables]:
    """A PostgreSQL database for one test after the other."""
    database = plain_postgres.create_database()
    with closing(PostgresTables(database)) as tables:
        yield tables
    database.drop()


@pytest.fixture
def in_postgres(session_tables: PostgresTables) -> PostgresTables:
    """An empty PostgreSQL database."""
    session_tables.empty()
    return session_tables


@pytest.fixture(params=["sqlite", "in_postgres"])
def anywhere(request: pytest.FixtureRequest) -> AnyDatabase:
    """An empty database of either kind."""
    made: AnyDatabase = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def run() -> Command:
    """Runs a command line of `response-store`, its output piped."""

    def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
        given = [str(argument) for argument in arguments]
        result = CliRunner().invoke(main, given, prog_name="response-store", input=stdin)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
