"""`prices` in the configuration: what it gives, and what it refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from response_store.config import list_effective_settings
from response_store.config.load import Config
from response_store.config.model import OwnPrice
from tests.unit.config.conftest import Load, Refusal


def test_none_unless_given(load: Load) -> None:
    """Without the key, with nothing behind it, and with an empty list."""
    for text in ("", "prices:", "prices: []"):
        assert load(text).prices == ()
        assert list_effective_settings(load(text))["prices"] == "none"


def test_prices_are_taken_to_the_digit(load: Load) -> None:
    """As they are written, in their order, and also in another process."""
    config = load(
        "prices:\n"
        "  - {model: 'gpt-5.1*', input: 1.25, cached_input: 0.125, cache_write: 1, output: 10}\n"
        "  - {model: gpt-5.1, service_tier: flex, input: 0.1, output: null}\n"
    )
    assert config.prices == (
        OwnPrice("gpt-5.1*", Decimal("1.25"), None, Decimal("0.125"), Decimal(1), Decimal(10)),
        OwnPrice("gpt-5.1", Decimal("0.1"), "flex"),
    )
    assert list_effective_settings(config)["prices"] == "gpt-5.1*, gpt-5.1"
    assert Config.from_message(config.to_message(), "x").prices == config.prices


@pytest.mark.parametrize(
    ("entry", "rule"),
    [
        ({"model": "a"}, "input missing"),
        ({"input": 1}, "model missing"),
        ({"model": "a", "input": "1"}, "must be a number, not a string"),
        ({"model": "a", "input": True}, "must be a number, not a boolean"),
        ({"model": "a", "input": -1}, "at least 0"),
        ({"model": "a", "input": 1e7}, "at most 1000000"),
        ({"model": "a", "input": float("nan")}, "no finite number"),
        ({"model": "a", "input": 1, "output": float("inf")}, "at most 1000000"),
        ({"model": "", "input": 1}, "1 to 200 printable characters"),
        ({"model": "a" * 201, "input": 1}, "1 to 200 printable characters"),
        ({"model": "a", "service_tier": "b\n", "input": 1}, "1 to 200 printable characters"),
        ({"model": "a", "input": 1, "outptu": 1}, "Did you mean output?"),
        ({"model": "KNOWN", "input": 1}, "has a price for this tier already"),
    ],
)
def test_what_is_no_price_is_refused(entry: dict[str, Any], rule: str, refusal: Refusal) -> None:
    """With the place in the list, and what to write."""
    known = {"model": "known", "input": 1}
    text = refusal({"prices": [known, entry]})
    assert rule in text
    assert "prices[1]" in text


def test_the_list_is_bounded(refusal: Refusal) -> None:
    """A price is looked for in all of it."""
    entries = [{"model": f"m{at}", "input": 1} for at in range(501)]
    assert "more than 500 prices" in refusal({"prices": entries})
