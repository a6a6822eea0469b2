"""Which state of an exchange replaces which, as SQL that every store speaks."""

from __future__ import annotations

from response_store.store.records import State

_RANKS = {
    0: (State.OPEN,),
    1: (State.INTERRUPTED, State.UNREADABLE, State.TOO_LARGE),
    2: (State.QUEUED,),
    3: (State.IN_PROGRESS,),
}
_ENDED_RANK = 4


def rank(column: str) -> str:
    """An expression for the rank of the state in `column`: a row is replaced only upwards."""
    cases = " ".join(
        f"WHEN '{state.value}' THEN {number}"
        for number, states in _RANKS.items()
        for state in states
    )
    return f"CASE {column} {cases} ELSE {_ENDED_RANK} END"
