"""The user's own prices, and how they stand before those of the package."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from response_store.config.model import OwnPrice
from response_store.pricing.prices import Prices, load_prices

OWN = (
    OwnPrice(model="gpt-5.1*", input=Decimal(100), output=Decimal(200)),
    OwnPrice(model="GPT-*", input=Decimal(1), output=Decimal(2)),
    OwnPrice(model="gpt-5.1", service_tier="Flex", input=Decimal(50), output=Decimal(100)),
    OwnPrice(model="local[1]-?", input=Decimal(0), output=Decimal(0)),
    OwnPrice(model="vectors", input=Decimal(3)),
)


def exchange(**columns: Any) -> Any:
    usual = {
        "host": "api.openai.com", "started_at": 1.79e9, "model": None, "requested_model": None,
        "service_tier": None, "input_tokens": 1_000_000, "cached_tokens": None,
        "cache_write_tokens": None, "output_tokens": 0,
    }  # fmt: skip
    return SimpleNamespace(**(usual | columns))


@pytest.fixture
def prices() -> Prices:
    return load_prices(OWN, "prices.yaml")


@pytest.mark.parametrize(
    ("columns", "usd"),
    [
        ({"model": "gpt-5.1-codex"}, 100),
        ({"model": "gpt-4o"}, 1),
        ({"requested_model": "gpt-4o"}, 1),
        ({"model": "gpt-5.1", "requested_model": "gpt-4o"}, 100),
        ({"model": "gpt-5.1", "service_tier": "flex"}, 50),
        ({"model": "gpt-5.1", "service_tier": "default"}, 100),
        ({"model": "gpt-5.1", "service_tier": "auto"}, 100),
        ({"model": "local[1]-x"}, 0),
        ({"model": "local1-x"}, None),
        ({"model": "vectors", "output_tokens": None}, 3),
        ({"model": "vectors", "output_tokens": 5}, None),
        ({"model": None}, None),
        ({"model": "gpt-4o", "input_tokens": None}, None),
        ({"model": "gpt-4o", "host": "anything.example.com"}, 1),
    ],
)
def test_the_first_own_price_that_fits_wins(
    columns: dict[str, Any], usd: int | None, prices: Prices
) -> None:
    """By the name of the model that answered, and by the tier."""
    assert prices.price(exchange(**columns)) == usd


def test_what_no_own_price_fits_is_looked_up(prices: Prices) -> None:
    """And each source that has given a price is named, its file or its version."""
    pytest.importorskip("genai_prices", reason="is not for Python 3.11")
    assert prices.price(exchange(model="o3-mini")) == Decimal("1.1")
    assert [name.split()[0] for name in prices.used] == ["genai-prices"]
    prices.price(exchange(model="gpt-4o"))
    assert list(prices.used)[1] == "own prices of prices.yaml"
    assert prices.price(exchange(model="gpt-4o-mini", service_tier="flex")) is None


def test_without_any_source_nothing_is_known() -> None:
    """Neither the extra nor prices of one's own."""
    prices = Prices([])
    assert not prices
    assert prices.price(exchange(model="gpt-5.1")) is None
