"""What the tests of the reading commands share."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import pytest
from click.testing import CliRunner, Result

from response_store.cli import main
from tests.unit.queries.stored import Stored
from tests.unit.queries.stored_in_postgres import (
    StoredInPostgres,
    session_stored,
    stored_in_postgres,
)

__all__ = ["session_stored", "stored_in_postgres"]

if TYPE_CHECKING:
    from pathlib import Path

Command = Callable[..., Result]
Anywhere: TypeAlias = Stored | StoredInPostgres


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of the test's own, two hours east of Greenwich, nothing configured."""
    monkeypatch.chdir(tmp_path)
    for name in ("RESPONSE_STORE_CONFIG", "RESPONSE_STORE_DATABASE_URL", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setitem(sys.modules, "genai_prices", None)  # not installed: its prices change
    monkeypatch.setenv("TZ", "TEST-02:00")
    time.tzset()
    yield tmp_path
    monkeypatch.undo()
    logging.disable(logging.NOTSET)  # completion turns warnings off in its process
    time.tzset()


@pytest.fixture
def stored(place: Path) -> Stored:
    """An empty database where the commands look by default."""
    return Stored(place / "responses.db")


@pytest.fixture
def configured(
    place: Path, stored_in_postgres: StoredInPostgres, monkeypatch: pytest.MonkeyPatch
) -> StoredInPostgres:
    """An empty PostgreSQL database that the commands are configured for."""
    stored_in_postgres.configure(place / "proxy.yaml")
    monkeypatch.setenv("RESPONSE_STORE_CONFIG", "proxy.yaml")
    return stored_in_postgres


@pytest.fixture(params=["sqlite", "postgres"])
def anywhere(request: pytest.FixtureRequest) -> Anywhere:
    """An empty database, of either kind, where the commands look."""
    name = "stored" if request.param == "sqlite" else "configured"
    made: Anywhere = request.getfixturevalue(name)
    return made


@pytest.fixture
def run() -> Command:
    """Runs a command line of `response-store`, its output piped."""

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(main, [*arguments], prog_name="response-store")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run
