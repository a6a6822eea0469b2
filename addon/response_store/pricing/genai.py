"""Look prices up in the package genai-prices, which brings them along: nothing is fetched.

Loading it takes 0.2 s, most of it for what it needs to fetch newer data, so it is imported where a
model is first looked up.

Its tiers, dates and lengths become a `Tariff`. What it can't tell stays unknown: tokens of sound
and pictures, which are not counted here; prices by the hour of the day; a tier that it has no
variant for, where it would fall back to the standard one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from response_store.pricing.cost import Level, Period, PriceKey, Rates, Tariff

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_MODELS_OF_ONE = {
    "openai": (
        r"(ft:)?(gpt-(?!oss)|o[1-9]\b)|chatgpt-|text-embedding-(3-|ada)|codex-mini|computer-use"
    ),
    "anthropic": r"claude-",
    "google": r"gemini-",
    "x-ai": r"grok-",
}
"""Providers whose models nobody else runs, and how the names of these begin."""

_UNPRICED_HOST = re.compile(r"(.+\.)?chatgpt\.com|.+\.api\.openai\.com")
"""Hosts of subscriptions, and those with a surcharge for their region."""

_TOKEN_KEYS = {"input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok"}
_OTHER_KEYS = re.compile(r"cache_write_(5m|1h)_mtok|\w+_searches_kcount|code_executions_kcount")
"""What does not change the price of tokens that are counted here."""

_OTHER_MEDIA = re.compile("audio|image")
"""Models whose tokens of sound and pictures have prices of their own, also where none is given."""

_MAX_NAME = 200


class GenaiPrices:
    """The prices of the package, which is loaded with the first question."""

    @cached_property
    def _snapshot(self) -> DataSnapshot:
        from genai_prices import data_snapshot  # noqa: PLC0415 (slow to load)

        return data_snapshot.get_snapshot()

    @cached_property
    def name(self) -> str:
        """Return the package with its version and the date of its newest price."""
        from importlib.metadata import version  # noqa: PLC0415 (where it is wanted)

        newest = max((day for day in self._dates if day <= _today()), default=None)
        return f"genai-prices {version('genai-prices')}, newest price of {newest}"

    @property
    def valid_until(self) -> float:
        """Return when the next price changes that is known already, in Unix seconds."""
        following = min((day for day in self._dates if day > _today()), default=None)
        if following is None:
            return float("inf")
        return datetime.combine(following, time(), UTC).timestamp()

    @cached_property
    def _dates(self) -> set[date]:
        return {
            day
            for provider in self._snapshot.providers
            for model in provider.models
            for day in _list_dates(model)
        }

    def find(self, key: PriceKey) -> Tariff | None:
        """Return what a model costs; None where that is not known."""
        provider = self._find_provider(key)
        if provider is None or len(key.model) > _MAX_NAME:
            return None
        model = provider.find_model(key.model, all_providers=self._snapshot.providers)
        if model is None or _OTHER_MEDIA.search(model.id):
            return None
        if not _has_tier(provider, model, key.tier):
            return None
        periods = tuple(_list_periods(model, key.tier))
        return Tariff(self.name, periods) if any(one.levels for one in periods) else None

    def _find_provider(self, key: PriceKey) -> Provider | None:
        host = key.host.lower().removesuffix(".")
        if _UNPRICED_HOST.fullmatch(host):
            return None
        try:
            return self._snapshot.find_provider(None, None, f"https://{host}/")
        except LookupError:
            pass
        for name, pattern in _MODELS_OF_ONE.items():
            if re.match(pattern, key.model.lower()):
                return self._snapshot.find_provider(None, name, None)
        return None


def _today() -> date:
    return datetime.now(tz=UTC).date()


def _build_context(tier: str | None) -> dict[str, str]:
    """Return what the package calls a tier; empty for the standard one."""
    if tier is None:
        return {}
    return {"processing": "batch"} if tier == "batch" else {"service_tier": tier}


def _has_tier(provider: Provider, model: ModelInfo, tier: str | None) -> bool:
    """Return whether a tier has prices at any time. Of another provider's model it has none."""
    if tier is None:
        return True
    if not any(model is one for one in provider.models):
        return False
    context = _build_context(tier)
    return any(variant.when == context for variant in model.price_variants or ())


def _list_periods(model: ModelInfo, tier: str | None) -> Iterator[Period]:
    """Yield the periods of a model's prices, cut at each date that is in its conditions."""
    yield Period(float("-inf"), _build_levels(model, tier, datetime.min.replace(tzinfo=UTC)))
    for day in sorted(_list_dates(model)):
        start = datetime.combine(day, time(), UTC)
        yield Period(start.timestamp(), _build_levels(model, tier, start))


def _list_dates(model: ModelInfo) -> set[date]:
    return {
        constraint.start_date
        for constraint in _list_constraints(model)
        if hasattr(constraint, "start_date")
    }


def _list_constraints(model: ModelInfo) -> Iterator[Any]:
    if isinstance(model.prices, list):
        yield from (price.constraint for price in model.prices if price.constraint is not None)
    for variant in model.price_variants or ():
        if variant.constraint is not None:
            yield variant.constraint


def _build_levels(model: ModelInfo, tier: str | None, start: datetime) -> tuple[Level, ...]:
    """Return the rates from a time on; none where they are not known."""
    if any(not hasattr(one, "start_date") for one in _list_constraints(model)):
        return ()  # by the hour
    context = _build_context(tier)
    if context and not any(
        variant.when == context and (variant.constraint is None or variant.constraint.active(start))
        for variant in model.price_variants or ()
    ):
        return ()
    prices = model.get_prices(start, context or None)
    keys = {key for key, value in prices.__dict__.items() if value is not None}
    if "input_mtok" not in keys or any(
        not _OTHER_KEYS.fullmatch(key) for key in keys - _TOKEN_KEYS
    ):
        return ()
    above = {
        tier.start for key in _TOKEN_KEYS for tier in getattr(getattr(prices, key), "tiers", ())
    }
    return tuple(Level(length, _build_rates(prices, length)) for length in (-1, *sorted(above)))


def _build_rates(prices: ModelPrice, above: int) -> Rates:
    """Return the rates of an input of more than so many tokens."""
    return Rates(
        input=_choose_price(prices.input_mtok, above),
        output=_choose_price(prices.output_mtok, above),
        cached=_choose_price(prices.cache_read_mtok, above),
        cache_write=_choose_price(prices.cache_write_mtok, above),
    )


def _choose_price(price: Any, above: int) -> Decimal | None:
    chosen: Decimal | None = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if tier.start <= above:
            chosen = tier.price
    return chosen
