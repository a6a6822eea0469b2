"""Which tests a Python runs that is not the one that runs them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import sampling

TABLE = [f"test_a.py::test_table[{at}]" for at in range(12)]
ALONE = ["test_a.py::test_one", "test_a.py::test_two"]


class Item:
    """As much of a test as is looked at."""

    def __init__(self, nodeid: str, *marks: str) -> None:
        self.nodeid = nodeid
        self.marks = marks

    def get_closest_marker(self, name: str) -> Any:
        return name if name in self.marks else None


def run_of(*items: Any) -> list[str]:
    run, left = sampling.part(items, 5)
    assert {*map(id, run), *map(id, left)} == set(map(id, items))
    return [item.nodeid for item in run]


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the environment of the run says is looked at anew."""
    monkeypatch.delenv("TEST_HALF", raising=False)
    sampling.one_of.cache_clear()
    yield
    sampling.one_of.cache_clear()


def test_each_function_runs() -> None:
    """A test without a table is there, and one case in five of a table."""
    run = run_of(*map(Item, ALONE + TABLE))
    assert set(ALONE) < set(run)
    assert 2 <= len(run) - len(ALONE) <= 3


def test_short_tables_take_turns() -> None:
    """Of many functions over the same few databases, each database has some."""
    kinds = ("sqlite", "memory", "postgres")
    names = [f"test_a.py::test_{at}[{kind}]" for at in range(30) for kind in kinds]
    run = run_of(*map(Item, names))
    assert len(run) == 30
    assert all(any(f"[{kind}]" in name for name in run) for kind in kinds)


def test_each_function_is_of_one_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two environments share the unit tests; other tests both of them run."""
    names = [f"tests/unit/test_a.py::test_{at}" for at in range(40)]
    others = ["tests/acceptance/test_b.py::test_one"]
    halves = []
    for half in ("0", "1"):
        monkeypatch.setenv("TEST_HALF", half)
        halves.append(set(run_of(*map(Item, names + others))))
    assert halves[0] & halves[1] == {*others}
    assert halves[0] | halves[1] == {*names, *others}
    assert all(len(half) > 12 for half in halves)


def test_marked_ones_are_left_out() -> None:
    """What only one Python runs, this one does not."""
    assert run_of(Item(ALONE[0], sampling.MARK), Item(ALONE[1], "soak")) == [ALONE[1]]


@pytest.mark.parametrize(
    ("asked", "whole", "one", "most"),
    [("5", True, 5, 40), ("5", False, 1, 200), ("1", True, 1, 200), (None, True, 1, 200)],
)
def test_a_sample_needs_a_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    whole: bool,
    one: int,
    most: int,
) -> None:
    """Where the environment that runs everything is missing, this one runs everything."""
    monkeypatch.setenv("TEST_WHOLE", str(tmp_path if whole else tmp_path / "py312"))
    monkeypatch.delenv("TEST_SAMPLE", raising=False)
    if asked is not None:
        monkeypatch.setenv("TEST_SAMPLE", asked)
    assert (sampling.one_of(), sampling.examples(200)) == (one, most)
