"""Exchanges in numbers: how many, how many tokens, how fast, how many went wrong.

A response can have several exchanges (a stream in the background that is cut and resumed, or
polled), each of which may tell its tokens. They are counted once: with the exchange that has them
and has come furthest. So the tokens of the others are taken off again; those are few, and found
through the index on response ids.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from response_store.store.local_days import build_day_number, format_day
from response_store.store.ranks import order_by_tokens
from response_store.store.records import State
from response_store.store.selection import HOST_PORT, Condition

if TYPE_CHECKING:
    from response_store.store.reading import Reader, Row
    from response_store.store.selection import Selection

STEPS = 48


class By(StrEnum):
    """What exchanges are grouped by."""

    MODEL = "model"
    DAY = "day"
    HOST = "host"
    CLIENT = "client"
    STATE = "state"


class StatisticsGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Exchanges that have something in common; `key` is None where it is not known.

    Times are milliseconds. Tokens are None where no exchange tells any; cached ones are part of
    the input, reasoning of the output.
    """

    key: str | None
    count: int
    errors: int
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    total_tokens: int | None
    first_event_ms_p50: float | None
    first_event_ms_p95: float | None
    duration_ms_p50: float | None
    duration_ms_p95: float | None

    @property
    def cached_share(self) -> float | None:
        """Return the share of the input tokens that were cached; None where it is not known."""
        if self.cached_tokens is None or not self.input_tokens:
            return None
        return self.cached_tokens / self.input_tokens

    @property
    def error_share(self) -> float:
        """Return the share of exchanges that are errors."""
        return self.errors / self.count


class Course(msgspec.Struct, frozen=True):
    """How many exchanges began in each of equal steps from `since` to `until` (Unix seconds)."""

    since: float
    until: float
    counts: tuple[int, ...]


class Statistics(msgspec.Struct, frozen=True):
    """All groups: days in their order, everything else by count. No course without exchanges."""

    by: By
    groups: tuple[StatisticsGroup, ...]
    course: Course | None


_TOKENS = tuple(name for name in StatisticsGroup.__struct_fields__ if name.endswith("_tokens"))
_SUMS = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in _TOKENS)
_KEYS = {
    By.MODEL: "coalesce(model, requested_model)",
    By.HOST: HOST_PORT,
    By.CLIENT: "{client}",
    By.STATE: "state",
}
_ERROR_STATES = ", ".join(f"'{state.value}'" for state in State if state.is_error)
_GROUPS = f"""
SELECT {{key}}, count(*), sum(CASE WHEN state IN ({_ERROR_STATES}) THEN 1 ELSE 0 END), {_SUMS},
    {{{{p50[first_event_ms]}}}}, {{{{p95[first_event_ms]}}}},
    {{{{p50[duration_ms]}}}}, {{{{p95[duration_ms]}}}}
FROM {{{{exchanges}}}} WHERE {{condition}} GROUP BY 1"""
_AGAIN = f"""
SELECT {{key}}, {_SUMS} FROM (
    SELECT *, row_number() OVER (
        PARTITION BY tenant_id, response_id ORDER BY {order_by_tokens(", ".join(_TOKENS))}) AS place
    FROM (
        SELECT exchange_id, tenant_id, response_id, started_at, state, model, requested_model,
            scheme, host, port, user_agent, {", ".join(_TOKENS)}
        FROM {{{{exchanges}}}}
        WHERE response_id IN (
            SELECT response_id FROM {{{{exchanges}}}} WHERE response_id IS NOT NULL
            GROUP BY response_id HAVING count(*) > 1)
        AND {{condition}}) AS told
    ) AS ranked
WHERE place > 1 GROUP BY 1"""
_SPAN = "SELECT min(started_at), max(started_at) FROM {{exchanges}} WHERE {condition}"
_COURSE = """
SELECT {{floor_of}} (started_at - ?) / CAST(? AS DOUBLE PRECISION) {{floor_end}}, count(*)
FROM {{exchanges}} WHERE {condition} GROUP BY 1"""


def compute_statistics(reader: Reader, selection: Selection, by: By) -> Statistics:
    """Return the exchanges of a selection, grouped."""
    condition = selection.condition()
    first, last = reader.rows(_fill(_SPAN, condition), condition.values)[0]
    if first is None:
        return Statistics(by, (), None)
    key = build_day_number(first, last) if by is By.DAY else Condition(_KEYS[by], ())
    values = (*key.values, *condition.values)
    again = {
        row[0]: dict(zip(_TOKENS, row[1:], strict=True))
        for row in reader.rows(_fill(_AGAIN, condition, key), values)
    }
    rows = reader.rows(_fill(_GROUPS, condition, key), values)
    groups = [_build_group(by, row, again.get(row[0], {})) for row in rows]
    groups.sort(key=lambda one: (0 if by is By.DAY else -one.count, one.key is None, one.key or ""))
    return Statistics(by, tuple(groups), _build_course(reader, selection, first, last))


def _fill(statement: str, condition: Condition, key: Condition | None = None) -> str:
    return statement.format(condition=condition.sql, key=key.sql if key else "")


def _build_group(by: By, row: Row, again: dict[str, int | None]) -> StatisticsGroup:
    key, count, errors, *numbers = row
    sums, measures = numbers[: len(_TOKENS)], numbers[len(_TOKENS) :]
    if by is By.DAY and key is not None:
        key = format_day(key)
    tokens = {
        name: None if total is None else total - (again.get(name) or 0)
        for name, total in zip(_TOKENS, sums, strict=True)
    }
    names = [name for name in StatisticsGroup.__struct_fields__ if "_ms_" in name]
    percentiles = dict(zip(names, measures, strict=True))
    return StatisticsGroup(key=key, count=count, errors=errors, **tokens, **percentiles)


def _build_course(reader: Reader, selection: Selection, first: float, last: float) -> Course | None:
    """Return the course over the period that was asked for, or over that of the exchanges."""
    since = first if selection.since is None else selection.since
    until = last if selection.since is None else max(last, time.time())
    if selection.until is not None:
        until = min(selection.until, max(last, time.time()))
    step = (until - since) / STEPS
    if not 0 < step < float("inf"):
        return None
    condition = selection.condition()
    counts = [0] * STEPS
    rows = reader.rows(_fill(_COURSE, condition), (since, step, *condition.values))
    for place, count in rows:
        counts[min(max(int(place), 0), STEPS - 1)] += count
    return Course(since, until, tuple(counts))
