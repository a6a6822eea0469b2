"""A test of a whole table: it tries each line, and says which one fails."""

from __future__ import annotations

import inspect

import pytest

from tests.harness.each import each


def test_every_case_is_tried() -> None:
    """What is left of the arguments is given to each."""
    tried: list[tuple[int, str, str]] = []

    @each(("number", "word"), [(1, "a"), (2, "b")])
    def run(number: int, word: str, fixture: str) -> None:
        tried.append((number, word, fixture))

    assert [*inspect.signature(run).parameters] == ["fixture"]
    run(fixture="f")
    run(fixture="g")
    assert tried == [(1, "a", "f"), (2, "b", "f"), (1, "a", "g"), (2, "b", "g")]


def test_a_failure_names_the_case() -> None:
    """The error is that of the test."""

    @each("number", iter([1, 2]))
    def run(number: int) -> None:
        assert number == 1

    with pytest.raises(AssertionError) as caught:
        run()
    assert caught.value.__notes__ == ["{'number': 2}"]


def test_a_table_without_cases() -> None:
    """It is no test."""
    with pytest.raises(AssertionError, match="no case"):
        each("number", [])
