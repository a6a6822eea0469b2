"""What the tests of the ingester share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.ingest.bench import Bench

MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(tmp_path: Path) -> Iterator[MakeBench]:
    """Make a bench; all are closed after the test."""
    benches: list[Bench] = []

    def make(text: str = "", **options: object) -> Bench:
        benches.append(Bench(tmp_path, text, **options))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    """A bench with the default settings."""
    return make_bench()
