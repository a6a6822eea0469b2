"""List sessions, newest first in pages, and the turns of one with what continues what.

A session is what belongs together: a run of a tool, a conversation. An exchange of which no session
is known is a session of its own, with the exchange's id.

Sessions stand in the order of their newest exchanges. These are walked, newest first, by the index
of tenants and times, until there are enough sessions or `MAX_WALKED` exchanges were looked at: so
a page costs what its sessions have of turns, whatever else is stored. A session that began again
and again stands at its newest exchange alone, on whatever page that is.

Its numbers are those of all its exchanges, also where filters have chosen it. A response of the
Responses API that came in several exchanges (polls, a stream that was cut and resumed) is one turn,
and its tokens count once. Of other APIs each exchange is a turn: some of their servers give every
answer the same id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from response_store.model.precedence import order_by_tokens
from response_store.model.records import Api, State
from response_store.model.selection import Condition, Selection
from response_store.pricing.cost import CostSum
from response_store.pricing.prices import Prices
from response_store.queries.costs import compute_turn_costs
from response_store.queries.exchanges import BEFORE_CURSOR, Cursor
from response_store.queries.reader import Reader

MAX_WALKED = 100_000  # exchanges, for one page
_FIRST_WALK, _MAX_WALK = 200, 5_000  # exchanges at once
_BATCH = 100  # sessions whose numbers are read at once

_T = TypeVar("_T")


class SessionUsage(msgspec.Struct, frozen=True, kw_only=True):
    """The turns of a session that one model answered, at one tier, for one agent.

    Tokens are sums of what is known, or None; cached ones are part of the input, reasoning of the
    output.
    """

    model: str | None
    service_tier: str | None
    agent: str | None
    turns: int
    input_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None


_TOKENS = tuple(name for name in SessionUsage.__struct_fields__ if name.endswith("_tokens"))


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A session in a list. Times are Unix seconds; `ended_at` is the last end that is known.

    `is_lone` says that it is an exchange of which no session is known: its id is the exchange's.
    `errors` counts turns; `open` exchanges that have not ended. `question` is the first.
    """

    session_id: str
    is_lone: bool
    label: str | None
    question: str | None
    agents: tuple[str, ...]
    models: tuple[str, ...]
    exchanges: int
    turns: int
    errors: int
    open: int
    started_at: float
    last_started_at: float
    ended_at: float
    usage: tuple[SessionUsage, ...]

    def sum_tokens(self, kind: str) -> int | None:
        """Return the sum of `input_tokens` or the like; None where none is known."""
        known = [count for one in self.usage if (count := getattr(one, kind)) is not None]
        return sum(known) if known else None


class SessionPage(NamedTuple):
    """Some sessions, newest first; `next` is None where there are no older ones."""

    sessions: tuple[SessionSummary, ...]
    next: Cursor | None


class _Key(NamedTuple):
    """Which session: its id, or that of an exchange that is one by itself."""

    id: str
    is_lone: bool


_WALK = """
SELECT started_at, exchange_id, session_id FROM {{exchanges}} WHERE {condition}
ORDER BY started_at DESC, exchange_id COLLATE {{bytewise}} DESC LIMIT ?"""
_SEEN = """
SELECT DISTINCT session_id FROM {{exchanges}}
WHERE session_id IN ({ids}) AND started_at >= ? AND NOT {before} AND {condition}"""


def list_sessions(
    reader: Reader, selection: Selection, *, limit: int, before: Cursor | None = None
) -> SessionPage:
    """Return the newest `limit` sessions with an exchange of a selection, which names a tenant.

    There may be fewer, with a next page all the same, where `MAX_WALKED` exchanges have no more.
    """
    assert selection.tenant is not None
    keys, following = _walk(reader, selection, limit, before)
    summaries = summarize_sessions(reader, selection.tenant, keys)
    return SessionPage(tuple(summaries), following)


