"""What the tests of the ingester share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from response_store.diagnostics import Counters
from response_store.redaction.patterns import Patterns
from response_store.redaction.redactor import Redactor
from tests.contract.backends import BACKENDS
from tests.contract.contents import Contents
from tests.unit.ingest.bench import Bench
from tests.unit.ingest.test_lineage import Conversation

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


@pytest.fixture
def talk() -> Conversation:
    """A client."""
    return Conversation()


@pytest.fixture
def redactor() -> Redactor:
    """What takes keys of GitHub out."""
    return Redactor(Patterns(["github"], {}), bytes, Counters())


@pytest.fixture(params=["sqlite", "postgres"])
def contents(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Contents]:
    """A database that outlives a process."""
    backend = BACKENDS[request.param](tmp_path)
    yield Contents(backend)
    backend.close()
