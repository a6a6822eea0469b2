"""Count exchanges, errors, tokens and times by some keys in one look, to group by any of these.

A response can have several exchanges (a stream in the background that is cut and resumed, or
polled), each of which may tell its tokens. They are counted once: with the exchange that has them
and has come furthest, in the group of the one that began the response, which alone is an exchange
here (`queries/follow_ups.py`). So what the others add to the sums of all rows is taken off again;
those are few, and found by their response ids. Of other APIs than the Responses API each exchange
counts: some of their servers give every answer the same id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from response_store.model.precedence import order_by_tokens
from response_store.model.records import Api, State
from response_store.model.selection import Condition
from response_store.queries.follow_ups import FOLLOWS, LATEST_STATE
from response_store.queries.reader import MEASURES, Quantiles, Reader, Row, join_quantiles

TOKENS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens")
_ERROR_STATES = ", ".join(f"'{state.value}'" for state in State if state.is_error)
IS_ERROR = f"CASE WHEN {LATEST_STATE} IN ({_ERROR_STATES}) THEN 1 ELSE 0 END"
"""The expression that is 1 for an exchange that is an error, else 0."""
# How long a poll took, a refusal or a promise to answer later says nothing of answers.
_NO_ANSWERS = "'open', 'queued', 'in_progress', 'refused'"
_TIMES = f"""CASE WHEN state IN ({_NO_ANSWERS}) OR {FOLLOWS} THEN 0 ELSE 1 END AS is_answer,
    {", ".join(MEASURES)}"""
_QUANTILES = ", ".join(f"{{quantiles[{name}]}} FILTER (WHERE is_answer = 1)" for name in MEASURES)
_SUMS = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in TOKENS)
_NAMES = ", ".join(TOKENS)
_ROWS = "FROM {exchanges} WHERE %(condition)s {computed_once}) AS counted%(grouped)s"
_GROUPS = f"""
SELECT %(names)s count(*), CAST(sum(failed) AS BIGINT), {_SUMS}, {_QUANTILES}
FROM (SELECT %(keys)s {IS_ERROR} AS failed, {_NAMES}, {_TIMES} {_ROWS}"""
_GROUPS_WITHOUT_TIMES = f"""
SELECT %(names)s count(*), CAST(sum(failed) AS BIGINT), {_SUMS}
FROM (SELECT %(keys)s {IS_ERROR} AS failed, {_NAMES} {_ROWS}"""
_TIMES_OF_GROUPS = f"SELECT %(names)s {_QUANTILES} FROM (SELECT %(keys)s {_TIMES} {_ROWS}"
_FURTHER = f"""
WITH several AS (
    SELECT %(keys)s exchange_id, tenant_id, response_id, started_at, state, {_NAMES},
        CASE WHEN {FOLLOWS} THEN 1 ELSE 0 END AS follows, {IS_ERROR} AS failed
    FROM {{exchanges}}
    WHERE response_id IN (
        SELECT response_id FROM {{exchanges}} WHERE response_id IS NOT NULL AND %(near)s
        GROUP BY response_id HAVING count(*) > 1)
    AND api = '{Api.RESPONSES.value}' AND %(condition)s
), placed AS (
    SELECT several.*, %(firsts)s
        follows - first_value(follows) OVER response AS spare,
        row_number() OVER (
            PARTITION BY tenant_id, response_id ORDER BY {order_by_tokens(_NAMES)}) AS place
    FROM several
    WINDOW response AS (
        PARTITION BY tenant_id, response_id ORDER BY follows, started_at, exchange_id)
)
SELECT %(names)s CAST(sum(fewer) AS BIGINT), CAST(sum(fewer * failed) AS BIGINT), {_SUMS}
FROM (
    SELECT %(names)s -spare AS fewer, failed, {", ".join(f"-{one} AS {one}" for one in TOKENS)}
    FROM placed
    UNION ALL
    SELECT %(homes)s 0, 0, {_NAMES} FROM placed WHERE place = 1) AS changes%(grouped)s"""
"""What responses that came in several exchanges change of the sums of all rows.

Their tokens count once, where they stand first; rows that follow what began a response are none by
themselves, and their tokens are those of its group.
"""

Key: TypeAlias = tuple[Any, ...]
"""The values of what exchanges are grouped by."""


class ExchangeCounts(NamedTuple):
    """How many exchanges and errors, their tokens in the order of `TOKENS`, None where not known,
    and the quantiles of each of `MEASURES`.
    """

    exchanges: int
    errors: int
    tokens: tuple[int | None, ...]
    times: tuple[Quantiles, ...]


class _Part(NamedTuple):
    """What is counted of some exchanges; `times` are what `{quantiles[...]}` gave."""

    exchanges: int
    errors: int
    tokens: Sequence[int | None]
    times: Sequence[Any]


_NO_TIMES: tuple[Quantiles, ...] = ((None, None),) * len(MEASURES)
ALL = Condition("1 = 1", ())


class CountedExchanges:
    """The exchanges of a condition, counted by keys, which are SQL over their columns.

    `near` is a condition that an index finds, and that at least passes these, to look for
    responses which have several; by default all are looked at, through their index. `timed` has the
    times of all keys read in the same look; without it they are read for each grouping.
    """

    def __init__(
        self,
        reader: Reader,
        condition: Condition,
        keys: Sequence[Condition],
        near: Condition = ALL,
        *,
        timed: bool = True,
    ) -> None:
        self._reader = reader
        self._condition = condition
        self._keys = keys
        self._timed = timed
        statement = _GROUPS if timed else _GROUPS_WITHOUT_TIMES
        self._parts = [*_read_groups(reader, statement, condition, keys)]
        changes = [*_read_changes(reader, condition, keys, near)]
        self.has_follow_ups = bool(changes)
        self._parts += changes

    def group(self, places: Sequence[int], *, timed: bool = True) -> dict[Key, ExchangeCounts]:
        """Return the counts by the keys at some places; without times where they are not needed."""
        merged: defaultdict[Key, list[_Part]] = defaultdict(list)
        for key, part in self._parts:
            merged[tuple(key[at] for at in places)].append(part)
        times = self._join_times(places, merged) if timed else {}
        summed = ((key, _add_up(parts, times.get(key, _NO_TIMES))) for key, parts in merged.items())
        # A group may be only of rows that belong to others.
        return {key: counts for key, counts in summed if counts.exchanges}

    def _join_times(
        self, places: Sequence[int], merged: Mapping[Key, Sequence[_Part]]
    ) -> dict[Key, tuple[Quantiles, ...]]:
        joined = {}
        for key, parts in merged.items() if self._timed else ():
            by_measure = zip(*(one.times for one in parts), strict=True)
            times = [join_quantiles(values) for values in by_measure]
            if None in times:
                break
            joined[key] = tuple(one for one in times if one is not None)
        return joined if len(joined) == len(merged) else self._read_times(places)

    def _read_times(self, places: Sequence[int]) -> dict[Key, tuple[Quantiles, ...]]:
        """Return the times of each group as the database knows them."""
        keys = [self._keys[at] for at in places]
        rows = _read(self._reader, _TIMES_OF_GROUPS, self._condition, keys)
        return {
            key: tuple(join_quantiles([one]) or (None, None) for one in times)
            for key, times in rows
        }


def _add_up(parts: Sequence[_Part], times: tuple[Quantiles, ...]) -> ExchangeCounts:
    by_kind = zip(*(one.tokens for one in parts), strict=True)
    known = ([count for count in counts if count is not None] for counts in by_kind)
    return ExchangeCounts(
        exchanges=sum(one.exchanges for one in parts),
        errors=sum(one.errors for one in parts),
        tokens=tuple(sum(counts) if counts else None for counts in known),
        times=times,
    )


def _read_groups(
    reader: Reader, statement: str, condition: Condition, keys: Sequence[Condition]
) -> Iterator[tuple[Key, _Part]]:
    for key, (exchanges, errors, *others) in _read(reader, statement, condition, keys):
        if exchanges:  # without keys there is a row of nothing, too
            yield key, _Part(exchanges, errors, others[: len(TOKENS)], others[len(TOKENS) :])


def _read_changes(
    reader: Reader, condition: Condition, keys: Sequence[Condition], near: Condition
) -> Iterator[tuple[Key, _Part]]:
    """Yield what a group has more, or fewer."""
    rows = _read(reader, _FURTHER, condition, keys, near)
    for key, (exchanges, errors, *tokens) in rows:
        yield key, _Part(exchanges or 0, errors or 0, tokens, (None,) * len(MEASURES))


def _read(
    reader: Reader,
    statement: str,
    condition: Condition,
    keys: Sequence[Condition],
    near: Condition | None = None,
) -> Iterable[tuple[Key, Row]]:
    """Yield the rows of a statement, each with its keys apart."""
    names = [f"key{at}" for at in range(len(keys))]
    homes = (f"CASE WHEN spare = 1 THEN first_{name} ELSE {name} END" for name in names)
    grouped = ", ".join(str(at) for at in range(1, len(keys) + 1))
    filled = statement % {
        "keys": _list(f"{key.sql} AS {name}" for key, name in zip(keys, names, strict=True)),
        "firsts": _list(f"first_value({one}) OVER response AS first_{one}" for one in names),
        "names": _list(names),
        "homes": _list(homes),
        "near": near.sql if near else "",
        "condition": condition.sql,
        "grouped": f" GROUP BY {grouped}" if keys else "",
    }
    values = (
        *(value for key in keys for value in key.values),
        *(near.values if near else ()),
        *condition.values,
    )
    for row in reader.rows(filled, values):
        yield row[: len(keys)], row[len(keys) :]


def _list(columns: Iterable[str]) -> str:
    """Return columns of a list with a comma behind each."""
    return "".join(f"{column}, " for column in columns)
