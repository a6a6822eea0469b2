"""`response-store tail` without -f, and what it writes; `tests/acceptance` has the following."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from rich.cells import cell_len
from rich.console import Console

from response_store.backends.registry import build_follower
from response_store.cli import output
from response_store.cli.source import find_source
from response_store.cli.tail import TailWriter, WatchedDatabase
from response_store.model.selection import Selection
from response_store.pricing.prices import Prices
from response_store.queries.exchanges import list_last_ended
from tests.unit.cli import rows
from tests.unit.cli.test_list import GOLDEN
from tests.unit.queries.stored import Stored

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Anywhere, Command

ENDED = "".join(reversed(GOLDEN.splitlines(keepends=True)[1:]))


def test_a_pipe_gets_the_lines_of_list(anywhere: Anywhere, run: Command) -> None:
    """The oldest first; what is open has no line yet."""
    rows.all_kinds(anywhere)
    result = run("tail")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == ENDED
    assert run("tail", "-n", "1").stdout == ENDED.splitlines(keepends=True)[-1]
    assert run("tail", "-n", "0").stdout == ""


def test_json_is_an_object_a_line(anywhere: Anywhere, run: Command) -> None:
    """Each line is an exchange as `list --json` has it."""
    rows.all_kinds(anywhere)
    lines = [json.loads(line) for line in run("tail", "--json").stdout.splitlines()]
    listed = json.loads(run("list", "--json").stdout)["exchanges"]
    assert lines == list(reversed(listed[1:]))


def test_filters_and_tenant_hold(anywhere: Anywhere, run: Command) -> None:
    """The filters are those of `list`."""
    rows.all_kinds(anywhere)
    anywhere.exchange("x", tenant_id="other")
    assert run("tail", "--state", "refused").stdout == ENDED.splitlines(keepends=True)[1]
    assert "x" in run("tail", "--tenant", "other").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--state", "open"], "response-store list --state open"),
        (["-n", "-1"], "-n"),
        (["--since", "1h", "--until", "2h"], "--since must be earlier"),
    ],
)
def test_wrong_usage_ends_with_2(
    stored: Stored, run: Command, arguments: list[str], says: str
) -> None:
    """A wrong option is told on standard error, with what helps."""
    result = run("tail", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_a_missing_database_is_told(run: Command) -> None:
    """Nothing is waited for that was never there."""
    for option in ([], ["-f"]):
        result = run("tail", *option)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "there is no database" in result.stderr


def test_a_replaced_file_is_opened_anew_without_a_word(
    stored: Stored, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A database that is there all the time is not said to be away."""
    other = Stored(place / "other.db")
    query = stored.open()
    following = build_follower(query.reader, Selection(tenant="default"))
    following.begin(query.reader, 1)
    watched = WatchedDatabase(find_source(None, stored.path), following, query)
    try:
        assert watched.look() == []
        shutil.move(other.path, stored.path)
        assert watched.look() == []
        stored.exchange("new", started_at=time.time())
        assert [one.exchange_id for one in watched.look()] == ["new"]
    finally:
        watched.close()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("width", [20, 40, 60, 90, 100, 130, 200])
def test_columns_keep_their_places(
    stored: Stored, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal a row is a line under one heading, whatever the widths of its texts."""
    rows.all_kinds(stored)
    stored.exchange(
        "w", started_at=1.0, model="模型" * 20, host="主机" * 20, output_text="東京👩‍👩‍👧" * 40
    )
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setattr(output, "open_terminal", lambda: Console(width=width, markup=False))
    lines = TailWriter(as_json=False, prices=Prices([]))
    with stored.open() as query:
        for one in list_last_ended(query.reader, Selection(tenant="default"), 9):
            lines.write([one])
            lines.write([])
    written = capsys.readouterr().out.splitlines()
    assert len(written) == 1 + 5
    assert max(map(cell_len, written)) <= width
    if width >= 40:
        ids = [row.split()[-1] for row in written]
        assert ids == ["id", "w", "0e1c5a0e", "e-refuse", "e-partia", "e-chat"]
        starts = [cell_len(row.rstrip()) - len(one) for row, one in zip(written, ids, strict=True)]
        assert len({*starts}) == 1
