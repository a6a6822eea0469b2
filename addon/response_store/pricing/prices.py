"""Find what a model costs: first in the user's own prices, then in the package genai-prices.

Both are a `PriceSource`. What a vendor takes for tools, such as web searches, is in neither.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from response_store.pricing.cost import (
    PriceKey,
    PriceSource,
    Rates,
    Tariff,
    TokenCounts,
    compute_cost,
)
from response_store.pricing.genai import GenaiPrices
from response_store.pricing.tariff_cache import CachedPrices, find_cache_file

if TYPE_CHECKING:
    from response_store.config.model import OwnPrice

STANDARD_TIERS = frozenset({"", "auto", "default", "standard"})

_MAX_KNOWN = 10_000


class PricedExchange(Protocol):
    """What a price hangs on, of an exchange."""

    @property
    def host(self) -> str: ...
    @property
    def started_at(self) -> float: ...
    @property
    def model(self) -> str | None: ...
    @property
    def requested_model(self) -> str | None: ...
    @property
    def service_tier(self) -> str | None: ...
    @property
    def input_tokens(self) -> int | None: ...
    @property
    def cached_tokens(self) -> int | None: ...
    @property
    def cache_write_tokens(self) -> int | None: ...
    @property
    def output_tokens(self) -> int | None: ...


class OwnPrices:
    """The prices that a configuration from `file` gives. The first that fits wins."""

    def __init__(self, prices: Sequence[OwnPrice], file: str) -> None:
        self.name = f"own prices of {file}"
        self._entries = [
            (
                re.compile(fnmatch.translate(_take_literally(price.model.lower()))),
                _normalize_tier(price.service_tier),
                Tariff.from_rates(
                    self.name,
                    Rates(price.input, price.output, price.cached_input, price.cache_write),
                ),
            )
            for price in prices
        ]

    def find(self, key: PriceKey) -> Tariff | None:
        """Return the first entry whose model and tier fit."""
        model = key.model.lower()
        return next(
            (
                tariff
                for name, tier, tariff in self._entries
                if tier == key.tier and name.match(model)
            ),
            None,
        )


class Cost(NamedTuple):
    """What an exchange cost in USD, and the name of where its price is from."""

    usd: Decimal
    source: str


class Prices:
    """All prices that there are. `used` names the sources that have given one, each once."""

    def __init__(self, sources: Sequence[PriceSource]) -> None:
        self._sources = sources
        self._known: dict[PriceKey, Tariff | None] = {}
        self.used: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._sources)

    def find(self, host: str, model: str | None, tier: str | None) -> Tariff | None:
        """Return what a model costs at a host and a tier, which is as an answer names it."""
        if model is None:
            return None
        key = PriceKey(host, model, _normalize_tier(tier))
        if key not in self._known:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            tariffs = (source.find(key) for source in self._sources)
            self._known[key] = next((tariff for tariff in tariffs if tariff is not None), None)
        return self._known[key]

    def price(self, exchange: PricedExchange) -> Decimal | None:
        """Return what an exchange cost in USD; None where that is not known."""
        cost = self.compute_cost(exchange)
        return None if cost is None else cost.usd

    def compute_cost(self, exchange: PricedExchange) -> Cost | None:
        """Return what an exchange cost, and by whose price; None where that is not known."""
        if exchange.input_tokens is None:
            return None
        model = exchange.model or exchange.requested_model
        tariff = self.find(exchange.host, model, exchange.service_tier)
        tokens = TokenCounts(
            input=exchange.input_tokens,
            output=exchange.output_tokens,
            cached=exchange.cached_tokens,
            cache_write=exchange.cache_write_tokens,
        )
        if tariff is None:
            return None
        usd = self.compute(tariff, exchange.started_at, exchange.input_tokens, tokens)
        return None if usd is None else Cost(usd, tariff.source)

    def compute(
        self, tariff: Tariff, started_at: float, input_tokens: int, tokens: TokenCounts
    ) -> Decimal | None:
        """Return what tokens cost in USD by the rates of a time and a length of the input."""
        rates = tariff.find_rates(started_at, input_tokens)
        cost = None if rates is None else compute_cost(rates, tokens)
        if cost is not None:
            self.used[tariff.source] = None
        return cost


def load_prices(own: Sequence[OwnPrice], file: str) -> Prices:
    """Return the prices of a configuration and of genai-prices, as far as there are any."""
    sources: list[PriceSource] = [OwnPrices(own, file)] if own else []
    spec = find_spec("genai_prices")
    if spec is not None:
        package = _identify(spec.origin)
        cache = find_cache_file(os.environ) if package else None
        sources.append(CachedPrices(GenaiPrices(), package, cache))
    return Prices(sources)


def _identify(origin: str | None) -> str:
    """Return what tells a package from its other versions, without loading it; empty: nothing."""
    if origin is None:
        return ""
    try:
        data = Path(origin).with_name("data.py")
        state = data.stat()
    except OSError:
        return ""
    return f"{data} {state.st_mtime_ns} {state.st_size}"


def _normalize_tier(tier: str | None) -> str | None:
    name = (tier or "").lower()
    return None if name in STANDARD_TIERS else name


def _take_literally(pattern: str) -> str:
    """Return a pattern of `*` and `?` for `fnmatch`, in which brackets are a class."""
    return pattern.replace("[", "[[]")
