"""`docs/cli.md` and `--help` say the same as the commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from response_store.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.cli.conftest import Command

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its whole name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(main))
SECTIONS = dict(
    re.findall(r"^## `response-store ([^`]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
)


def test_the_page_has_a_section_for_each_command() -> None:
    """No command is missing from the page, and the page names none that is gone."""
    assert SECTIONS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_names_each_option(name: str) -> None:
    """The options of a section's table are exactly those of the command."""
    options = {
        option
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }
    documented = set(re.findall(r"^\| `(--[a-z-]+)", SECTIONS[name], re.MULTILINE))
    assert documented == options


@pytest.mark.parametrize("name", COMMANDS)
def test_a_section_has_an_example(name: str) -> None:
    """Each section has a line to copy."""
    assert re.search(rf"^    .*response-store {name}", SECTIONS[name], re.MULTILINE)


@pytest.mark.parametrize("name", ["list", "show", "status"])
def test_help_has_examples(run: Command, name: str) -> None:
    """--help shows lines to copy, each on a line of its own."""
    shown = run(name, "--help").stdout
    assert re.search(rf"Examples:\n    response-store {name}", shown)
    assert all(option in shown for option in re.findall(r"`(--[a-z-]+)", SECTIONS[name]))
