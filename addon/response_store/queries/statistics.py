"""Count exchanges, tokens, times and errors, in groups, and what a database holds.

A response can have several exchanges (a stream in the background that is cut and resumed, or
polled), each of which may tell its tokens. They are counted once: with the exchange that has them
and has come furthest, in the group of the one that began the response, which alone is an exchange
here (`queries/follow_ups.py`). So what the others add to the sums of all rows is taken off again;
those are few, and found through the index on response ids. Of other APIs than the Responses API
each exchange counts: some of their servers give every answer the same id.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import chain
from typing import Any

import msgspec

from response_store.model.precedence import order_by_tokens
from response_store.model.records import Api, State
from response_store.model.selection import HOST_PORT, Condition, Selection
from response_store.queries.follow_ups import (
    FOLLOWS,
    LATEST_STATE,
    build_latest,
    select_with_following,
)
from response_store.queries.local_time import (
    DAY,
    HOUR,
    build_time_number,
    format_time_number,
)
from response_store.queries.reader import (
    EACH_TENANT,
    MEASURES,
    DatabaseLocation,
    Reader,
    Row,
    join_quantiles,
)

STEPS = 48


class By(StrEnum):
    """What exchanges are grouped by."""

    MODEL = "model"
    DAY = "day"
    HOUR = "hour"
    HOST = "host"
    CLIENT = "client"
    AGENT = "agent"
    SESSION = "session"
    LABEL = "label"
    STATE = "state"
    ERROR = "error"

    @property
    def seconds(self) -> int:
        """Return how long a group lasts; 0 where it is not one of time."""
        return {By.DAY: DAY, By.HOUR: HOUR}.get(self, 0)


class StatisticsGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Exchanges that have something in common; a key is None where it is not known.

    Times are milliseconds, of what was answered. Tokens are None where no exchange tells any;
    cached ones are part of the input, reasoning of the output.
    """

    keys: tuple[str | None, ...]
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
    """All groups: days and hours in their order, everything else by count, and all of them as one.

    No total and no course without exchanges.
    """

    by: tuple[By, ...]
    groups: tuple[StatisticsGroup, ...]
    total: StatisticsGroup | None
    course: Course | None


_TOKENS = tuple(name for name in StatisticsGroup.__struct_fields__ if name.endswith("_tokens"))
_TIMES = tuple(name for name in StatisticsGroup.__struct_fields__ if "_ms_" in name)
_ERROR_STATES = ", ".join(f"'{state.value}'" for state in State if state.is_error)
_IS_ERROR = f"CASE WHEN {LATEST_STATE} IN ({_ERROR_STATES}) THEN 1 ELSE 0 END"
_KEYS = {
    By.MODEL: "coalesce({undated[model]}, {undated[requested_model]})",
    By.HOST: HOST_PORT,
    By.CLIENT: "{client}",
    By.AGENT: "agent",
    By.SESSION: "session_id",
    By.LABEL: "label",
    By.STATE: LATEST_STATE,
    By.ERROR: f"coalesce({build_latest('error_code')},"
    f" CASE WHEN {_IS_ERROR} = 1 THEN {LATEST_STATE} END)",
}
# How long a poll took, a refusal or a promise to answer later says nothing of answers.
_IS_ANSWER = f"state NOT IN ('open', 'queued', 'in_progress', 'refused') AND NOT {FOLLOWS}"
_QUANTILES = ", ".join(f"{{quantiles[{name}]}} FILTER (WHERE {_IS_ANSWER})" for name in MEASURES)
_SUMS = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in _TOKENS)
_NAMES = ", ".join(_TOKENS)
_FURTHER = f"""
WITH several AS (
    SELECT %(keys)s, exchange_id, tenant_id, response_id, started_at, state, {_NAMES},
        CASE WHEN {FOLLOWS} THEN 1 ELSE 0 END AS follows, {_IS_ERROR} AS failed
    FROM {{exchanges}}
    WHERE response_id IN (
        SELECT response_id FROM {{exchanges}} WHERE response_id IS NOT NULL
        GROUP BY response_id HAVING count(*) > 1)
    AND api = '{Api.RESPONSES.value}' AND %(condition)s
), placed AS (
    SELECT several.*, %(firsts)s,
        follows - first_value(follows) OVER response AS spare,
        row_number() OVER (
            PARTITION BY tenant_id, response_id ORDER BY {order_by_tokens(_NAMES)}) AS place
    FROM several
    WINDOW response AS (
        PARTITION BY tenant_id, response_id ORDER BY follows, started_at, exchange_id)
)
SELECT %(names)s, CAST(sum(fewer) AS BIGINT), CAST(sum(fewer * failed) AS BIGINT), {_SUMS}
FROM (
    SELECT %(names)s, -spare AS fewer, failed, {", ".join(f"-{one} AS {one}" for one in _TOKENS)}
    FROM placed
    UNION ALL
    SELECT %(homes)s, 0, 0, {_NAMES} FROM placed WHERE place = 1) AS changes
GROUP BY %(names)s"""
"""What responses that came in several exchanges change of the sums of all rows.

Their tokens count once, where they stand first; rows that follow what began a response are none by
themselves, and their tokens are those of its group.
"""
_SPAN = "SELECT min(started_at), max(started_at) FROM {exchanges} WHERE %s"
_COURSE = """
SELECT {floor_of} (started_at - ?) / CAST(? AS DOUBLE PRECISION) {floor_end}, count(*)
FROM {exchanges} WHERE %s GROUP BY 1"""


