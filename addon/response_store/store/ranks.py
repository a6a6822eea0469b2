"""Which row of an exchange wins, in Python and in the SQL that every database speaks.

A row is replaced only by one in a later state. The same rank of the state decides which exchange
represents a response that several name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from response_store.store.records import EndedBy, State


def build_rank(column: str) -> str:
    """Return the SQL expression for `State.rank` of the state in `column`."""
    cases = " ".join(
        f"WHEN '{state.value}' THEN {state.rank}" for state in State if state.rank < ENDED_RANK
    )
    return f"CASE {column} {cases} ELSE {ENDED_RANK} END"


ENDED_RANK = State.COMPLETED.rank
"""The rank of every state that is not named in the expression, unknown ones among them."""


def build_supersedes(new: str, old: str) -> str:
    """Return the SQL condition that the exchange `new` replaces the exchange `old`.

    The one in the later state does: an ended one replaces an open one, a whole one replaces one
    that was cut off. Of equal states the one whose end is known does, where the other was given up
    as `proxy_stopped`; of equals in that too, the one with more of its raw answer. `supersedes` is
    the same rule in Python.
    """
    return f"{_build_progress(new)} > {_build_progress(old)}"


def supersedes(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Return whether the exchange `new` replaces the exchange `old`, by their columns."""
    return _measure_progress(new) > _measure_progress(old)


def _build_progress(row: str) -> str:
    """Return what is compared, as a row of SQL: two for each rank, one for a known end."""
    known = f"CASE {row}.ended_by WHEN '{EndedBy.PROXY_STOPPED}' THEN 0 ELSE 1 END"
    size = f"coalesce(length({row}.raw_response), 0)"
    return f"(2 * {build_rank(f'{row}.state')} + {known}, {size})"


def _measure_progress(row: Mapping[str, Any]) -> tuple[int, int]:
    """Return what is compared, as `_build_progress` has it."""
    known = int(row["ended_by"] != EndedBy.PROXY_STOPPED)
    return 2 * rank_state(row["state"]) + known, len(row["raw_response"] or b"")


def rank_state(state: str) -> int:
    """Return `State.rank`, also of a state that another program has made up."""
    return State(state).rank if state in _NAMES else ENDED_RANK


_NAMES = frozenset(State)

REPRESENTATIVE_FIRST = (
    f"{build_rank('state')} DESC, CASE WHEN result IS NULL THEN 0 ELSE 1 END, "
    "started_at DESC, exchange_id COLLATE {bytewise} DESC"
)
"""The order in which the first of a response's exchanges stands for it.

One whose response keeps its row comes before one that met a taken id, which has a result.
"""


def order_by_tokens(columns: str) -> str:
    """Return the order in which the first of a response's exchanges counts for its tokens.

    It is one that has a value in one of `columns`, which are separated by commas.
    """
    return f"""
    CASE WHEN coalesce({columns}) IS NULL THEN 1 ELSE 0 END,
    {build_rank("state")} DESC, started_at DESC, exchange_id DESC"""
