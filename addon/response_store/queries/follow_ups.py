"""Say in SQL that a response which several requests brought is one exchange: what began it.

What asks for a response by its id (a poll, a cancel, a stream that is resumed) has a row of its own
among the exchanges, which names the response and its state by then; the row that began it stays
`queued`, or cut off. In lists and numbers it is one exchange, from its beginning to its end: rows
that follow one that is stored are left out, and it has the state, the tokens and the words of the
furthest of them. Without the row that began it they stand for themselves.

All of this is about rows of `{exchanges}` that have no other name in their statement.
"""

from __future__ import annotations

import msgspec

from response_store.model.precedence import build_rank
from response_store.model.records import State
from response_store.model.selection import Condition, Selection


def _build_follows(row: str = "") -> str:
    return f"({row}api = 'responses' AND replace({row}path, '/responses/', '') <> {row}path)"


def _build_same(row: str) -> str:
    # `|| ''` keeps planners from the index of tenants, which would walk all rows.
    return (
        f"{row}.response_id = {{exchanges}}.response_id"
        f" AND {row}.tenant_id || '' = {{exchanges}}.tenant_id"
    )


FOLLOWS = _build_follows()
"""The condition that a row asks for a response by its id."""
_BEGAN = f"{{exchanges}} AS began WHERE {_build_same('began')} AND NOT {_build_follows('began.')}"
# Not EXISTS, of which PostgreSQL makes a table of all rows that there are.
FOLLOWS_STORED = f"({FOLLOWS} AND (SELECT 1 FROM {_BEGAN} LIMIT 1) IS NOT NULL)"
"""The condition that a row follows one that began its response, and is stored."""
FURTHEST_FIRST = f"{build_rank('later.state')} DESC, later.started_at DESC"
"""The order in which the first of the rows `later` says how far their response has come."""
UNSETTLED = tuple(state.value for state in State if state.rank < State.COMPLETED.rank)
"""The states beyond which a later row may have brought a response."""
_NAMES = ", ".join(f"'{state}'" for state in UNSETTLED)


def build_latest(column: str) -> str:
    """Return the expression for a column as the furthest row of the response has it."""
    later = (
        f"SELECT later.{column} FROM {{exchanges}} AS later"
        f" WHERE {_build_same('later')} AND {_build_follows('later.')}"
        f" ORDER BY {FURTHEST_FIRST} LIMIT 1"
    )
    return (
        f"CASE WHEN state IN ({_NAMES}) AND response_id IS NOT NULL"
        f" THEN coalesce(({later}), {column}) ELSE {column} END"
    )


LATEST_STATE = build_latest("state")
"""The expression for the state that the response of a row has come to."""
FOLLOWING = f"""
SELECT {{columns}} FROM {{{{exchanges}}}} AS later
WHERE later.response_id IN ({{ids}}) AND later.tenant_id || '' = ? AND {_build_follows("later.")}
ORDER BY {FURTHEST_FIRST}"""
"""The rows that follow what began some responses; values: those ids, the tenant."""


def select_begun(selection: Selection) -> Condition:
    """Return the condition of a selection for lists: states are the latest, no row follows one."""
    sql, values = selection.condition(state=LATEST_STATE)
    return Condition(f"{sql} AND NOT {FOLLOWS_STORED}", values)


def select_with_following(selection: Selection) -> Condition:
    """Return the condition of a selection for numbers: what it passes, and what follows that."""
    if selection.is_narrow:  # found by an index, which an OR would keep planners from
        return selection.condition(state=LATEST_STATE)
    period = Selection(tenant=selection.tenant, since=selection.since, until=selection.until)
    others = msgspec.structs.replace(selection, tenant=None, since=None, until=None)
    in_period = period.condition()
    if others == Selection():
        return in_period
    sql, values = others.condition(state=LATEST_STATE)
    named = f"(SELECT * FROM {_BEGAN}) AS named"
    follows_named = f"{FOLLOWS} AND (SELECT 1 FROM {named} WHERE {sql} LIMIT 1) IS NOT NULL"
    return Condition(
        f"{in_period.sql} AND (({sql}) OR {follows_named})", (*in_period.values, *values, *values)
    )
