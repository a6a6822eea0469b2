"""What the commands of mitmproxy's prompt find, in either database."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest

from response_store.errors import StoreError
from response_store.mitmweb.looking import MOST_SHOWN, Question, matching, newest, shown
from tests.unit.query.conftest import anywhere, stored  # noqa: F401 (fixtures)
from tests.unit.query.stored import Stored, packed
from tests.unit.query.stored_in_postgres import (
    StoredInPostgres,
    session_stored,
    stored_in_postgres,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["session_stored", "stored_in_postgres"]
Anywhere: TypeAlias = Stored | StoredInPostgres
LONG = "far behind the beginning: " + "word " * 100 + "Köln 100%"


@pytest.fixture
def filled(anywhere: Anywhere) -> Anywhere:  # noqa: F811 (the fixture)
    """A database with three exchanges, and another tenant's."""
    rows = [
        {"exchange_id": "e-1", "response_id": "resp_1", "model": "gpt-5", "output_text": "Sunny."},
        {"exchange_id": "e-2", "response_id": "resp_2", "model": "o4", "output_text": LONG},
        {"exchange_id": "e-3", "requested_model": "gpt-5", "state": "failed",
         "error_code": "server_error"},
        {"exchange_id": "e-4", "tenant_id": "other", "output_text": "Sunny."},
    ]  # fmt: skip
    for at, row in enumerate(rows):
        anywhere.exchange(**{"started_at": 1000.0 + at, "request_body": packed(b"{}"), **row})
    return anywhere


def answer(where: Anywhere, question: Question) -> str:
    """What is found."""
    with where.open() as query:
        return question.answer(query, "default")


def ids(where: Anywhere, question: Question) -> list[str]:
    """The exchanges of a list, by their numbers."""
    lines = answer(where, question).splitlines()
    found = ["resp_1", "resp_2", "e-3", "e-4"]
    return [name for line in lines for name in found if f", {name}" in line]


def test_newest(filled: Anywhere) -> None:
    """The list has the newest first, a line each, of one tenant."""
    assert ids(filled, newest(10)) == ["e-3", "resp_2", "resp_1"]
    assert ids(filled, newest(1)) == ["e-3"]
    assert answer(filled, newest(3)).splitlines()[2].endswith("gpt-5, completed, resp_1: Sunny.")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["sunny"], ["resp_1"]),
        (["GPT-5"], ["e-3", "resp_1"]),
        (["gpt-5", "server_error"], ["e-3"]),
        (["Köln"], ["resp_2"]),
        (["100%"], ["resp_2"]),
        (["%"], ["resp_2"]),
        (["resp_1"], ["resp_1"]),
        (["respX1"], []),
        (["resp_", "nothing"], []),
    ],
)
def test_matching(filled: Anywhere, words: Sequence[str], found: list[str]) -> None:
    """Every word must occur somewhere, in a name or anywhere in the answer, in any case."""
    assert ids(filled, matching(words)) == found


def test_nothing(filled: Anywhere) -> None:
    """That nothing is found is said."""
    assert answer(filled, matching(["nowhere"])) == "none"


def test_shown(filled: Anywhere) -> None:
    """One exchange is shown as a conversation, found by the beginning of its id."""
    text = answer(filled, shown("resp_1"))
    assert text.endswith("--- assistant\nSunny.\n")
    assert "model           gpt-5" in text
    with pytest.raises(StoreError, match="nothing is stored under 'resp_9'"):
        answer(filled, shown("resp_9"))


def test_long_conversations_are_cut(filled: Anywhere) -> None:
    """A log is no place for a book; it is told where the whole is."""
    filled.exchange("e-5", output_text="x" * (2 * MOST_SHOWN))
    text = answer(filled, shown("e-5"))
    assert len(text) < MOST_SHOWN + 100
    assert text.endswith("\nThe whole: response-store show e-5")
