"""`docs/cli.md` says the same as the commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from response_store.cli import main
from tests.harness.each import each

if TYPE_CHECKING:
    from collections.abc import Iterator

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
OPTION = re.compile(r"^\| `(--[a-z-]+)", re.MULTILINE)
ROW = re.compile(r"^\| `(--[a-z-]+)(.*)$", re.MULTILINE)
SECTIONS = dict(
    re.findall(r"^## `response-store ([^`]+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
)


def test_the_page_has_a_section_for_each_command() -> None:
    """No command is missing from the page, and the page names none that is gone."""
    assert SECTIONS.keys() == COMMANDS.keys()


@each("name", COMMANDS)
def test_a_section_names_each_option(name: str) -> None:
    """The options of a section's table are exactly those of the command."""
    options = {
        option
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option) and not parameter.hidden
        for option in parameter.opts
        if option.startswith("--")  # a short one stands beside its long one
    }
    documented = set(OPTION.findall(SECTIONS[name]))
    assert documented == options


SELECTING = {"--model", "--state", "--host", "--client", "--since", "--until"}
SHORT = {"-n": "--limit", "-f": "--follow"}
WITHOUT_JSON = {"completion", "script-path", "run", "flush", "web"}


@each("name", COMMANDS)
def test_options_are_called_alike(name: str) -> None:
    """What chooses exchanges comes together, a short name stands for one long one."""
    options = [set(one.opts) for one in COMMANDS[name].params if isinstance(one, click.Option)]
    every = set().union(*options)
    assert not every & SELECTING or every >= SELECTING
    for names in options:
        for short, long in SHORT.items():
            assert short not in names or long in names
    assert "--limit" not in every or "-n" in every
    assert "--json" in every or name in WITHOUT_JSON
    assert "--config" in every or name in ("completion", "script-path")


@each("name", COMMANDS)
def test_a_section_has_an_example(name: str) -> None:
    """Each section has a line to copy."""
    assert re.search(rf"^    .*response-store {name}", SECTIONS[name], re.MULTILINE)


@each("name", COMMANDS)
def test_a_section_has_the_defaults(name: str) -> None:
    """What holds by default stands in the option's row."""
    lines = dict(ROW.findall(SECTIONS[name]))
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option) and parameter.show_default:
            line = lines[next(option for option in parameter.opts if option.startswith("--"))]
            assert re.search(rf"\b{parameter.default}\b.*by default", line), line


@pytest.mark.parametrize(("name", "option"), [("list", "--state"), ("stats", "--by")])
def test_a_section_has_the_choices(name: str, option: str) -> None:
    """Each thing that can be said stands in the option's row."""
    (parameter,) = [one for one in COMMANDS[name].params if option in one.opts]
    assert isinstance(parameter.type, click.Choice)
    named = re.findall(r"`([a-z_]+)`", dict(ROW.findall(SECTIONS[name]))[option])
    assert named[: len(parameter.type.choices)] == [*parameter.type.choices]


def test_the_sections_are_in_the_order_of_the_help() -> None:
    """The page goes through the commands as --help does, under the same headings."""
    assert list(SECTIONS) == list(COMMANDS)
    assert re.findall(r"^\| \*\*(.+?)\*\* \|", PAGE, re.MULTILINE) == [*main.sections]


def test_the_table_has_each_command() -> None:
    """The table at the top names the commands as --help does, in its order."""
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| (.*) \|$", PAGE, re.MULTILINE)
    named = {
        heading: [name.split()[0] for name in re.findall(r"`([^`]+)`", row)]
        for heading, row in rows
    }
    assert named == {heading: [*lines] for heading, lines in main.sections.items()}


def test_the_introduction_begins_with_capturing() -> None:
    """Whoever reads the first lines knows how to get something to look at."""
    assert "response-store run -- " in PAGE[: PAGE.index("\n## ")]


@pytest.mark.parametrize(
    "name",
    [
        "`ws`",
        "Node before version 24",
        "aiohttp",
        "`WSS_PROXY`",
        "urllib3",
        "superagent",
        "`NO_PROXY`",
    ],
)
def test_what_goes_around_the_proxy_is_named(name: str) -> None:
    """Who uses one of these learns it from the section about `run`, and what to do instead."""
    (point,) = re.findall(r"\n- (Some clients go around(?:.|\n)*?)\n- ", SECTIONS["run"])
    assert name in point
    assert "`--base-url`" in point