def compute_statistics(reader: Reader, selection: Selection, by: Sequence[By]) -> Statistics:
    """Return the exchanges of a selection, grouped by one thing or by several."""
    condition = select_with_following(selection)
    first, last = reader.rows(_SPAN % condition.sql, condition.values)[0]
    if first is None:
        return Statistics((*by,), (), None, None)
    keys = [_build_key(one, first, last) for one in by]
    changes = _read_changes(reader, condition, keys)
    rows = _read_groups(reader, condition, keys)
    built = (_build_group(by, row, changes.get(row[: len(keys)])) for row in rows)
    groups = [group for group in built if group is not None]
    measures = [[row[at] for row in rows] for at in range(-len(MEASURES), 0)]
    total = _sum_groups(groups, _join_measures(reader, condition, measures))
    return Statistics(
        (*by,),
        tuple(_sort_groups(by, groups)),
        total,
        _build_course(reader, selection, condition, first, last),
    )


def _build_key(by: By, first: float, last: float) -> Condition:
    return build_time_number(by.seconds, first, last) if by.seconds else Condition(_KEYS[by], ())


def _read_groups(reader: Reader, condition: Condition, keys: Sequence[Condition]) -> list[Row]:
    """Return a row a group: its keys, exchanges, errors, tokens, and measures."""
    columns = "".join(f"{key.sql}, " for key in keys)
    grouped = f" GROUP BY {', '.join(str(at) for at in range(1, len(keys) + 1))}" if keys else ""
    statement = (
        f"SELECT {columns}count(*), sum({_IS_ERROR}), {_SUMS}, {_QUANTILES}"
        f" FROM {{exchanges}} WHERE {condition.sql}{grouped}"
    )
    return reader.rows(statement, _join_values(keys, condition))


def _read_changes(
    reader: Reader, condition: Condition, keys: Sequence[Condition]
) -> dict[Row, Sequence[int | None]]:
    """Return by its keys what a group has more: exchanges, errors and tokens."""
    names = [f"key{at}" for at in range(len(keys))]
    homes = (f"CASE WHEN spare = 1 THEN first_{name} ELSE {name} END" for name in names)
    statement = _FURTHER % {
        "keys": ", ".join(f"{key.sql} AS {name}" for key, name in zip(keys, names, strict=True)),
        "firsts": ", ".join(f"first_value({one}) OVER response AS first_{one}" for one in names),
        "names": ", ".join(names),
        "homes": ", ".join(homes),
        "condition": condition.sql,
    }
    rows = reader.rows(statement, _join_values(keys, condition))
    return {row[: len(keys)]: row[len(keys) :] for row in rows}


def _join_values(keys: Sequence[Condition], condition: Condition) -> tuple[object, ...]:
    return (*(value for key in keys for value in key.values), *condition.values)


