"""The prices of genai-prices as tariffs: the same costs, and unknown where it would guess."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from response_store.pricing.cost import PriceKey, TokenCounts, compute_cost
from response_store.pricing.genai import GenaiPrices

genai_prices = pytest.importorskip("genai_prices", reason="is not for Python 3.11")

OPENAI = "api.openai.com"
NOVEMBER = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
SOURCE = GenaiPrices()


def price(
    key: PriceKey, tokens: TokenCounts, started_at: float = NOVEMBER, source: GenaiPrices = SOURCE
) -> Decimal | None:
    tariff = source.find(key)
    rates = tariff and tariff.find_rates(started_at, tokens.input or 0)
    return compute_cost(rates, tokens) if rates else None


@pytest.mark.parametrize(
    ("key", "tokens", "usd"),
    [
        # 1,000 at $1.25 and 100 at $10 a million
        (PriceKey(OPENAI, "gpt-5.1"), TokenCounts(1000, 100), "0.00225"),
        (PriceKey(OPENAI, "gpt-5.1-2025-11-13"), TokenCounts(1000, 100), "0.00225"),
        # 200 at $1.25, 800 at $0.125, 100 at $10
        (PriceKey(OPENAI, "gpt-5.1"), TokenCounts(1000, 100, cached=800), "0.00135"),
        # half of the standard price, and twice of it
        (PriceKey(OPENAI, "gpt-5.1", "flex"), TokenCounts(1000, 100), "0.001125"),
        (PriceKey(OPENAI, "gpt-5.1", "batch"), TokenCounts(1000, 100), "0.001125"),
        (PriceKey(OPENAI, "gpt-5.1", "priority"), TokenCounts(1000, 100), "0.0045"),
        # 200 at $2, 300 at $0.20, 500 at $2.50, 100 at $10
        (PriceKey(OPENAI, "gpt-6-sol"), TokenCounts(1000, 100, 300, 500), "0.00271"),
        # 272,000 at $2 and 1,000 at $10; one more token, and they are $4 and $15
        (PriceKey(OPENAI, "gpt-6-sol"), TokenCounts(272_000, 1000), "0.554"),
        (PriceKey(OPENAI, "gpt-6-sol"), TokenCounts(272_001, 1000), "1.103004"),
        (PriceKey(OPENAI, "text-embedding-3-small"), TokenCounts(1000, None), "0.00002"),
        (PriceKey(OPENAI, "gpt-3.5-turbo-instruct"), TokenCounts(1000, 100), "0.0017"),
        (PriceKey("eu.openai.azure.com", "gpt-5.1-2025-11-13"), TokenCounts(1000, 100), "0.00225"),
        (PriceKey("openrouter.ai", "openai/gpt-4o"), TokenCounts(1000, 100), "0.0035"),
    ],
)  # fmt: skip
def test_a_cost_is_that_of_the_price_list(key: PriceKey, tokens: TokenCounts, usd: str) -> None:
    """Computed by hand from the pages of the vendors."""
    assert price(key, tokens) == Decimal(usd)


def test_the_day_of_the_start_picks_the_price() -> None:
    """On 10 June 2025 o3 went from $10 to $2 and from $40 to $8, at midnight UTC."""
    day = datetime(2025, 6, 10, tzinfo=UTC).timestamp()
    assert price(PriceKey(OPENAI, "o3"), TokenCounts(1000, 100), day - 1) == Decimal("0.014")
    assert price(PriceKey(OPENAI, "o3"), TokenCounts(1000, 100), day) == Decimal("0.0028")
    tariff = SOURCE.find(PriceKey(OPENAI, "o3"))
    assert tariff is not None
    assert tariff.list_changes(day - 1, day) == [day]
    assert tariff.list_changes(day, day + 1) == []


@pytest.mark.parametrize(
    "key",
    [
        PriceKey(OPENAI, "gpt-999"),
        PriceKey(OPENAI, "gpt-5-nano", "priority"),  # no such tier of this model
        PriceKey(OPENAI, "gpt-5.1", "scale"),
        PriceKey("eu.openai.azure.com", "gpt-5.1-2025-11-13", "priority"),
        PriceKey(OPENAI, "gpt-realtime"),  # tokens of sound have a price of their own
        PriceKey(OPENAI, "gpt-4o-audio-preview"),
        PriceKey("api.deepseek.com", "deepseek-chat"),  # by the hour
        PriceKey("eu.api.openai.com", "gpt-5.1"),  # a surcharge for the region
        PriceKey("chatgpt.com", "gpt-5.1"),  # a subscription
        PriceKey(OPENAI, "gpt-5.1" + "x" * 200),
    ],
)
def test_what_nobody_can_tell_stays_unknown(key: PriceKey) -> None:
    """Where the package falls back to the standard price, it is no price."""
    assert price(key, TokenCounts(1000, 100)) is None


def test_a_tier_before_its_first_price_is_unknown() -> None:
    """The package knows flex from October 2026 on, and would take the standard price before."""
    before = datetime(2026, 10, 11, tzinfo=UTC).timestamp()
    assert price(PriceKey(OPENAI, "gpt-5.1", "flex"), TokenCounts(1000, 100), before) is None
    assert price(PriceKey(OPENAI, "gpt-5.1"), TokenCounts(1000, 100), before) == Decimal("0.00225")


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-5.1", True), ("o3-mini", True), ("claude-sonnet-4-5", True), ("grok-4", True),
        ("gemini-2.5-pro", True), ("text-embedding-3-large", True),
        ("gpt-oss-20b", False), ("llama-3.3-70b", False), ("mistral-large-latest", False),
    ],
)  # fmt: skip
def test_an_unknown_host_counts_by_name_where_one_vendor_has_the_model(
    model: str, known: bool
) -> None:
    """A gateway passes on; a model that anybody may run costs what they take."""
    assert (SOURCE.find(PriceKey("gateway.example.com", model)) is not None) == known


def test_every_price_is_the_one_of_the_package() -> None:
    """Its own function, asked for each model of OpenAI at each tier, day and length."""
    provider = genai_prices.data_snapshot.get_snapshot().find_provider(None, "openai", None)
    days = [datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)]
    compared = 0
    for model in provider.models:
        for tier, context in ((None, None), ("flex", {"service_tier": "flex"})):
            for day in days:
                for length in (1000, 200_001, 272_000, 272_001):
                    key = PriceKey(OPENAI, model.id, tier)
                    ours = price(key, TokenCounts(length, 500, 400, 100), day.timestamp())
                    if ours is None or provider.find_model(model.id) is not model:
                        continue
                    usage = genai_prices.Usage(
                        input_tokens=length, output_tokens=500, cache_read_tokens=400,
                        cache_write_tokens=100,
                    )  # fmt: skip
                    theirs = model.calc_price(
                        usage, provider, genai_request_timestamp=day, price_context=context
                    )
                    assert ours == theirs.total_price, (key, day, length)
                    compared += 1
    assert compared > 500


def test_the_source_says_its_version_and_date() -> None:
    """So that who reads a cost can tell how old the prices are."""
    assert SOURCE.name.startswith("genai-prices 0.2.")
    assert SOURCE.name.rpartition(" ")[2] >= "2026-01-01"


def test_the_package_is_loaded_with_the_first_question() -> None:
    """Its import takes as long as all else that a command does."""
    program = (
        "import sys\n"
        "from response_store.pricing.prices import load_prices\n"
        "prices = load_prices((), '')\n"
        "print(bool(prices), 'genai_prices' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["True", "False"]
