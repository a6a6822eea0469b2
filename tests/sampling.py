"""Which tests run where: one Python runs all of them, the others a sample.

The same code runs on each Python, so most of what a long table shows on one it shows on all. Where
`TEST_SAMPLE` is a number above 1, a test over a table takes one of so many cases, a property so
many times fewer examples, and a test that is marked `one_python` doesn't run. `TEST_HALF`, 0 or 1,
leaves half of the functions in `tests/unit` to whom the other number is given. `TEST_WHOLE` names
the environment that runs everything: where there is none, the others do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from zlib import crc32

import pytest

MARK = "one_python"


@cache
def one_of() -> int:
    """Of how many cases one is taken; 1 for all of them."""
    asked = int(os.environ.get("TEST_SAMPLE", "1"))
    return asked if Path(os.environ.get("TEST_WHOLE", ".")).exists() else 1


def examples(most: int) -> int:
    """How many examples of a property are tried, where `most` are all."""
    return max(most // one_of(), 10)


def part(items: Sequence[pytest.Item], one: int) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The tests to run and those to leave out: each function that is not marked runs somewhere."""
    tables = Counter(_function(item) for item in items)
    seen: Counter[str] = Counter()
    run, left = [], []
    for item in items:
        function = _function(item)
        # Not always the first: where the cases are databases, each has its turn.
        first = crc32(function.encode()) % min(one, tables[function])
        taken = seen[function] % one == first and item.get_closest_marker(MARK) is None
        taken = taken and _is_of_our_half(function)
        (run if taken else left).append(item)
        seen[function] += 1
    return run, left


def _is_of_our_half(function: str) -> bool:
    half = os.environ.get("TEST_HALF")
    if half is None or not function.startswith("tests/unit/"):
        return True
    return crc32(function.encode()[::-1]) % 2 == int(half)


def _function(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]
