"""What went wrong, with the command that comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored import Stored

READING = [["list"], ["show", "e1"], ["search", "x"], ["stats"], ["tail"], ["status"], ["export"]]


def told(run: Command, *command: str) -> str:
    """What a command says that fails; `status` has the error among its facts."""
    result = run(*command)
    assert result.exit_code == 1
    return result.stdout if command[0] == "status" else result.stderr


@pytest.mark.parametrize("command", READING)
def test_no_database(run: Command, place: Path, command: list[str]) -> None:
    """How to capture, and how to name another one."""
    said = told(run, *command)
    assert "response-store run -- COMMAND" in said
    assert "--config" in said


@pytest.mark.parametrize("command", READING)
def test_no_tables(run: Command, anywhere: Anywhere, command: list[str]) -> None:
    """Nothing was captured there, or the tables have other names."""
    anywhere.script("ALTER TABLE {exchanges} RENAME TO elsewhere")
    try:
        said = told(run, *command)
    finally:
        anywhere.script("ALTER TABLE elsewhere RENAME TO {exchanges}")
    assert "tables are missing: openai_exchanges." in said
    assert "response-store run -- COMMAND" in said
    assert "--config" in said


@pytest.mark.parametrize(
    ("version", "fix"),
    [(99, "pip install --upgrade mitmproxy-response-store"), (0, "response-store run -- true")],
)
@pytest.mark.parametrize("command", READING)
def test_another_version(
    run: Command, stored: Stored, command: list[str], version: int, fix: str
) -> None:
    """Of the program or of the database: whichever is older has to follow."""
    stored.script(f"UPDATE {{exchanges_version}} SET version = {version}")
    assert fix in told(run, *command)


@pytest.mark.parametrize("command", [["show", "nothing"], ["show", "--thread", "nothing"]])
def test_no_such_id(run: Command, anywhere: Anywhere, command: list[str]) -> None:
    """What ids there are."""
    assert "response-store list" in told(run, *command)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run"], "response-store run -- COMMAND"),
        (["tail", "--state", "open"], "response-store list --state open"),
        (["prune"], "--older-than 30d"),
        (["copy"], "response-store copy --to backup.db"),
        (["copy", "--to", "responses.db"], "name another with --to FILE"),
        (["run", "--", "/"], "chmod +x /"),
    ],
)
def test_a_wrong_command_line(run: Command, stored: Stored, command: list[str], said: str) -> None:
    """What could be said instead."""
    result = run(*command)
    assert result.exit_code in (2, 126)
    assert said in result.stderr
