"""`response-store diff`."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from response_store.cli.diff import ComparedPair, print_difference
from tests.unit.queries.stored import packed

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Anywhere, Command
    from tests.unit.queries.stored import Stored

BEGAN = 1767225600.0


def ask(*texts: str, **more: Any) -> bytes:
    items = [{"role": "user", "content": text} for text in texts]
    return packed(json.dumps({"model": "m", "input": items, **more}).encode())


def talk(anywhere: Anywhere) -> None:
    """Turns, of which most have been begun a second after the one before, and one that is alone."""
    for number, columns in enumerate(
        (
            {"request_body": ask("a"), "session_id": "s", "input_tokens": 2000},
            {"request_body": ask("a", "b"), "parent_exchange_id": "e0", "session_id": "s",
             "input_tokens": 2100, "cached_tokens": 1920},
            {"request_body": ask("x"), "session_id": "s"},
            {"request_body": ask("a", "c"), "previous_response_id": "r0"},
        )
    ):  # fmt: skip
        row = {"started_at": BEGAN + number, "response_id": f"r{number}"}
        anywhere.exchange(f"e{number}", **row | columns)
    anywhere.exchange("fork", started_at=BEGAN + 2.5, parent_exchange_id="e0", session_id="s")
    anywhere.exchange("lone", started_at=BEGAN - 1, request_body=ask("z"))


SHOWN = """\
--- r0  2026-01-01 02:00:00  completed
+++ r1  2026-01-01 02:00:01  completed
items
  1 item the same
+ 2 user: b
cache
  before  0 of 2,000 input tokens (0 %)
  after   1,920 of 2,100 input tokens (91 %)
  nothing differs up to the end of the earlier one
request            before          after
  messages     29 B  78 %     58 B  88 %
  settings      8 B  22 %      8 B  12 %
  total        37 B 100 %     66 B 100 %
"""


@pytest.mark.parametrize("arguments", [("r0", "r1"), ("-5", "-4"), ("e1",), ("r1",), ("-4",)])
def test_two_exchanges(anywhere: Anywhere, run: Command, arguments: tuple[str, ...]) -> None:
    """By ids, by places, and one alone against its parent: the same lines in a pipe."""
    talk(anywhere)
    result = run("diff", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == SHOWN


@pytest.mark.parametrize(
    ("name", "before"), [("r1", "r0"), ("r2", "r1"), ("r3", "r0"), ("fork", "r0")]
)
def test_what_one_goes_on_from(anywhere: Anywhere, run: Command, name: str, before: str) -> None:
    """Its parent, else the response that it names, else the exchange before it in its session."""
    talk(anywhere)
    given = json.loads(run("diff", name, "--json").stdout)
    assert (given["before"], given["after"]) == (before, name)


def test_a_parent_that_is_not_there(anywhere: Anywhere, run: Command) -> None:
    """Where the parent was pruned, the next best is taken."""
    talk(anywhere)
    anywhere.exchange("e9", started_at=BEGAN + 9, session_id="s", parent_exchange_id="gone",
                      previous_response_id="gone as well")  # fmt: skip
    assert json.loads(run("diff", "--json").stdout)["before"] == "fork"


def test_nothing_to_compare_with(anywhere: Anywhere, run: Command) -> None:
    """An exchange that goes on from nothing is an error that says what to name."""
    talk(anywhere)
    result = run("diff", "lone")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "response-store diff A B" in result.stderr


def test_three_are_too_many(run: Command) -> None:
    """Two exchanges are compared, no more."""
    assert run("diff", "a", "b", "c").exit_code == 2


def test_a_terminal_has_colours(stored: Stored) -> None:
    """What was added and what was removed have colours, and captured text gives no orders."""
    stored.exchange("e0", request_body=ask("a\x1b[2J"))
    stored.exchange("e1", request_body=ask("b"))
    file = io.StringIO()
    with stored.open() as query:
        pair = ComparedPair(query.find("default", "e0"), query.find("default", "e1"))
        console = Console(file=file, width=80, force_terminal=True, color_system="256")
        print_difference(console, pair)
    assert re.search(r"\x1b\[[0-9;]+m- 1 user: a␛\[2J\x1b\[0m\n", file.getvalue())
    assert re.search(r"\x1b\[[0-9;]+m\+ 1 user: b\x1b\[0m\n", file.getvalue())
    assert "\x1b[2J" not in file.getvalue()
