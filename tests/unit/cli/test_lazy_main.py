"""The `response-store` command as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from response_store import __version__
from response_store.cli import main
from response_store.cli.lazy import LazyGroup
from response_store.resources import find_schema, find_script
from tests.harness.each import each


def test_the_script_path_is_a_file() -> None:
    """What is printed can be given to mitmproxy."""
    result = CliRunner().invoke(main, ["script-path"])
    assert result.exit_code == 0
    assert result.stdout == f"{find_script()}\n"
    assert Path(result.stdout.strip()).is_file()


def test_the_schemas_are_found() -> None:
    """The schema and the SQL files are where the program looks for them."""
    assert find_schema("config.schema.json").is_file()
    assert find_schema("sqlite/shared_tables.sql").is_file()


def test_the_version_is_the_package_s() -> None:
    """--version prints name and version."""
    result = CliRunner().invoke(main, ["--version"])
    assert result.stdout == f"response-store, version {__version__}\n"


@each("name", main.list_commands(click.Context(main)))
def test_every_command_can_be_asked_for_help(name: str) -> None:
    """Every name in the table leads to a command."""
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage: ")


def test_an_unknown_command_is_refused() -> None:
    """An unknown name is a usage error."""
    result = CliRunner().invoke(main, ["lsit"])
    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_a_place_that_holds_no_command_is_an_error() -> None:
    """A wrong entry in the table is found when it is used."""
    group = LazyGroup("group", commands_at={"x": "response_store:__version__"})
    with pytest.raises(TypeError, match="not a click command"):
        group.get_command(click.Context(group), "x")


@pytest.mark.parametrize("arguments", [["--help"], ["script-path"], ["config", "check", "x"]])
def test_no_command_imports_mitmproxy(arguments: list[str]) -> None:
    """The commands start quickly: none of them imports mitmproxy, nor a database of PostgreSQL."""
    program = (
        "import sys\n"
        "from response_store.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        "print({'mitmproxy', 'psycopg'} & sys.modules.keys())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("set()\n")
