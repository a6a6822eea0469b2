"""Count exchanges, tokens, times and errors, in groups and by local days, and what a database
holds.

A response can have several exchanges (a stream in the background that is cut and resumed, or
polled), each of which may tell its tokens. They are counted once: with the exchange that has them
and has come furthest. So the tokens of the others are taken off again; those are few, and found
through the index on response ids.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from datetime import UTC, date, datetime
from enum import StrEnum
from itertools import pairwise

import msgspec

from response_store.model.precedence import order_by_tokens
from response_store.model.records import State
from response_store.model.selection import HOST_PORT, Condition, Selection
from response_store.queries.reader import DatabaseLocation, Reader, Row

_DAY = 86_400
_LOOK_EVERY = 7 * _DAY  # no zone changes its offset twice a week
_FIRST, _LAST = 946_684_800, 4_102_444_800  # the years 2000 to 2099
_IMPOSSIBLE = 1e11  # seconds: the year 5138


def build_day_number(first: float, last: float) -> Condition:
    """Return an expression for the local day of `started_at`, exact from `first` to `last`.

    Its value is what `format_day` takes; null where the time is beyond any calendar.
    """
    start, end = (int(min(_LAST, max(_FIRST, time))) for time in (first, last))
    changes = _find_changes(start, end)
    cases = " ".join(["WHEN started_at < ? THEN CAST(? AS DOUBLE PRECISION)"] * len(changes))
    shifted = "started_at + CASE {} ELSE CAST(? AS DOUBLE PRECISION) END".format(
        cases or "WHEN 1 = 0 THEN 0"
    )
    values = [value for at, before in changes for value in (float(at), float(before))]
    sql = (
        f"CASE WHEN started_at BETWEEN -{_IMPOSSIBLE:.0f} AND {_IMPOSSIBLE:.0f}"
        f" THEN {{floor_of}} ({shifted}) / {_DAY} {{floor_end}} END"
    )
    return Condition(sql, (*values, float(_compute_offset(end))))


def format_day(number: float) -> str:
    """Return a day as `2026-01-31`, or its number where no calendar has it."""
    try:
        return date.fromordinal(int(number) + date(1970, 1, 1).toordinal()).isoformat()
    except (ValueError, OverflowError):
        return str(int(number))


def _find_changes(start: int, end: int) -> list[tuple[int, int]]:
    """Return the times at which the offset from UTC changes, each with the offset before it."""
    looks = [*range(start, end, _LOOK_EVERY), end]
    return [
        (_find_change(earlier, later), _compute_offset(earlier))
        for earlier, later in pairwise(looks)
        if _compute_offset(earlier) != _compute_offset(later)
    ]


def _find_change(earlier: int, later: int) -> int:
    """Return the first second that has the offset of `later`."""
    old = _compute_offset(earlier)
    return earlier + bisect_left(
        range(later - earlier + 1), True, key=lambda after: _compute_offset(earlier + after) != old
    )


def _compute_offset(seconds: int) -> int:
    """Return by how many seconds local time is ahead of UTC at that time."""
    offset = datetime.fromtimestamp(seconds, tz=UTC).astimezone().utcoffset()
    return int(offset.total_seconds()) if offset else 0


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


COUNTS = "SELECT state, api, count(*) FROM {exchanges} GROUP BY state, api"
RESPONSES = "SELECT count(*) FROM {responses}"
# Open rows are few, whatever statistics say of other states: the planner must not scan for them.
OLDEST_OPEN = """
SELECT started_at FROM {exchanges} {by_state}
WHERE state = ? ORDER BY started_at LIMIT 1"""

# Walks the index from tenant to tenant: the first and the last time of all rows would need a scan.
SPAN = """
WITH RECURSIVE tenant(id) AS (
    SELECT min(tenant_id) FROM {exchanges}
    UNION ALL
    SELECT (SELECT min(tenant_id) FROM {exchanges} WHERE tenant_id > tenant.id)
    FROM tenant WHERE tenant.id IS NOT NULL
)
SELECT count(id),
       min((SELECT min(started_at) FROM {exchanges} WHERE tenant_id = tenant.id)),
       max((SELECT max(started_at) FROM {exchanges} WHERE tenant_id = tenant.id))
FROM tenant"""


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over all tenants; times are Unix seconds, sizes bytes."""

    place: DatabaseLocation
    versions: dict[str, int]
    exchanges: int
    responses: int
    tenants: int
    by_state: dict[str, int]
    by_api: dict[str, int]
    open: int
    oldest_open_started_at: float | None
    first_started_at: float | None
    last_started_at: float | None


def read_status(reader: Reader) -> StoreStatus:
    """Count everything."""
    states, apis = Counter[str](), Counter[str]()
    for state, api, count in sorted(reader.rows(COUNTS)):
        states[state] += count
        apis[api] += count
    tenants, first, last = reader.rows(SPAN)[0]
    oldest_open = reader.row(OLDEST_OPEN, (State.OPEN.value,))
    return StoreStatus(
        place=reader.place(),
        versions=dict(reader.versions),
        exchanges=states.total(),
        responses=reader.rows(RESPONSES)[0][0],
        tenants=tenants,
        by_state=dict(states.most_common()),
        by_api=dict(apis.most_common()),
        open=states[State.OPEN],
        oldest_open_started_at=oldest_open[0] if oldest_open else None,
        first_started_at=first,
        last_started_at=last,
    )
