"""The views for people who ask by SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from response_store.model.records import State
from response_store.resources import read_schema
from tests.unit.queries.sessions_stored import BEGAN, turn, work
from tests.unit.queries.stored import Stored

if TYPE_CHECKING:
    from tests.unit.queries.conftest import Anywhere


def asked(stored: Anywhere, statement: str) -> list[dict[str, Any]]:
    """What another program gets for a statement."""
    if not isinstance(stored, Stored):
        return [dict(row) for row in stored.database.execute(statement)]
    with closing(sqlite3.connect(stored.path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]


def test_exchanges(anywhere: Anywhere) -> None:
    """A row has a time, the question, the beginning of the answer, tokens and the error."""
    work(anywhere)
    anywhere.exchange(
        "long", started_at=BEGAN, output_text="x" * 900, duration_ms=1234.5,
        error_code="server_error", error_message="Try again.",
    )  # fmt: skip
    (row,) = asked(anywhere, "SELECT * FROM exchanges WHERE exchange_id = 'long'")
    assert (row["answer"], row["error"]) == ("x" * 500, "server_error: Try again.")
    assert row["ms"] in (1234, 1235)
    found = asked(
        anywhere, "SELECT * FROM exchanges WHERE session_id = 's-work' AND tenant_id = 'default'"
        " ORDER BY time, exchange_id",
    )  # fmt: skip
    assert [row["exchange_id"] for row in found] == [f"w{at}" for at in range(1, 8)]
    assert (found[0]["question"], found[4]["model"]) == ("Tidy up", "gpt-5.1")
    assert len({str(row["time"]) for row in found}) == 7


def test_sessions(anywhere: Anywhere) -> None:
    """A row is a session, or an exchange of which none is known."""
    work(anywhere)
    found = asked(
        anywhere, "SELECT * FROM sessions WHERE tenant_id = 'default' ORDER BY last DESC"
    )  # fmt: skip
    assert [row["session_id"] for row in found] == ["alone", "s-work", "s-other"]
    alone, whole, _ = found
    assert (alone["question"], alone["turns"]) == ("What time is it?", 1)
    assert (whole["question"], whole["turns"], whole["errors"]) == ("Tidy up", 6, 2)
    assert sorted(whole["models"].split(",")) == ["gpt-5.1", "gpt-5.1-mini"]
    assert (whole["agents"], whole["label"]) == ("review", "tidy-1")
    assert whole["output_tokens"] == 43
    assert str(whole["began"]) < str(whole["last"])


@pytest.mark.parametrize("started_at", [1e300, -1e300, -1.0])
def test_a_time_beyond_the_calendar_ends_nothing(anywhere: Anywhere, started_at: float) -> None:
    """It has no time, and the others are there."""
    anywhere.exchanges([turn("odd", started_at, None), turn("e", 1, None)])
    for view in ("exchanges", "sessions"):
        assert len(asked(anywhere, f"SELECT * FROM {view}")) == 2


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_the_errors_of_a_view_are_those_of_the_program(database: str) -> None:
    """The states that count as errors are the same ones."""
    text = read_schema(f"{database}/exchanges_007.sql").partition("state IN (")[2]
    named = {name.strip(" '") for name in text.partition(")")[0].split(",")}
    assert named == {state.value for state in State if state.is_error}