def _build_group(
    by: Sequence[By], row: Row, changes: Sequence[int | None] | None
) -> StatisticsGroup | None:
    """Return a group; None where it is only of rows that belong to others."""
    keys, (count, errors, *others) = row[: len(by)], row[len(by) :]
    sums, measures = others[: len(_TOKENS)], others[len(_TOKENS) :]
    if changes is not None:
        more = [change or 0 for change in changes]
        count, errors = count + more[0], errors + more[1]
        sums = [
            known if change is None else (known or 0) + change
            for known, change in zip(sums, changes[2:], strict=True)
        ]
    if not count:
        return None
    return StatisticsGroup(
        keys=tuple(_format_key(one, key) for one, key in zip(by, keys, strict=True)),
        count=count,
        errors=errors,
        **dict(zip(_TOKENS, sums, strict=True)),
        **_name_times(join_quantiles([one]) for one in measures),
    )


def _join_measures(
    reader: Reader, condition: Condition, measures: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """Return the times of all groups together, from what is known of each of them."""
    joined = [join_quantiles(values) for values in measures]
    if None in joined:
        statement = f"SELECT {_QUANTILES} FROM {{exchanges}} WHERE {condition.sql}"
        joined = [join_quantiles([value]) for value in reader.rows(statement, condition.values)[0]]
    return _name_times(joined)


def _name_times(pairs: Iterable[tuple[float | None, float | None] | None]) -> dict[str, Any]:
    return dict(zip(_TIMES, chain.from_iterable(pair or () for pair in pairs), strict=True))


def _format_key(by: By, key: Any) -> str | None:
    return format_time_number(by.seconds, key) if by.seconds and key is not None else key


def _sum_groups(groups: Sequence[StatisticsGroup], times: dict[str, Any]) -> StatisticsGroup:
    """Return all groups as one."""
    known = {
        name: [count for one in groups if (count := getattr(one, name)) is not None]
        for name in _TOKENS
    }
    return StatisticsGroup(
        keys=(),
        count=sum(one.count for one in groups),
        errors=sum(one.errors for one in groups),
        **{name: sum(counts) if counts else None for name, counts in known.items()},
        **times,
    )


def _sort_groups(by: Sequence[By], groups: Sequence[StatisticsGroup]) -> list[StatisticsGroup]:
    """Return groups in their order: by each thing in turn, times as they come, else by count."""
    counts = Counter[tuple[str | None, ...]]()
    for group in groups:
        counts.update({group.keys[:at]: group.count for at in range(1, len(by) + 1)})
    return sorted(
        groups,
        key=lambda one: [
            (0 if kind.seconds else -counts[one.keys[: at + 1]], key is None, key or "")
            for at, (kind, key) in enumerate(zip(by, one.keys, strict=True))
        ],
    )


def _build_course(
    reader: Reader, selection: Selection, condition: Condition, first: float, last: float
) -> Course | None:
    """Return the course over the period that was asked for, or over that of the exchanges."""
    since = first if selection.since is None else selection.since
    until = last if selection.since is None else max(last, time.time())
    if selection.until is not None:
        until = min(selection.until, max(last, time.time()))
    step = (until - since) / STEPS
    if not 0 < step < float("inf"):
        return None
    counts = [0] * STEPS
    rows = reader.rows(_COURSE % condition.sql, (since, step, *condition.values))
    for place, count in rows:
        counts[min(max(int(place), 0), STEPS - 1)] += count
    return Course(since, until, tuple(counts))


COUNTS = "SELECT state, api, count(*) FROM {exchanges} GROUP BY state, api"
RESPONSES = "SELECT count(*) FROM {responses}"
# Open rows are few, whatever statistics say of other states: the planner must not scan for them.
OLDEST_OPEN = """
SELECT started_at FROM {exchanges} {by_state}
WHERE state = ? ORDER BY started_at LIMIT 1"""

# The first and the last time of all rows would need a scan.
SPAN = f"""{EACH_TENANT}
SELECT count(id),
       min((SELECT min(started_at) FROM {{exchanges}} WHERE tenant_id = tenant.id)),
       max((SELECT max(started_at) FROM {{exchanges}} WHERE tenant_id = tenant.id))
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
