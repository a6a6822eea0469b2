"""One test for a whole table, where a test for each line would cost more than what it runs.

    @each("word", WORDS)
    def test_refused(word: str) -> None: ...

Use it where the cases are many, quick and pure: they share the fixtures of the one test. A failure
names the case at its end; the cases behind it are not tried.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

Test = Callable[..., None]


def each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Return what makes a test run for each case, which it takes as arguments of these names."""
    several = isinstance(names, tuple)
    table = [dict(zip(names, case, strict=True)) if several else {names: case} for case in cases]
    assert table, "no case"

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run_all(**others: Any) -> None:
            for case in table:
                try:
                    test(**case, **others)
                except BaseException as error:
                    error.add_note(f"{case!r:.400}")
                    raise

        signature = inspect.signature(test)
        left = [each for each in signature.parameters.values() if each.name not in table[0]]
        run_all.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run_all

    return decorate
