"""Sessions, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from response_store.model.selection import Selection
from response_store.queries import sessions
from response_store.queries.exchanges import Cursor
from response_store.queries.sessions import SessionSummary, list_sessions
from tests.harness.each import each
from tests.unit.queries.sessions_stored import BEGAN, turn, work

if TYPE_CHECKING:
    from tests.unit.queries.conftest import Anywhere

OURS = Selection(tenant="default")


def listed(stored: Anywhere, selection: Selection = OURS, limit: int = 20) -> list[SessionSummary]:
    """All sessions, over as many pages as they take."""
    found: list[SessionSummary] = []
    before: Cursor | None = None
    with stored.open() as query:
        while True:
            page = list_sessions(query.reader, selection, limit=limit, before=before)
            found += page.sessions
            before = page.next
            if before is None:
                return found


def test_a_session_in_a_line(anywhere: Anywhere) -> None:
    """A session has its first question, its turns, agents, models, errors and times."""
    work(anywhere)
    alone, whole, other = listed(anywhere)
    assert (alone.session_id, alone.is_lone, alone.question) == ("alone", True, "What time is it?")
    assert (whole.session_id, whole.is_lone) == ("s-work", False)
    assert (whole.question, whole.label) == ("Tidy up", "tidy-1")
    assert whole.agents == ("review",)
    assert whole.models == ("gpt-5.1", "gpt-5.1-mini")
    assert (whole.exchanges, whole.turns, whole.errors, whole.open) == (7, 6, 1, 0)
    assert (whole.started_at, whole.last_started_at) == (BEGAN, BEGAN + 330)
    assert whole.ended_at == BEGAN + 360
    assert (other.session_id, other.open, other.models, other.label) == ("s-other", 1, (), None)


def test_tokens_count_once_by_model_tier_and_agent(anywhere: Anywhere) -> None:
    """A response that came twice counts once, and what tokens cost is kept apart."""
    work(anywhere)
    whole = listed(anywhere)[1]
    assert whole.sum_tokens("input_tokens") == 315
    assert whole.sum_tokens("cached_tokens") == 120
    assert whole.sum_tokens("output_tokens") == 33
    assert whole.sum_tokens("cache_write_tokens") is None
    found = {
        (one.model, one.service_tier, one.agent): (one.turns, one.input_tokens)
        for one in whole.usage
    }
    assert found == {
        ("gpt-5.1", None, None): (4, 300),
        ("gpt-5.1-mini", None, "review"): (1, 7),
        ("gpt-5.1-mini", "flex", "review"): (1, 8),
    }


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_neither_repeat_nor_skip(anywhere: Anywhere, limit: int) -> None:
    """A session whose turns lie around those of others stands on one page alone."""
    work(anywhere)
    anywhere.exchanges([turn(f"m{at}", at / 2, f"s-{at % 3}") for at in range(20)])
    ids = [one.session_id for one in listed(anywhere, limit=limit)]
    assert ids == ["s-1", "s-0", "s-2", "alone", "s-work", "s-other"]


def test_a_walk_that_ends_early_goes_on(
    anywhere: Anywhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks at so many exchanges at most; the next one goes on behind them."""
    monkeypatch.setattr(sessions, "MAX_WALKED", 2)
    monkeypatch.setattr(sessions, "_FIRST_WALK", 2)
    work(anywhere)
    assert [one.session_id for one in listed(anywhere)] == ["alone", "s-work", "s-other"]


@pytest.fixture
def worked(anywhere: Anywhere) -> Anywhere:
    """The database with some sessions."""
    work(anywhere)
    return anywhere


@each(
    ("selection", "found"),
    [
        (Selection(labels=("tidy-1",)), ["s-work"]),
        (Selection(labels=("TIDY*",)), ["s-work"]),
        (Selection(labels=("TIDY-1",)), []),
        (Selection(agents=("rev*",)), ["s-work"]),
        (Selection(states=("open",)), ["s-other"]),
        (Selection(models=("gpt-5.1-mini",)), ["s-work"]),
        (Selection(sessions=("s-other",), exchange_ids=("alone",)), ["alone", "s-other"]),
        (Selection(until=BEGAN + 1), ["s-work"]),
        (Selection(recorder_ids=("r1",), since=BEGAN + 360), ["alone"]),
    ],
)
def test_filters_choose_sessions(worked: Anywhere, selection: Selection, found: list[str]) -> None:
    """A session with one exchange that passes is listed, and counted whole."""
    chosen = Selection(**{**{n: getattr(selection, n) for n in Selection.__struct_fields__},
                          "tenant": "default"})  # fmt: skip
    for limit in (1, 20):
        listed_now = listed(worked, chosen, limit)
        assert [one.session_id for one in listed_now] == found
        assert {one.turns for one in listed_now if one.session_id == "s-work"} <= {6}


def test_answers_of_one_id_are_turns_of_their_own(anywhere: Anywhere) -> None:
    """Some servers of Chat Completions give every answer the same id."""
    columns = {"api": "chat_completions", "response_id": "chatcmpl-1", "input_tokens": 5}
    anywhere.exchanges([turn(f"e{at}", at, "s") | columns for at in range(3)])
    (found,) = listed(anywhere)
    assert (found.turns, found.sum_tokens("input_tokens")) == (3, 15)