def _walk(
    reader: Reader, selection: Selection, limit: int, before: Cursor | None
) -> tuple[list[_Key], Cursor | None]:
    """Return the newest sessions, and where the next page begins."""
    known: dict[_Key, Cursor] = {}
    passed: set[str] = set()  # sessions of the pages before
    place, walked, size = before, 0, _FIRST_WALK
    while walked < MAX_WALKED:
        rows = [
            (Cursor(started_at, exchange_id), session)
            for started_at, exchange_id, session in _read_walk(reader, selection, place, size)
        ]
        if before is not None:
            fresh = {one for _, one in rows if one is not None} - passed - {key.id for key in known}
            passed |= _find_seen(reader, selection, sorted(fresh), before)
        for cursor, session in rows:
            key = _Key(session or cursor.exchange_id, session is None)
            if key in known or session in passed:
                continue
            if len(known) == limit:
                return [*known], [*known.values()][-1]
            known[key] = cursor
        if len(rows) < size:
            return [*known], None
        place, walked, size = rows[-1][0], walked + len(rows), min(4 * size, _MAX_WALK)
    return [*known], place


def _read_walk(
    reader: Reader, selection: Selection, place: Cursor | None, size: int
) -> Iterator[tuple[float, str, str | None]]:
    sql, values = selection.condition()
    if place is not None:
        sql, values = f"{sql} AND {BEFORE_CURSOR}", (*values, *msgspec.structs.astuple(place))
    yield from reader.rows(_fill(_WALK, condition=sql), (*values, size))


def _find_seen(
    reader: Reader, selection: Selection, ids: Sequence[str], before: Cursor
) -> set[str]:
    """Return which sessions have an exchange of the selection that is not before a place."""
    narrow = msgspec.structs.replace(selection, tenant=None).condition()
    seen: set[str] = set()
    for batch in _split(ids):
        condition = f"tenant_id || '' = ? AND {narrow.sql}"
        statement = _fill(_SEEN, ids=_repeat_mark(batch), before=BEFORE_CURSOR, condition=condition)
        cursor = msgspec.structs.astuple(before)
        values = (*batch, before.started_at, *cursor, selection.tenant, *narrow.values)
        seen |= {name for (name,) in reader.rows(statement, values)}
    return seen


