"""Costs in groups: sums that the database makes, priced, beside exchanges priced one by one."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from response_store.model.selection import Condition, Selection
from response_store.pricing.cost import (
    CostSum,
    Level,
    Period,
    PriceKey,
    Rates,
    Tariff,
)
from response_store.pricing.prices import Prices
from response_store.queries.costs import compute_costs
from tests.unit.queries.stored import REQUIRED

if TYPE_CHECKING:
    from tests.unit.queries.conftest import Anywhere

DAY = 86_400.0
BEGAN = 20_000 * DAY
CHEAP, DEAR, LONG = (Rates(Decimal(rate), Decimal(10 * rate)) for rate in (1, 2, 4))
STEPS = Tariff(
    "list",
    (
        Period(float("-inf"), ()),
        Period(BEGAN, (Level(-1, CHEAP),)),
        Period(BEGAN + DAY, (Level(-1, DEAR), Level(1000, LONG))),
    ),
)
COLUMNS = (
    "model", "requested_model", "service_tier", "response_id", "input_tokens", "output_tokens",
    "cached_tokens", "cache_write_tokens",
)  # fmt: skip
BY_MODEL = (Condition("coalesce(model, requested_model)", ()),)


class PriceList:
    """A tariff with steps for `steps*`, one without for `even`."""

    name = "list"

    def find(self, key: PriceKey) -> Tariff | None:
        if key.model.startswith("steps"):
            return STEPS
        return Tariff.from_rates("list", CHEAP) if key.model == "even" else None


def row(name: str, model: str | None, started_at: float = BEGAN, **columns: Any) -> dict[str, Any]:
    """An exchange of 1,000 tokens in and 100 out, unless told otherwise."""
    usual = {"exchange_id": name, "started_at": started_at, "model": model}
    numbers = {"input_tokens": 1000, "output_tokens": 100}
    return {**REQUIRED, **dict.fromkeys(COLUMNS), **numbers, **usual, **columns}


def costs(
    stored: Anywhere, by: tuple[Condition, ...] = BY_MODEL, prices: Prices | None = None
) -> dict[Any, CostSum]:
    with stored.open() as query:
        condition = Selection(tenant="default").condition()
        found = compute_costs(query.reader, condition, by, prices or Prices([PriceList()]))
    return {key if len(key) != 1 else key[0]: cost for key, cost in found.items()}


def test_sums_are_cut_where_the_price_changes(anywhere: Anywhere) -> None:
    """By the day and by the length of each exchange, not by those of the sum."""
    anywhere.exchanges([
        row("a", "steps", BEGAN - 1),
        row("b", "steps", BEGAN),
        row("c", "steps", BEGAN + DAY - 1),
        row("d", "steps", BEGAN + DAY),
        row("e", "steps", BEGAN + DAY, input_tokens=1001, output_tokens=0),
        row("f", "even", BEGAN - 1),
        row("g", "even", BEGAN + 2 * DAY, input_tokens=5000),
    ])  # fmt: skip
    # b and c: 1,000 at $1 and 100 at $10; d: the double; e: 1,001 at $4; a: before the first price
    assert costs(anywhere) == {
        "steps": CostSum(Decimal("0.012004"), 1),
        "even": CostSum(Decimal("0.008"), 0),
    }


def test_what_is_unknown_is_counted_and_what_is_free_is_not(anywhere: Anywhere) -> None:
    """A refusal costs nothing, nor does asking for a response that is stored."""
    anywhere.exchanges([
        row("a", "even"),
        row("b", "even", input_tokens=None, output_tokens=None, state="interrupted"),
        row("c", "even", input_tokens=None, output_tokens=None, state="refused"),
        row("d", "even", input_tokens=None, output_tokens=None, method="GET"),
        row("e", "even", input_tokens=None, output_tokens=None, api="conversations"),
        row("f", "even", input_tokens=None, output_tokens=None, method="GET",
            transport="websocket"),
        row("g", "even", output_tokens=None),
        row("h", "even", cached_tokens=900, cache_write_tokens=101),
        row("i", "other"),
        row("j", None),
        row("k", None, requested_model="even"),
    ])  # fmt: skip
    assert costs(anywhere) == {
        "even": CostSum(Decimal("0.004"), 4),
        "other": CostSum(None, 1),
        None: CostSum(None, 1),
    }


def test_a_response_of_several_exchanges_costs_once(anywhere: Anywhere) -> None:
    """Where its creation has no tokens and its last poll has, the poll counts."""
    none = {"input_tokens": None, "output_tokens": None}
    anywhere.exchanges([
        row("a", "even", response_id="r1", state="queued", **none),
        row("b", "even", BEGAN + 1, response_id="r1", method="GET"),
        row("c", "even", response_id="r2", state="interrupted"),
        row("d", "even", BEGAN + 1, response_id="r2"),
        row("e", "even", response_id="r3", state="interrupted", **none),
        row("f", "even", BEGAN + 1, response_id="r3", state="interrupted", **none),
    ])  # fmt: skip
    assert costs(anywhere) == {"even": CostSum(Decimal("0.004"), 1)}


def test_an_id_that_a_chat_server_repeats_is_no_response(anywhere: Anywhere) -> None:
    """Some servers of Chat Completions give every answer the same id: each costs."""
    chat = {"response_id": "chatcmpl-1", "api": "chat_completions"}
    anywhere.exchanges([
        row("a", "even", **chat),
        row("b", "even", BEGAN + 1, **chat),
        row("c", "even", BEGAN + 2, **{**chat, "api": "responses"}),
        row("d", "even", BEGAN + 3, **{**chat, "api": "responses"}),
    ])  # fmt: skip
    assert costs(anywhere) == {"even": CostSum(Decimal("0.006"), 0)}


def test_a_response_costs_where_it_began(anywhere: Anywhere) -> None:
    """Its polls are no exchanges by themselves, whichever of them brings the tokens."""
    none = {"input_tokens": None, "output_tokens": None}
    poll = {"method": "GET", "path": "/v1/responses/r1"}
    anywhere.exchanges([
        row("a", "even", response_id="r1", state="queued", **none),
        row("b", "even", BEGAN + 9, response_id="r1", state="in_progress", **poll, **none),
        row("c", "even", BEGAN + 9, response_id="r1", **poll),
        row("d", "even", BEGAN + 9),
        row("e", "even", response_id="r2", state="queued", **none),
        row("f", "even", BEGAN + 9, response_id="r2", state="failed", **poll, **none),
        row("g", "even", BEGAN + 9, response_id="r3", **poll),
        row("h", "even", BEGAN + 9, response_id="r3", **poll),
    ])  # fmt: skip
    time = Condition("CASE WHEN started_at < ? THEN 'first' ELSE 'second' END", (BEGAN + 5,))
    assert costs(anywhere, (time,)) == {
        "first": CostSum(Decimal("0.002"), 1),
        "second": CostSum(Decimal("0.004"), 0),
    }
    assert costs(anywhere, (*BY_MODEL, time)) == {
        ("even", "first"): CostSum(Decimal("0.002"), 1),
        ("even", "second"): CostSum(Decimal("0.004"), 0),
    }
    assert costs(anywhere, ()) == {(): CostSum(Decimal("0.006"), 1)}


@pytest.mark.parametrize("seed", range(3))
def test_sums_are_those_of_the_exchanges(seed: int, anywhere: Anywhere) -> None:
    """However they are mixed; each priced alone and added up."""
    pick = random.Random(seed)
    rows = [
        row(
            str(at),
            pick.choice(["steps", "steps-2", "even", "other"]),
            BEGAN + pick.uniform(-1, 3) * DAY,
            input_tokens=pick.choice([None, 0, 999, 1000, 1001, 5000]),
            output_tokens=pick.choice([None, 0, 7]),
            cached_tokens=pick.choice([None, 0, 500, 1100]),
            cache_write_tokens=pick.choice([None, 30]),
            service_tier=pick.choice([None, "default", "flex"]),
            host=pick.choice(["a.example", "b.example"]),
        )
        for at in range(200)
    ]
    anywhere.exchanges(rows)
    prices = Prices([PriceList()])
    with anywhere.open() as query:
        page = query.recent("default", limit=1000)
    alone: defaultdict[str | None, CostSum] = defaultdict(CostSum)
    for one in page.exchanges:
        usd = prices.price(one)
        alone[one.model] = alone[one.model].plus(usd, int(usd is None))
    assert costs(anywhere) == alone
    assert list(prices.used) == ["list"]
