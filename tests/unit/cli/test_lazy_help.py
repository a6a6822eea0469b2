"""`--help` of every command, and what is said of commands that are none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
import pytest

from response_store.cli import main
from tests.unit.cli.test_lazy_page import COMMANDS, OPTION, SECTIONS

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Command

GROUPS = {name.split()[0] for name in COMMANDS}


def body(text: str) -> list[str]:
    """The lines of a help but for its examples, which are there to be copied."""
    return re.sub(r"  Examples?:\n(    .*\n)+", "", text).splitlines()


def test_the_commands_are_grouped(run: Command) -> None:
    """Each command stands under one heading, with a whole line."""
    shown = run("--help").stdout
    assert [name for lines in main.sections.values() for name in lines] == main.list_commands(
        click.Context(main)
    )
    for heading, lines in main.sections.items():
        block = re.search(rf"^{heading}:\n((  .*\n)+)", shown, re.MULTILINE)
        assert block
        assert dict(re.findall(r"^  (\S+) +(.*)$", block[1], re.MULTILINE)) == lines
    assert {name for lines in main.sections.values() for name in lines} == GROUPS
    assert shown.count("\n    response-store ") == 3
    assert "response-store run -- " in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(run: Command, name: str) -> None:
    """Lines to copy, each on a line of its own, and every option that the page has."""
    shown = run(*name.split(), "--help").stdout
    example = re.search(r"Examples?:\n((    .*\n)+)", shown)
    assert example
    assert f"response-store {name}" in example[1]
    assert all(option in shown for option in OPTION.findall(SECTIONS[name]))


@pytest.mark.parametrize("name", ["", *COMMANDS])
@pytest.mark.parametrize("columns", [40, 80])
def test_help_fits(run: Command, monkeypatch: pytest.MonkeyPatch, name: str, columns: int) -> None:
    """Lines are no longer than the terminal is wide; examples fit into 80 columns."""
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = run(*name.split(), "--help").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert max(map(len, body(shown))) <= columns


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("serch", "Did you mean search?"),
        ("lsit", "Did you mean list?"),
        ("sta", "Did you mean"),
        ("env", "To capture what env receives: response-store run -- env ..."),
        ("nosuch\x1b", r"No such command 'nosuch\x1b'."),
    ],
)
def test_a_wrong_command_names_the_nearest(run: Command, typed: str, said: str) -> None:
    """Or how to run a program that is meant; either way, where all commands are."""
    result = run(typed)
    assert result.exit_code == 2
    assert said in result.stderr
    assert re.search(r"Try 'response-store (--help|-h)'", result.stderr)  # as click has it


def test_a_wrong_option_names_the_nearest(run: Command) -> None:
    """Options as well."""
    assert "--since" in run("list", "--sinse", "2h").stderr
