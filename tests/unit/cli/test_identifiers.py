"""Which exchange is meant, by its place among the newest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from response_store.cli.identifiers import MAX_PLACE

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command


def three(anywhere: Anywhere) -> None:
    for number in (1, 2, 3):
        anywhere.exchange(f"e{number}", started_at=1767225600.0 + number, response_id=f"r{number}")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((), "e3"), (("--last",), "e3"), (("-1",), "e3"), (("-2",), "e2"), (("-3",), "e1"),
     (("--json", "-2"), "e2"), (("r1",), "e1")],
)  # fmt: skip
def test_an_exchange_by_its_place(
    anywhere: Anywhere, run: Command, arguments: tuple[str, ...], name: str
) -> None:
    """Without an id it is the newest, `-2` is the one before it; ids are looked up as ever."""
    three(anywhere)
    result = run("show", *{*arguments, "--json"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["exchange_id"] == name


def test_a_thread_by_its_place(anywhere: Anywhere, run: Command) -> None:
    """A place counts for threads as well."""
    three(anywhere)
    assert run("show", "--thread", "-2").stdout.startswith("=== r2\t")


@pytest.mark.parametrize(
    ("back", "message"),
    [
        ("-4", "-4 is too far back: there are 3 exchanges of tenant 'default'."),
        (f"-{MAX_PLACE + 1}", f"-{MAX_PLACE + 1} is too far back: the last 1,000 exchanges"),
    ],
)
def test_a_place_too_far_back(anywhere: Anywhere, run: Command, back: str, message: str) -> None:
    """A place that nothing has is an error that says how many there are."""
    three(anywhere)
    result = run("show", back)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_nothing_is_there(anywhere: Anywhere, run: Command) -> None:
    """An empty database has no newest exchange, and the error says how to get one."""
    result = run("show")
    assert result.exit_code == 1
    assert "No exchange of tenant 'default' yet." in result.stderr


@pytest.mark.parametrize(
    "arguments", [("--last", "e1"), ("--nonsense",), ("-0",), ("-x",), ("e1", "-2")]
)
def test_wrong_usage(anywhere: Anywhere, run: Command, arguments: tuple[str, ...]) -> None:
    """What looks like an option and is no place is one that is not known."""
    result = run("show", *arguments)
    assert result.exit_code == 2
    assert not {*result.stderr} & {"\0", "\u2400"}
