"""Say in groups what was captured: exchanges, tokens, times, errors; and what a database holds.

What is counted, and how often, `queries/exchange_counts.py` says.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from response_store.model.records import State
from response_store.model.selection import HOST_PORT, Condition, Selection
from response_store.pricing.cost import CostSum
from response_store.pricing.prices import Prices
from response_store.queries.costs import compute_costs
from response_store.queries.exchange_counts import (
    ALL,
    IS_ERROR,
    TOKENS,
    CountedExchanges,
    Key,
)
from response_store.queries.follow_ups import LATEST_STATE, build_latest, select_with_following
from response_store.queries.local_time import DAY, HOUR, build_time_number, format_time_number
from response_store.queries.reader import EACH_TENANT, DatabaseLocation, Reader

STEPS = 48
MAX_HOURLY = 3.5 * 86_400
"""Seconds up to which time is shown in hours."""


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
    cached ones are part of the input, reasoning of the output. The cost is None without prices.
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
    cost: CostSum | None = None

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


_TIMES = tuple(name for name in StatisticsGroup.__struct_fields__ if "_ms_" in name)
_KEYS = {
    By.MODEL: "coalesce({undated[model]}, {undated[requested_model]})",
    By.HOST: HOST_PORT,
    By.CLIENT: "{client}",
    By.AGENT: "agent",
    By.SESSION: "session_id",
    By.LABEL: "label",
    By.STATE: LATEST_STATE,
    By.ERROR: f"coalesce({build_latest('error_code')},"
    f" CASE WHEN {IS_ERROR} = 1 THEN {LATEST_STATE} END)",
}
_FIRST = "SELECT min(started_at) FROM {exchanges} WHERE %s"
_LAST = "SELECT max(started_at) FROM {exchanges} WHERE %s"
_COURSE = """
SELECT {floor_of} (started_at - ?) / CAST(? AS DOUBLE PRECISION) {floor_end}, count(*)
FROM {exchanges} WHERE %s GROUP BY 1"""


def compute_statistics(
    reader: Reader, selection: Selection, by: Sequence[By], prices: Prices | None = None
) -> Statistics:
    """Return the exchanges of a selection, grouped by one thing or by several; costs if priced."""
    span = _read_span(reader, selection)
    if span is None:
        return Statistics((*by,), (), None, None)
    counted = _count(reader, selection, by, span, prices)
    groups, total = counted.build_groups(range(len(by))), counted.build_total()
    return Statistics((*by,), groups, total, _build_course(reader, selection, *span))


class StatisticsOverTime(NamedTuple):
    """The same exchanges by one thing, by `unit` (hours, or days where they are many), and by both.

    What is by both has no times.
    """

    unit: By
    groups: tuple[StatisticsGroup, ...]
    steps: tuple[StatisticsGroup, ...]
    both: tuple[StatisticsGroup, ...]
    total: StatisticsGroup


def compute_statistics_over_time(
    reader: Reader, selection: Selection, by: By, prices: Prices | None = None
) -> StatisticsOverTime | None:
    """Return the exchanges of a selection over time, of one look at them; None for no exchange."""
    span = _read_span(reader, selection)
    if span is None:
        return None
    since = span[0] if selection.since is None else selection.since
    unit = By.HOUR if span[1] - since <= MAX_HOURLY else By.DAY
    # Where a database has quantiles, not values, those by both would be of no use for the others.
    timed = reader.dialect == "sqlite"
    counted = _count(reader, selection, (unit, by), span, prices, timed=timed)
    return StatisticsOverTime(
        unit,
        counted.build_groups([1]),
        counted.build_groups([0]),
        counted.build_groups([0, 1], timed=False),
        counted.build_total(),
    )


def _read_span(reader: Reader, selection: Selection) -> tuple[float, float] | None:
    """Return when the first and the last exchange began; each is mostly at an end of an index."""
    condition = select_with_following(selection)
    first = reader.rows(_FIRST % condition.sql, condition.values)[0][0]
    if first is None:
        return None
    return first, reader.rows(_LAST % condition.sql, condition.values)[0][0]


class _Counted(NamedTuple):
    """What is counted by some things, and what it cost by the same."""

    by: Sequence[By]
    exchanges: CountedExchanges
    costs: Mapping[Key, CostSum] | None

    def build_total(self) -> StatisticsGroup:
        """Return all as one group."""
        return self.build_groups(())[0]

    def build_groups(
        self, places: Sequence[int], *, timed: bool = True
    ) -> tuple[StatisticsGroup, ...]:
        """Return the groups by the things at some places, in their order."""
        by = [self.by[at] for at in places]
        costs = None if self.costs is None else _merge_costs(self.costs, places)
        groups = [
            StatisticsGroup(
                keys=tuple(_format_key(one, key) for one, key in zip(by, keys, strict=True)),
                count=one.exchanges,
                errors=one.errors,
                cost=None if costs is None else costs[keys],
                **_name(TOKENS, one.tokens),
                **_name(_TIMES, chain.from_iterable(one.times)),
            )
            for keys, one in self.exchanges.group(places, timed=timed).items()
        ]
        return tuple(_sort_groups(by, groups))


def _merge_costs(costs: Mapping[Key, CostSum], places: Sequence[int]) -> defaultdict[Key, CostSum]:
    merged: defaultdict[Key, CostSum] = defaultdict(CostSum)
    for key, cost in costs.items():
        place = tuple(key[at] for at in places)
        merged[place] = merged[place].plus(*cost)
    return merged


def _count(
    reader: Reader,
    selection: Selection,
    by: Sequence[By],
    span: tuple[float, float],
    prices: Prices | None,
    *,
    timed: bool = True,
) -> _Counted:
    condition = select_with_following(selection)
    keys = [_build_key(one, *span) for one in by]
    is_near = selection.is_narrow or selection.since is not None or selection.until is not None
    near = condition if is_near else ALL
    exchanges = CountedExchanges(reader, condition, keys, near, timed=timed)
    near_several = near if exchanges.has_follow_ups else None
    costs = compute_costs(reader, condition, keys, prices, near_several) if prices else None
    return _Counted(by, exchanges, costs)


def _build_key(by: By, first: float, last: float) -> Condition:
    return build_time_number(by.seconds, first, last) if by.seconds else Condition(_KEYS[by], ())


def _name(names: Sequence[str], values: Iterable[Any]) -> dict[str, Any]:
    return dict(zip(names, values, strict=True))


def _format_key(by: By, key: Any) -> str | None:
    return format_time_number(by.seconds, key) if by.seconds and key is not None else key


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


def _build_course(reader: Reader, selection: Selection, first: float, last: float) -> Course | None:
    """Return the course over the period that was asked for, or over that of the exchanges."""
    condition = select_with_following(selection)
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
