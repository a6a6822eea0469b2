"""Which row of an exchange wins: the rule in Python and the rule in SQL are one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import product

import pytest

from response_store.model.precedence import build_supersedes, rank_state, supersedes
from response_store.model.records import EndedBy, State

_COLUMNS = ("state", "ended_by", "raw_response")


@pytest.mark.parametrize("state", [*State, "of another program"])
def test_python_and_sql_have_one_rule(state: str) -> None:
    """Against every other row either of them wins in Python and in SQL, or neither does."""
    ends = (None, EndedBy.BODY.value, EndedBy.PROXY_STOPPED.value)
    bodies = (None, b"", b"short", b"longer")
    rows = list(product([str(one) for one in (*State, "unknown")], ends, bodies))
    statement = (
        f"SELECT {build_supersedes('new', 'old')}"
        f" FROM (SELECT ? AS state, ? AS ended_by, ? AS raw_response) AS new,"
        f" (SELECT ? AS state, ? AS ended_by, ? AS raw_response) AS old"
    )
    with closing(sqlite3.connect(":memory:")) as connection:
        for end, body in product(ends, bodies):
            new = (str(state), end, body)
            for old in rows:
                (in_sql,) = connection.execute(statement, (*new, *old)).fetchone()
                columns = [dict(zip(_COLUMNS, row, strict=True)) for row in (new, old)]
                assert supersedes(columns[0], columns[1]) == bool(in_sql), (new, old)


def test_only_states_that_wait_are_not_final() -> None:
    """What is final is never replaced by a state that waits, but for what was cut off."""
    assert [state for state in State if not state.is_final] == [
        State.OPEN,
        State.QUEUED,
        State.IN_PROGRESS,
    ]
    assert {state for state in State if state.is_error} == {
        State.FAILED,
        State.REFUSED,
        State.INTERRUPTED,
        State.UNREADABLE,
        State.TOO_LARGE,
    }
    assert rank_state("of another program") == State.COMPLETED.rank
