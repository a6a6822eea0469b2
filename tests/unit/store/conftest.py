"""Benches whose threads end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.unit.store.scripted import Bench, thread_of

MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench() -> Iterator[MakeBench]:
    """Makes benches; afterwards no ticket is left without a fate and no thread runs."""
    made: list[Bench] = []

    def make(**how: Any) -> Bench:
        made.append(Bench(**how))
        return made[-1]

    yield make
    for bench in made:
        bench.store.may_go_on.set()
        bench.close(1)
        if bench.writer._thread is not None:
            thread_of(bench.writer).join(5)
            assert not thread_of(bench.writer).is_alive()
        assert bench.writer.queue.records == 0
        assert bench.writer.queue.bytes == 0


@pytest.fixture
def bench(make_bench: MakeBench) -> Bench:
    """A writer that runs, before a store that works."""
    return make_bench().start()
