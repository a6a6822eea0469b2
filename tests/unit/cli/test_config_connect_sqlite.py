"""`response-store config check --connect` with SQLite: what is at the path, and nothing made."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest
from click.testing import CliRunner, Result

from response_store.cli import main
from response_store.queries.schema_state import MIGRATIONS, PRESENT
from tests.unit.backends.sqlite.files import PRAXIS, opened

Connect: TypeAlias = Callable[..., Result]


@pytest.fixture
def connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Checks a configuration with this URL, from the test's own folder."""
    monkeypatch.chdir(tmp_path)

    def connect(url: str = "sqlite://x.db") -> Result:
        Path("store.yaml").write_text(f'database_url: "{url}"\n')
        before = {path.name for path in tmp_path.iterdir()}
        result = CliRunner().invoke(main, ["config", "check", "--connect", "store.yaml"])
        # SQLite puts two files of its own beside a database that is read.
        assert {path.name for path in tmp_path.iterdir()} - before <= {"x.db-wal", "x.db-shm"}
        return result

    return connect


def facts(result: Result) -> dict[str, str]:
    """What was found, by its name, where nothing is in the way."""
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    _, _, told = result.stdout.partition("\nconnection: ok\n")
    return dict(re.findall(r"^  (\S+) {2,}(.+)$", told, re.MULTILINE))


def problem(result: Result) -> str:
    """What keeps the store from working there."""
    assert result.exit_code == 2
    assert result.stdout.startswith("store.yaml: ok\n")
    assert "\nconnection: refused\n" in result.stdout
    return result.stderr


def execute(script: str) -> None:
    with closing(sqlite3.connect("x.db")) as connection:
        connection.executescript(script)


def test_a_file_that_is_not_there(connect: Connect, tmp_path: Path) -> None:
    """It is made at start, and not by the check."""
    told = facts(connect())
    assert told == {
        "file": str(tmp_path / "x.db"),
        "schema": "absent: file and tables are made at start",
    }


def test_a_store(connect: Connect, tmp_path: Path) -> None:
    """Size and versions are told, also while a proxy has the file open."""
    with opened(tmp_path / "x.db"):
        told = facts(connect())
    assert told["schema"] == PRESENT
    assert re.fullmatch(r"[1-9]\d+ bytes", told["size"])


def test_a_file_without_tables(connect: Connect) -> None:
    """An empty file gets its tables at start."""
    Path("x.db").touch()
    assert facts(connect())["schema"] == "absent: it is made at start"


def test_a_file_of_praxis(connect: Connect) -> None:
    """The shared tables are there, and ours are to be made."""
    connect()
    execute(PRAXIS)
    assert facts(connect())["schema"] == "incomplete: it is made at start"


def test_memory(connect: Connect) -> None:
    """There is nothing to look at."""
    assert facts(connect("sqlite::memory:")) == {"file": "none: memory, gone when the proxy ends"}


def test_what_may_be_credentials_is_masked(connect: Connect) -> None:
    """The path is shown as everywhere, also where it is refused."""
    assert facts(connect("sqlite://u:c4n4ry@x.db"))["file"] == "***@x.db"
    result = connect("sqlite://u:c4n4ry@x.db?mode=rw")
    assert "does not exist" in problem(result)
    assert "c4n4ry" not in result.output


def test_a_schema_that_is_not_ours(connect: Connect, tmp_path: Path) -> None:
    """Newer versions and missing columns are told in the store's own words."""
    with opened(tmp_path / "x.db"):
        pass
    known = len(MIGRATIONS)
    execute(f"UPDATE openai_exchanges_schema_version SET version = {known + 1}")
    assert f"says version {known + 1}, this program knows {known}" in problem(connect())
    execute(
        f"UPDATE openai_exchanges_schema_version SET version = {known};"
        "ALTER TABLE openai_responses DROP COLUMN model;"
    )
    assert "table openai_responses lacks model" in problem(connect())


def test_no_database(connect: Connect) -> None:
    """A file of another kind, a folder and a pipe are refused."""
    Path("x.db").write_text("no database, though longer than a header of a hundred bytes\n" * 9)
    assert "the file is no SQLite database" in problem(connect())
    Path("x.db").unlink()
    Path("x.db").mkdir()
    assert "this is a folder" in problem(connect())
    os.mkfifo("pipe")
    assert "no regular file" in problem(connect("sqlite://pipe"))


def test_a_place_where_nothing_can_be_made(connect: Connect) -> None:
    """A missing folder is named as the reason, and so is a mode that makes no file."""
    assert "its folder does not exist: make it" in problem(connect("sqlite://nowhere/x.db"))
    assert "mode=rw makes none" in problem(connect("sqlite://x.db?mode=rw"))


def test_a_file_that_may_not_be_written(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's word counts (root may write anywhere, so: made up)."""
    with opened(tmp_path / "x.db"):
        pass
    closed = {tmp_path / "x.db"}
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) not in closed)
    assert "the file may not be read and written" in problem(connect())
    closed = {tmp_path}
    assert "its folder may not be written" in problem(connect())


def test_a_file_that_is_locked(connect: Connect, tmp_path: Path) -> None:
    """What another program holds is told after a moment."""
    with opened(tmp_path / "x.db"):
        pass
    with closing(sqlite3.connect("x.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        assert "locked" in problem(connect())
