"""What changes from turn to turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from response_store.format import turn_differences
from response_store.format.turn_differences import list_turn_differences
from response_store.queries.session_turns import find_session_thread
from tests.unit.queries.stored import Stored, packed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "responses.db")


def talk(stored: Stored, name: str, *texts: str, **columns: Any) -> None:
    items = [{"role": "user", "content": text} for text in texts]
    row = {
        "started_at": 1767225600.0 + int(name[-1]),
        "session_id": "s",
        "request_body": packed(json.dumps({"input": items}).encode()),
    }
    stored.exchange(name, **row | columns)


def list_pairs(stored: Stored) -> list[tuple[str, str | None, list[str]]]:
    with stored.open() as query, query.snapshot():
        thread = find_session_thread(query.reader, "default", "s")
        return [
            (
                turn.section.identifier,
                turn.before.identifier if turn.before else None,
                [one.text for one in turn.difference.items if one.sign == "+"]
                if turn.difference
                else [],
            )
            for turn in list_turn_differences(thread)
        ]


def test_each_turn_is_compared_with_what_it_goes_on_from(stored: Stored) -> None:
    """Its parent, also where another turn was between, else the same agent's turn before."""
    talk(stored, "e1", "a")
    talk(stored, "e2", "check", agent="review")
    talk(stored, "e3", "a", "b", parent_exchange_id="e1")
    talk(stored, "e4", "a", "c", parent_exchange_id="e1")
    talk(stored, "e5", "check", "again", agent="review")
    assert list_pairs(stored) == [
        ("e1", None, []),
        ("e2", None, []),
        ("e3", "e1", ["b"]),
        ("e4", "e1", ["c"]),
        ("e5", "e2", ["again"]),
    ]


def test_only_so_many_turns_are_held(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent that is too far back is not held: the turn before stands for it."""
    monkeypatch.setattr(turn_differences, "MAX_HELD", 2)
    talk(stored, "e1", "a")
    talk(stored, "e2", "b")
    talk(stored, "e3", "c")
    talk(stored, "e4", "a", "d", parent_exchange_id="e1")
    assert list_pairs(stored)[-1][:2] == ("e4", "e3")
