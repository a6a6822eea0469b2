"""Add up what exchanges cost, in groups: the database sums tokens, and the sums are priced.

Tokens are summed by all that a price hangs on. Where a price changes within such a sum, as the
times and lengths in it show, its models are summed once more, cut at these places. So a million
rows cost one look at them, mostly.

A response may have several exchanges, whose tokens count once, as in `queries/statistics.py`. Of
other APIs than the Responses API each exchange costs: some of their servers repeat an id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from response_store.model.precedence import order_by_tokens
from response_store.model.records import Api, ExchangeRow, State
from response_store.model.selection import Condition
from response_store.pricing.cost import CostSum, Tariff, TokenCounts
from response_store.pricing.prices import Prices
from response_store.queries.exchange_counts import ALL, Key
from response_store.queries.follow_ups import FOLLOWS
from response_store.queries.reader import Reader

_TOKENS = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
_MODEL = "coalesce(model, requested_model)"
CHARGED = ("responses", "chat_completions", "completions", "embeddings", "responses_compact")
_APIS = ", ".join(f"'{api}'" for api in CHARGED)
_COSTS = f"""CASE WHEN input_tokens IS NOT NULL OR (
    api IN ({_APIS}) AND state <> '{State.REFUSED.value}'
    AND (method = 'POST' OR transport = 'websocket')) THEN 1 ELSE 0 END"""
"""Whether an exchange is one that costs money: a refusal does not, nor does asking again."""


def is_charged(row: ExchangeRow) -> bool:
    """Return whether an exchange that stands for its response costs money, known or not."""
    return row.input_tokens is not None or (row.api in CHARGED and row.state != State.REFUSED)


_COUNTED = """CASE
    WHEN input_tokens IS NULL
        OR coalesce(cached_tokens, 0) + coalesce(cache_write_tokens, 0) > input_tokens THEN 0
    WHEN output_tokens IS NULL THEN 1 ELSE 2 END"""
"""How much of the tokens is known: 0 too little, 1 all but the output, 2 all."""

_TURN = f"""tenant_id,
    coalesce(CASE WHEN api = '{Api.RESPONSES.value}' THEN response_id END, exchange_id)"""
"""What tells a response from another, whichever exchanges it came in."""
_KINDS = ("host", _MODEL, "service_tier", _COUNTED)
_SUMS = ", ".join(f"CAST(sum({name}) AS BIGINT)" for name in _TOKENS)
_GROUPS = f"""
SELECT {{columns}}, min(started_at), max(started_at), min(input_tokens), max(input_tokens),
    CAST(sum({{costs}}) AS BIGINT), {_SUMS}
