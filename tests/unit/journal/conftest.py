"""Benches that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.journal.bench import JournalBench

MakeBench = Callable[..., JournalBench]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def make_bench(path: Path) -> Iterator[MakeBench]:
    """Makes benches on one journal; no thread of theirs outlives the test."""
    made: list[JournalBench] = []

    def make(**how: Any) -> JournalBench:
        made.append(JournalBench(how.pop("path", path), **how))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: MakeBench) -> JournalBench:
    """A journal that is open."""
    return make_bench().open()
