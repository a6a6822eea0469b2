"""How the reading commands find their database, and how they tell errors."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from response_store.config import TableNames
from tests.harness.postgres import PostgresDatabase
from tests.unit.queries.stored import Stored
from tests.unit.queries.stored_in_postgres import StoredInPostgres

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Command

COMMANDS = [("list",), ("show", "e1"), ("status",)]


def refusal(run: Command, command: tuple[str, ...]) -> str:
    """Why a command fails, without a traceback; `status` says it in the database's place."""
    result = run(*command)
    assert result.exit_code == 1
    if command[0] == "status":
        assert result.stderr == ""
        return result.stdout
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    return result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_without_a_configuration_it_is_in_the_working_directory(
    stored: Stored, run: Command, command: tuple[str, ...]
) -> None:
    """The default is the file that the addon writes by default."""
    stored.exchange("e1")
    assert run(*command).exit_code == 0


def test_the_configuration_names_database_tables_and_tenant(place: Path, run: Command) -> None:
    """--config finds what a proxy with this configuration writes."""
    stored = Stored(place / "other.db", TableNames("answers", "talks", "calls"))
    stored.exchange("e1", tenant_id="team")
    (place / "proxy.yaml").write_text(
        "database_url: sqlite://other.db\nresponses_table: answers\nconversations_table: talks\n"
        "exchanges_table: calls\ntenant:\n  id: team\n"
    )
    for command in COMMANDS:
        assert "e1" in run(*command, "--config", "proxy.yaml").stdout or command == ("status",)


def test_the_configuration_of_a_postgresql_database(
    place: Path, run: Command, plain_database: PostgresDatabase
) -> None:
    """The same settings count there; letter case of table names does not."""
    with closing(StoredInPostgres(plain_database, TableNames("Answers", "talks", "CALLS"))) as made:
        made.exchange("e1", tenant_id="team")
        made.configure(
            place / "proxy.yaml",
            responses_table="answers", conversations_table="talks", exchanges_table="Calls",
            tenant="{id: team}",
        )  # fmt: skip
        for command in COMMANDS:
            result = run(*command, "--config", "proxy.yaml")
            assert result.exit_code == 0
            assert "e1" in result.stdout or command == ("status",)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_postgresql_database_without_tables_ends_with_1(
    place: Path, run: Command, plain_database: PostgresDatabase, command: tuple[str, ...]
) -> None:
    """The missing tables are named, wherever the command tells errors."""
    with closing(StoredInPostgres(plain_database)) as stored:
        stored.configure(place / "proxy.yaml")
        stored.script("DROP TABLE {exchanges} CASCADE")
    said = refusal(run, (*command, "--config", "proxy.yaml"))
    assert "tables are missing: openai_exchanges." in said


def test_the_environment_names_the_configuration(
    place: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RESPONSE_STORE_CONFIG counts where --config is absent."""
    Stored(place / "a.db").exchange("in-a")
    Stored(place / "b.db").exchange("in-b")
    (place / "a.yaml").write_text("database_url: sqlite://a.db\n")
    (place / "b.yaml").write_text("database_url: sqlite://b.db\n")
    monkeypatch.setenv("RESPONSE_STORE_CONFIG", "a.yaml")
    assert "in-a" in run("list").stdout
    assert "in-b" in run("list", "--config", "b.yaml").stdout


def test_the_environment_names_the_database(
    place: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RESPONSE_STORE_DATABASE_URL wins over the file, --database over both."""
    Stored(place / "a.db").exchange("in-a")
    Stored(place / "b.db").exchange("in-b")
    (place / "b.yaml").write_text("database_url: sqlite://b.db\n")
    monkeypatch.setenv("RESPONSE_STORE_DATABASE_URL", "sqlite://a.db")
    assert "in-a" in run("list", "--config", "b.yaml").stdout
    assert "in-b" in run("list", "--config", "b.yaml", "--database", "b.db").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_database_ends_with_1(
    place: Path, run: Command, command: tuple[str, ...]
) -> None:
    """The error names the whole path, and no file is made."""
    default = place / "data" / "response-store" / "responses.db"
    assert f"{default}: there is no database." in refusal(run, command)
    assert list(place.iterdir()) == []


def test_one_known_place(place: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a database in the working directory it is the one in the user's data folder."""
    folder = place / "data" / "response-store"
    folder.mkdir(parents=True)
    Stored(folder / "responses.db").exchange("in-data-folder")
    (place / "proxy.yaml").write_text("durability: power\n")
    (place / "other.yaml").write_text("database_url: sqlite://other.db\n")
    Stored(place / "other.db").exchange("in-other")
    for options in ([], ["--config", "proxy.yaml"]):
        assert "in-data-folder" in run("list", *options).stdout
    assert "in-other" in run("list", "--config", "other.yaml").stdout
    assert json.loads(run("status", "--json").stdout)["database"] == str(folder / "responses.db")
    Stored(place / "responses.db").exchange("in-working-directory")
    assert "in-working-directory" in run("list").stdout
    monkeypatch.setenv("XDG_DATA_HOME", " ")
    monkeypatch.setenv("HOME", str(place / "home"))
    (place / "responses.db").unlink()
    expected = place / "home" / ".local" / "share" / "response-store" / "responses.db"
    assert f"{expected}: there is no database." in run("list").stderr


def test_the_place_is_made_by_who_writes(place: Path, run: Command) -> None:
    """`import` makes the folder, for its owner alone; what only reads makes nothing."""
    export = Stored(place / "other.db")
    export.exchange("e1")
    lines = run("export", "--database", "other.db").stdout
    (place / "lines.jsonl").write_text(lines)
    assert run("import", "lines.jsonl").exit_code == 0
    folder = place / "data" / "response-store"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert "e1" in run("list").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_configuration_ends_with_2(
    place: Path, run: Command, command: tuple[str, ...]
) -> None:
    """The configuration's own words are shown."""
    (place / "proxy.yaml").write_text("databse_url: sqlite://x.db\n")
    result = run(*command, "--config", "proxy.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "databse_url" in result.stderr


def test_a_missing_configuration_ends_with_2(run: Command) -> None:
    """A configuration that is not there is told as such."""
    result = run("list", "--config", "nowhere.yaml")
    assert result.exit_code == 2
    assert "nowhere.yaml" in result.stderr


def test_memory_cannot_be_read_from_outside(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An in-memory database is its proxy's own."""
    monkeypatch.setenv("RESPONSE_STORE_DATABASE_URL", "sqlite::memory:")
    result = run("list")
    assert result.exit_code == 1
    assert "in-memory" in result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_corrupt_file_ends_with_1(place: Path, run: Command, command: tuple[str, ...]) -> None:
    """A file that is no database gives text, not a traceback."""
    (place / "responses.db").write_bytes(b"\x1b[2J" * 1000)
    assert "no SQLite database" in refusal(run, command)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_newer_database_ends_with_1(
    stored: Stored, run: Command, command: tuple[str, ...]
) -> None:
    """A database of a newer version is refused, not misread."""
    stored.script("UPDATE {exchanges_version} SET version = 99")
    assert "version 99" in refusal(run, command)


@pytest.mark.parametrize("command", COMMANDS)
def test_undecodable_arguments_are_told(
    stored: Stored, run: Command, command: tuple[str, ...]
) -> None:
    """Bytes that are no text, in a name or an id, give an error at most."""
    assert run(*command, "--database", "no\udcff\x1b.db").exit_code == 1
    if command != ("status",):
        assert run(*command, "--tenant", "\udcff").exit_code == 1