FROM {{origin}}{{grouped}}"""
_SEVERAL = f"""(
    SELECT several.*, {{firsts}}
        follows - first_value(follows) OVER response AS spare,
        max(costs) OVER (PARTITION BY tenant_id, response_id) AS any_costs,
        row_number() OVER (
            PARTITION BY tenant_id, response_id ORDER BY {order_by_tokens(", ".join(_TOKENS))}
        ) AS place
    FROM (
        SELECT {{keys}} exchange_id, tenant_id, response_id, started_at, state, host, model,
            requested_model, service_tier, {", ".join(_TOKENS)}, {_COSTS} AS costs,
            CASE WHEN {FOLLOWS} THEN 1 ELSE 0 END AS follows
        FROM {{{{exchanges}}}}
        WHERE response_id IN (
            SELECT response_id FROM {{{{exchanges}}}} WHERE response_id IS NOT NULL AND {{near}}
            GROUP BY response_id HAVING count(*) > 1)
        AND api = '{Api.RESPONSES.value}' AND {{condition}}) AS several
    WINDOW response AS (
        PARTITION BY tenant_id, response_id ORDER BY follows, started_at, exchange_id)) AS placed"""
"""The rows of responses that have several, each with its keys and those of the first of them."""
_TURNS = f"""(
    SELECT {{keys}} host, model, requested_model, service_tier, started_at, {", ".join(_TOKENS)},
        max({_COSTS}) OVER (PARTITION BY {_TURN}) AS any_costs,
        row_number() OVER (
            PARTITION BY {_TURN} ORDER BY {order_by_tokens(", ".join(_TOKENS))}) AS place
    FROM {{{{exchanges}}}} WHERE {{condition}}) AS turns WHERE place = 1"""
"""The rows that count of a few exchanges, each with its keys."""
_MAX_MODELS = 500


class _Origin(NamedTuple):
    """Rows to add up: what stands behind FROM with its values, keys, and which rows cost money."""

    sql: str
    values: tuple[object, ...]
    keys: Sequence[Condition]
    costs: str


class _Part(NamedTuple):
    """Exchanges of one group, host, model and tier, with the span of their times and lengths."""

    key: Key
    host: str
    model: str | None
    tier: str | None
    counted: int
    first: float
    last: float
    min_length: int | None
    max_length: int | None
    exchanges: int
    tokens: TokenCounts

    @property
    def kind(self) -> tuple[object, ...]:
        """Return what tells its sums from others."""
        return (self.key, self.host, self.model, self.tier, self.counted)


def compute_costs(
    reader: Reader,
    condition: Condition,
    keys: Sequence[Condition],
    prices: Prices,
    near: Condition | None = ALL,
) -> dict[Key, CostSum]:
    """Return what exchanges cost, by the values of `keys`, which are SQL over their columns.

    What is not known is in no sum, and counted. A response in several exchanges costs once, where
    it began; `near` is as in `CountedExchanges`, or None where it is known that none has several.
    """
    costs = _add_up(reader, _select_all(condition, keys), prices)
    if near is None:
        return dict(costs)
    several, once = _select_several(condition, keys, near)
    for key, cost in _add_up(reader, several, prices).items():
        costs[key] = costs[key].minus(cost)
    for key, cost in _add_up(reader, once, prices).items():
        costs[key] = costs[key].plus(*cost)
    return dict(costs)


def compute_turn_costs(
    reader: Reader, condition: Condition, keys: Sequence[Condition], prices: Prices
) -> dict[Key, CostSum]:
    """Return the same of a few exchanges, without a look at the others; for whole sessions or runs.

    A response in several exchanges costs where its tokens are.
    """
    names = [f"key{at}" for at in range(len(keys))]
    sql = _TURNS.format(keys=_name_keys(keys, names), condition=condition.sql)
    values = (*(value for key in keys for value in key.values), *condition.values)
    columns = [Condition(name, ()) for name in names]
    return dict(_add_up(reader, _Origin(sql, values, columns, "any_costs"), prices))


def _name_keys(keys: Sequence[Condition], names: Sequence[str]) -> str:
    return "".join(f"{key.sql} AS {name}, " for key, name in zip(keys, names, strict=True))


def _select_all(condition: Condition, keys: Sequence[Condition]) -> _Origin:
    return _Origin(f"{{exchanges}} WHERE {condition.sql}", condition.values, keys, _COSTS)


def _select_several(
    condition: Condition, keys: Sequence[Condition], near: Condition
) -> tuple[_Origin, _Origin]:
    """Return the rows of responses that have several, and the one of each that counts."""
    names = [f"key{at}" for at in range(len(keys))]
    sql = _SEVERAL.format(
        keys=_name_keys(keys, names),
        firsts="".join(f"first_value({name}) OVER response AS first_{name}, " for name in names),
        near=near.sql,
        condition=condition.sql,
    )
    values = (*(value for key in keys for value in key.values), *near.values, *condition.values)
    own = [Condition(name, ()) for name in names]
    homes = [
        Condition(f"CASE WHEN spare = 1 THEN first_{name} ELSE {name} END", ()) for name in names
    ]
    return (
        _Origin(f"{sql} WHERE place > 0", values, own, "costs"),
        _Origin(f"{sql} WHERE place = 1", values, homes, "any_costs"),
    )


def _add_up(reader: Reader, origin: _Origin, prices: Prices) -> defaultdict[Key, CostSum]:
    costs: defaultdict[Key, CostSum] = defaultdict(CostSum)
    for part, tariff in _list_even(reader, origin, prices):
        usd = None
        if tariff is not None:
            usd = prices.compute(tariff, part.first, part.min_length or 0, part.tokens)
        costs[part.key] = costs[part.key].plus(usd, part.exchanges if usd is None else 0)
    return costs


def _list_even(
    reader: Reader, origin: _Origin, prices: Prices
) -> Iterator[tuple[_Part, Tariff | None]]:
    """Yield sums of tokens, each with one rate for all that is in it, and the tariff of that."""
    uneven: dict[tuple[object, ...], str] = {}
    times, lengths = set[float](), set[int]()
    for part in _list_parts(reader, origin):
        tariff = _find_tariff(prices, part)
        if (
            tariff is None
            or part.model is None
            or part.min_length is None
            or part.max_length is None
        ):
            yield part, None
            continue
        changes = tariff.list_changes(part.first, part.last)
        thresholds = tariff.list_thresholds(part.min_length, part.max_length)
        if changes or thresholds:
            uneven[part.kind] = part.model
            times.update(changes)
            lengths.update(thresholds)
        else:
            yield part, tariff
    if not uneven:
        return
    cuts = (_build_steps("started_at", ">=", times), _build_steps("input_tokens", ">", lengths))
    narrow = _narrow(origin, sorted(set(uneven.values())))
    for part in _list_parts(reader, narrow, [cut for cut in cuts if cut]):
        if part.kind in uneven:
            yield part, _find_tariff(prices, part)


def _find_tariff(prices: Prices, part: _Part) -> Tariff | None:
    return prices.find(part.host, part.model, part.tier) if part.counted else None


def _list_parts(reader: Reader, origin: _Origin, cuts: Sequence[Condition] = ()) -> Iterator[_Part]:
    columns = [*origin.keys, *(Condition(kind, ()) for kind in _KINDS), *cuts]
    statement = _GROUPS.format(
        columns=", ".join(column.sql for column in columns),
        costs=origin.costs,
        origin=origin.sql,
        grouped=f" GROUP BY {', '.join(str(at) for at in range(1, len(columns) + 1))}",
    )
    values = (*(value for column in columns for value in column.values), *origin.values)
    for row in reader.rows(statement, values):
        key, rest = tuple(row[: len(origin.keys)]), row[len(origin.keys) :]
        kind, sums = rest[: len(_KINDS)], rest[len(_KINDS) + len(cuts) :]
        yield _build_part(key, kind, sums)


def _build_part(key: Key, kind: Sequence[Any], sums: Sequence[Any]) -> _Part:
    host, model, tier, counted = kind
    first, last, min_length, max_length, exchanges, *tokens = sums
    return _Part(
        key,
        host,
        model,
        tier,
        counted,
        first,
        last,
        min_length,
        max_length,
        exchanges,
        TokenCounts(*tokens),
    )


def _build_steps(column: str, comparison: str, bounds: Iterable[float]) -> Condition | None:
    """Return the number of the interval between bounds that a column's value is in."""
    places = sorted(bounds, reverse=True)
    if not places:
        return None
    cases = " ".join(
        f"WHEN {column} {comparison} ? THEN {len(places) - at}" for at in range(len(places))
    )
    return Condition(f"CASE {cases} ELSE 0 END", tuple(places))


def _narrow(origin: _Origin, models: Sequence[str]) -> _Origin:
    """Return only exchanges of these models, unless they are many."""
    if len(models) > _MAX_MODELS:
        return origin
    sql = f"{origin.sql} AND {_MODEL} IN ({', '.join('?' * len(models))})"
    return origin._replace(sql=sql, values=(*origin.values, *models))
