"""Tariffs that were looked up once are read from a file, as long as the package is the same."""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from response_store.pricing import tariff_cache
from response_store.pricing.cost import Level, Period, PriceKey, Rates, Tariff
from response_store.pricing.tariff_cache import CachedPrices, find_cache_file

RATES = Rates(Decimal("1.25"), Decimal(10), cached=Decimal("0.125"))
TARIFF = Tariff("list 1", (Period(float("-inf"), ()), Period(5.0, (Level(-1, RATES),))))
KEY = PriceKey("api.openai.com", "gpt-5.1", "flex")


class SlowSource:
    """Counts how often it is asked."""

    name = "list 1"
    valid_until = float("inf")

    def __init__(self) -> None:
        self.lookups = 0

    def find(self, key: PriceKey) -> Tariff | None:
        self.lookups += 1
        return TARIFF if key == KEY else None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "prices"


@pytest.fixture
def slow() -> SlowSource:
    return SlowSource()


def test_what_was_looked_up_once_is_read(file: Path, slow: SlowSource) -> None:
    """By the next process as well, also that there is no price; the file is the owner's alone."""
    first = CachedPrices(slow, "1", file)
    assert [first.find(key) for key in (KEY, KEY._replace(tier=None))] == [TARIFF, None]
    second = CachedPrices(slow, "1", file)
    assert [second.find(key) for key in (KEY, KEY._replace(tier=None))] == [TARIFF, None]
    assert (slow.lookups, second.name) == (2, "list 1")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [*file.parent.iterdir()] == [file]


def test_another_package_is_looked_up_anew(file: Path, slow: SlowSource) -> None:
    """And so is one whose prices have changed since, by what it knew then."""
    CachedPrices(slow, "1", file).find(KEY)
    CachedPrices(slow, "2", file).find(KEY)
    assert slow.lookups == 2
    slow.valid_until = time.time() - 1
    CachedPrices(slow, "3", file).find(KEY)
    CachedPrices(slow, "3", file).find(KEY)
    assert slow.lookups == 4


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x90", b"not at all"])
def test_a_damaged_file_is_none(file: Path, slow: SlowSource, content: bytes) -> None:
    """It is written anew."""
    file.parent.mkdir()
    file.write_bytes(content)
    assert CachedPrices(slow, "1", file).find(KEY) == TARIFF
    CachedPrices(slow, "1", file).find(KEY)
    assert slow.lookups == 1


def test_without_a_file_all_is_as_it_is(tmp_path: Path, slow: SlowSource) -> None:
    """Nowhere to write: no home, or a file in the place of the folder."""
    tmp_path.joinpath("taken").touch()
    for file in (None, tmp_path / "taken" / "prices"):
        prices = CachedPrices(slow, "1", file)
        assert [prices.find(KEY), prices.find(KEY)] == [TARIFF, TARIFF]
    assert slow.lookups == 2


def test_the_file_is_bounded(file: Path, slow: SlowSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever names pass: so many models, so many writes, and names of such a length."""
    monkeypatch.setattr(tariff_cache, "MAX_ENTRIES", 10)
    monkeypatch.setattr(tariff_cache, "MAX_WRITES", 5)
    prices = CachedPrices(slow, "1", file)
    assert prices.find(KEY._replace(model="x" * 10_000)) is None
    assert slow.lookups == 0
    for number in range(25):
        prices.find(KEY._replace(model=f"m{number}"))
    size = file.stat().st_size
    fresh = CachedPrices(slow, "1", file)
    slow.lookups = 0
    for number in range(25):
        fresh.find(KEY._replace(model=f"m{number}"))
    assert slow.lookups == 20
    assert file.stat().st_size < 3 * size


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere platformdirs says where")
def test_where_the_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the user's cache folder."""
    monkeypatch.setenv("HOME", "/home/u")
    assert find_cache_file({"XDG_CACHE_HOME": "/c"}) == Path("/c/response-store/prices.msgpack")
    assert find_cache_file({}) == Path("/home/u/.cache/response-store/prices.msgpack")
