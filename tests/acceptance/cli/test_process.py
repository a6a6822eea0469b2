"""The commands as processes: terminals, pipes, encodings, and what a start loads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.harness.commands import DEADLINE, PROGRAM, environment, on_terminal, piped
from tests.unit.cli import rows

if TYPE_CHECKING:
    from tests.unit.queries.stored import Stored


@pytest.mark.parametrize("columns", [40, 120])
def test_a_terminal_gets_a_table_that_fits(stored: Stored, columns: int) -> None:
    """On a real terminal there are colours and headings, and no escape sequence of a model."""
    rows.all_kinds(stored)
    status, shown = on_terminal("list", columns=columns)
    assert status == 0
    assert "\x1b[38;5;28m●" in shown
    assert "\x1b[31mred" not in shown
    assert ("took" in shown) == (columns == 120)


@pytest.mark.parametrize("command", [("show", rows.RESPONSE_ID), ("status",)])
def test_a_terminal_gets_colours(stored: Stored, command: tuple[str, ...]) -> None:
    """The other commands are coloured as well."""
    rows.whole(stored)
    status, shown = on_terminal(*command)
    assert status == 0
    assert "\x1b[1m" in shown


def test_json_on_a_terminal_is_harmless(stored: Stored) -> None:
    """Control characters that JSON allows as they are come escaped on a terminal."""
    stored.exchange("e1", response_id="r1", output_text="\x1b[2J\x9b2J\x7f")
    stored.response("r1", response_object='{"a":"\x9b\u202e"}')
    status, shown = on_terminal("show", "r1", "--json")
    assert status == 0
    assert not set(shown) & {"\x1b", "\x9b", "\x7f", "\u202e"}
    assert json.loads(shown)["response"] == {"a": "\x9b\u202e"}


def test_raw_bytes_never_go_to_a_terminal(stored: Stored) -> None:
    """Raw bytes could do anything to a terminal, so they are refused there."""
    rows.whole(stored)
    status, shown = on_terminal("show", rows.RESPONSE_ID, "--raw")
    assert status == 2
    assert "file or a pipe" in shown


def test_colours_are_not_forced_into_a_pipe(stored: Stored) -> None:
    """Variables that ask for colours do not change what a pipe gets."""
    rows.all_kinds(stored)
    plain = piped("list").stdout
    assert plain == piped("list", FORCE_COLOR="1", COLUMNS="20", CLICOLOR_FORCE="1").stdout
    assert b"\x1b" not in plain


def test_a_reader_that_goes_away_is_no_error(stored: Stored) -> None:
    """`response-store list | head -1` ends quietly."""
    stored.exchanges([{"exchange_id": f"e{at}", "output_text": "x" * 300} for at in range(5000)])
    for option in ([], ["--json"]):
        process = subprocess.Popen(
            [*PROGRAM, "list", "--limit", "5000", *option],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        process.wait(DEADLINE)


@pytest.mark.parametrize("command", [("list",), ("show", rows.RESPONSE_ID), ("status",)])
def test_an_ascii_world_is_served(stored: Stored, command: tuple[str, ...]) -> None:
    """Where the output's encoding lacks a character, an escape stands for it."""
    rows.all_kinds(stored)
    result = piped(*command, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.isascii()


@pytest.mark.parametrize(
    ("command", "heavy"),
    [
        (("list", "--json"), ["mitmproxy", "rich", "psycopg"]),
        (("list",), ["mitmproxy", "rich", "psycopg"]),
        (("show", rows.RESPONSE_ID, "--json"), ["mitmproxy", "rich", "psycopg"]),
        (("status",), ["mitmproxy", "rich", "psycopg"]),
    ],
)
def test_a_start_loads_no_more_than_it_needs(
    stored: Stored, command: tuple[str, ...], heavy: list[str]
) -> None:
    """Nothing heavy is imported for output that a program reads."""
    rows.whole(stored)
    check = (
        "import sys; from response_store.cli import main; main(standalone_mode=False);"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", check, *command],
        capture_output=True, check=True, env=environment(), timeout=DEADLINE,
    )  # fmt: skip
    assert result.stderr == b"[]\n"


def test_a_device_is_no_database(stored: Stored) -> None:
    """What is there but no file is told in one line, with status 1."""
    result = piped("list", "--database", "/dev/null")
    assert result.returncode == 1
    assert result.stderr.startswith(b"Error: /dev/null")
    assert result.stderr.count(b"\n") == 1