def _split(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def _fill(statement: str, **words: str) -> str:
    return statement.format(**words)


def _repeat_mark(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


_ERRORS = ", ".join(f"'{state.value}'" for state in State if state.is_error)
_SUMS = ", ".join(f"CAST(sum(CASE WHEN place = 1 THEN {name} END) AS BIGINT)" for name in _TOKENS)
USAGE = f"""
WITH turns AS (
    SELECT coalesce(session_id, exchange_id) AS session, coalesce(model, requested_model) AS model,
        service_tier, agent, label, state, started_at,
        started_at + coalesce(duration_ms, 0) / 1000 AS ended_at, {", ".join(_TOKENS)},
        CASE WHEN response_id IS NULL OR api <> '{Api.RESPONSES.value}' THEN 1
        ELSE row_number() OVER (
            PARTITION BY session_id, response_id ORDER BY {order_by_tokens(", ".join(_TOKENS))})
        END AS place
    FROM {{{{exchanges}}}} WHERE {{condition}} AND tenant_id || '' = ?)
SELECT session, model, service_tier, agent, min(label), count(*), sum(CASE WHEN place = 1 THEN 1
    ELSE 0 END), sum(CASE WHEN place = 1 AND state IN ({_ERRORS}) THEN 1 ELSE 0 END),
    sum(CASE WHEN state = '{State.OPEN.value}' THEN 1 ELSE 0 END),
    min(started_at), max(started_at), max(ended_at), {_SUMS}
FROM turns GROUP BY session, model, service_tier, agent"""
_QUESTIONS = """
SELECT session, question FROM (
    SELECT coalesce(session_id, exchange_id) AS session, question, row_number() OVER (
        PARTITION BY coalesce(session_id, exchange_id)
        ORDER BY CASE WHEN agent IS NULL THEN 0 ELSE 1 END, started_at, exchange_id) AS place
    FROM {{exchanges}} WHERE {condition} AND tenant_id || '' = ? AND question IS NOT NULL) AS told
WHERE place = 1"""


def compute_session_costs(
    reader: Reader, tenant: str, sessions: Sequence[SessionSummary], prices: Prices
) -> dict[str, CostSum]:
    """Return what sessions cost, by their ids; nothing without prices."""
    costs: dict[str, CostSum] = {}
    keys = [(one.session_id, one.is_lone) for one in sessions] if prices else []
    for batch in _split(keys):
        for sql, values in _list_conditions(batch):
            condition = Condition(f"{sql} AND tenant_id || '' = ?", (*values, tenant))
            session = Condition("coalesce(session_id, exchange_id)", ())
            by_session = compute_turn_costs(reader, condition, [session], prices)
            costs.update({name: cost for (name,), cost in by_session.items()})
    return costs


class _Group(NamedTuple):
    """What is read of a session's exchanges that share a model, a tier and an agent."""

    label: str | None
    exchanges: int
    errors: int
    open: int
    started_at: float
    last_started_at: float
    ended_at: float
    usage: SessionUsage


def summarize_sessions(
    reader: Reader, tenant: str, keys: Sequence[tuple[str, bool]]
) -> Iterator[SessionSummary]:
    """Yield what is known of sessions, each given by its id and whether that is an exchange's."""
    for batch in _split(keys):
        groups: defaultdict[str, list[_Group]] = defaultdict(list)
        questions: dict[str, str] = {}
        for condition in _list_conditions(batch):
            values = (*condition.values, tenant)
            for row in reader.rows(_fill(USAGE, condition=condition.sql), values):
                groups[row[0]].append(_build_group(row[1:]))
            questions.update(
                (name, text)
                for name, text in reader.rows(_fill(_QUESTIONS, condition=condition.sql), values)
            )
        for name, is_lone in batch:
            if name in groups:  # else it was removed meanwhile
                yield _build_summary(name, is_lone, questions.get(name), groups[name])


def _list_conditions(keys: Sequence[tuple[str, bool]]) -> Iterator[Condition]:
    sessions = tuple(name for name, is_lone in keys if not is_lone)
    lone = tuple(name for name, is_lone in keys if is_lone)
    if sessions:
        yield Condition(f"session_id IN ({_repeat_mark(sessions)})", sessions)
    if lone:
        yield Condition(f"session_id IS NULL AND exchange_id IN ({_repeat_mark(lone)})", lone)


def _build_group(row: Sequence[Any]) -> _Group:
    model, tier, agent, label, exchanges, turns, *others = row
    counts, tokens = others[:5], dict(zip(_TOKENS, others[5:], strict=True))
    usage = SessionUsage(model=model, service_tier=tier, agent=agent, turns=turns, **tokens)
    return _Group._make((label, exchanges, *counts, usage))


def _build_summary(
    name: str, is_lone: bool, question: str | None, groups: list[_Group]
) -> SessionSummary:
    groups.sort(key=lambda one: (one.started_at, one.usage.model or "", one.usage.agent or ""))
    return SessionSummary(
        session_id=name,
        is_lone=is_lone,
        label=next((one.label for one in groups if one.label is not None), None),
        question=question,
        agents=_list_once(one.usage.agent for one in groups),
        models=_list_once(one.usage.model for one in groups),
        exchanges=sum(one.exchanges for one in groups),
        turns=sum(one.usage.turns for one in groups),
        errors=sum(one.errors for one in groups),
        open=sum(one.open for one in groups),
        started_at=min(one.started_at for one in groups),
        last_started_at=max(one.last_started_at for one in groups),
        ended_at=max(one.ended_at for one in groups),
        usage=tuple(one.usage for one in groups),
    )


def _list_once(names: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name is not None))
