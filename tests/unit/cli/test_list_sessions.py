"""`response-store list --sessions`, and the filters that go by sessions."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from response_store.cli.list_sessions import show_sessions
from response_store.model.selection import Selection
from response_store.queries.sessions import list_sessions
from tests.unit.cli.conftest import Anywhere, Command
from tests.unit.queries.sessions_stored import turn, work

if TYPE_CHECKING:
    from tests.unit.queries.stored import Stored

GOLDEN = """\
2026-01-01 02:06:00\talone\t1\t0\t3\t-\t2\t-\tgpt-5.1\t-\tWhat time is it?\t-\t-
2026-01-01 02:05:30\ts-work\t6\t1\t315\t120\t33\treview\tgpt-5.1,gpt-5.1-mini\ttidy-1\tTidy up\t-\t-
2026-01-01 02:03:30\ts-other\t1\t0\t-\t-\t-\t-\t-\t-\tOther\t-\t-
"""


def drawn(stored: Stored, width: int, limit: int = 20, selection: Selection | None = None) -> str:
    """The table on a terminal of that width, without colours."""
    file = io.StringIO()
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    chosen = selection or Selection(tenant="default")
    with stored.open() as query:
        page = list_sessions(query.reader, chosen, limit=limit)
    show_sessions(console, page, narrowed=selection is not None)
    return file.getvalue()


def test_a_pipe_gets_plain_columns(anywhere: Anywhere, run: Command) -> None:
    """Piped output is one line a session, with tabs."""
    work(anywhere)
    result = run("list", "--sessions")
    assert (result.exit_code, result.stderr, result.stdout) == (0, "", GOLDEN)
    assert run("list", "--sessions", "--tenant", "nobody").stdout == ""


def test_json_has_sums_and_their_parts(anywhere: Anywhere, run: Command) -> None:
    """A program gets the sums, and what each model, tier and agent has of them; pages go on."""
    work(anywhere)
    page = json.loads(run("list", "--sessions", "--json", "-n", "1", "--label", "tidy-1").stdout)
    assert page["next"] is None
    (whole,) = page["sessions"]
    assert (whole["session_id"], whole["input_tokens"], whole["turns"]) == ("s-work", 315, 6)
    assert [one["input_tokens"] for one in whole["usage"]] == [300, 7, 8]
    first = json.loads(run("list", "--sessions", "--json", "-n", "1").stdout)
    second = run("list", "--sessions", "-n", "1", "--before", first["next"]).stdout
    assert second.split("\t")[1] == "s-work"


@pytest.mark.parametrize("width", [10, 40, 60, 80, 100, 120, 200])
def test_a_session_is_a_line_at_any_width(stored: Stored, width: int) -> None:
    """No line is wider than the terminal, and what is captured can't break one."""
    work(stored)
    stored.exchanges(
        [turn("e", 9, "s\x1b[1m", question="東京\n" * 90, agent="a\tb", model="模" * 90)]
    )
    lines = drawn(stored, width).splitlines()
    assert len(lines) == 5
    assert max(map(cell_len, lines)) <= width


def test_what_each_width_has_room_for(stored: Stored) -> None:
    """A narrow terminal has time, turns and id; a wide one everything."""
    work(stored)
    head = drawn(stored, 40).splitlines()[0].split()
    assert head == ["last", "turns", "session"]
    wide = drawn(stored, 200)
    for word in ("315/33", "38%", "gpt-5.1, gpt-5.1-", "review", "tidy-1", "s-work", "Tidy up"):
        assert word in wide


def test_what_tells_sessions_apart_is_shown(stored: Stored) -> None:
    """Ids of one minute begin alike: so much of each is shown that it is one; models lack dates."""
    ids = ("01a226e0-f9bf-77b3-9267", "01a226e0-f9bf-77d3-8422", "ses_1")
    turns = [turn(f"e{at}", at, name) for at, name in enumerate(ids)]
    dated = [
        turn(f"e{at}", at, ids[0], model="gpt-5.1-codex-2025-08-07", question="Say?")
        for at in (7, 8)
    ]
    stored.exchanges([*turns, *dated])
    lines = drawn(stored, 80).splitlines()
    assert [line.split()[-2] for line in lines[1:]] == [
        "01a226e0-f9bf-77b",
        "ses_1",
        "01a226e0-f9bf-77d",
    ]
    assert "gpt-5.1-codex, gp…" in lines[1]


def test_a_terminal_says_what_there_is_not(stored: Stored) -> None:
    """An empty table would look like a fault; a page that is not the last names the next."""
    assert "No session." in drawn(stored, 80)
    nothing = Selection(tenant="default", labels=("none",))
    assert "passes these filters" in drawn(stored, 80, selection=nothing)
    work(stored)
    assert "older ones: list --sessions --before 1767225960.0,alone\n" in drawn(stored, 80, 1)


FILTERS: list[tuple[list[str], str]] = [
    (["--session", "s-w"], "w7 w6 w5 w4 w3 w2 w1"),
    (["--session", "w5", "--session", "al"], "alone w7 w6 w5 w4 w3 w2 w1"),
    (["--session", "last"], "alone"),
    (["--session", "s-work", "--agent", "review"], "w4 w3"),
    (["--agent", "REV*", "--agent", "x"], "w4 w3"),
    (["--label", "tidy-1", "--state", "refused"], "w5"),
    (["--label", "t*", "-n", "1"], "w7"),
    (["--run", "last", "-n", "2"], "w7 w6"),
    (["--run", "r1", "--label", "nothing"], ""),
]


def test_filters(anywhere: Anywhere, run: Command) -> None:
    """Exchanges are chosen by their session, label, agent or run."""
    work(anywhere)
    for filters, found in FILTERS:
        listed = json.loads(run("list", "--json", *filters).stdout)["exchanges"]
        assert [one["exchange_id"] for one in listed] == found.split(), filters


def test_every_command_takes_them(anywhere: Anywhere, run: Command) -> None:
    """What `list` shows of a session, the other commands show, count or write."""
    work(anywhere)
    groups = json.loads(run("stats", "--session", "s-w", "--json").stdout)["groups"]
    assert sum(one["count"] for one in groups) == 7
    assert run("tail", "--session", "s-w", "-n", "9").stdout.count("\n") == 7
    exported = [json.loads(line) for line in run("export", "--session", "s-w").stdout.splitlines()]
    names = {one["exchange_id"] for one in exported if one["row"] == "exchange"}
    assert names == {f"w{at}" for at in range(1, 8)}


def test_a_session_that_is_not_there(anywhere: Anywhere, run: Command) -> None:
    """It is an error, and says how to find one."""
    work(anywhere)
    for command in ("list", "stats", "tail", "export"):
        result = run(command, "--session", "nothing")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "list --sessions" in result.stderr
