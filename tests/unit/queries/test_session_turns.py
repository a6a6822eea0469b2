"""One session: what its id is, and what continues what in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from response_store.errors import StoreError
from response_store.model.selection import Selection
from response_store.queries.session_turns import (
    SessionKey,
    find_last_run,
    find_session,
    list_labels,
    list_turns,
    resolve_selection,
)
from tests.harness.each import each
from tests.unit.queries.sessions_stored import turn, work

if TYPE_CHECKING:
    from tests.unit.queries.conftest import Anywhere

WORK = SessionKey("s-work")


@pytest.fixture
def worked(anywhere: Anywhere) -> Anywhere:
    """The database with some sessions."""
    work(anywhere)
    return anywhere


@each(
    ("identifier", "key"),
    [
        ("s-work", WORK),
        ("s-w", WORK),
        ("w3", WORK),
        ("resp_6", WORK),
        ("al", SessionKey("alone", True)),
        ("alone", SessionKey("alone", True)),
        ("last", SessionKey("alone", True)),
    ],
)
def test_an_id_means_a_session(worked: Anywhere, identifier: str, key: SessionKey) -> None:
    """A session is found by its id, the beginning of it, or what is in it."""
    with worked.open() as query:
        assert find_session(query.reader, "default", identifier) == key


@pytest.mark.parametrize(
    ("identifier", "says"),
    [("s-", "begins more than one session"), ("w", "is no session"), ("", "is no session"),
     ("x1", "list --sessions"), ("\udcff", "no")],
)  # fmt: skip
def test_an_id_that_means_none_or_several(anywhere: Anywhere, identifier: str, says: str) -> None:
    """The error says which there are, or how to list them."""
    work(anywhere)
    with anywhere.open() as query, pytest.raises(StoreError, match=says):
        find_session(query.reader, "default", identifier)


def test_a_tree(anywhere: Anywhere) -> None:
    """A subagent and a fork are one deeper than what they go on from; the same response is none."""
    work(anywhere)
    with anywhere.open() as query:
        turns = list_turns(query.reader, "default", WORK)
    found = [(one.exchange.exchange_id, one.parent, one.depth, one.is_fork) for one in turns]
    assert found == [
        ("w1", None, 0, False),
        ("w2", "w1", 0, False),
        ("w3", "w2", 1, False),
        ("w4", "w3", 1, False),
        ("w5", "w1", 1, True),
        ("w6", "w2", 0, False),
        ("w7", "w2", 0, False),
    ]


def test_odd_parents_end_nothing(anywhere: Anywhere) -> None:
    """A parent that is missing, later, in another session or the turn itself is none."""
    anywhere.exchanges(
        [
            turn("a", 0, "s", parent_exchange_id="a"),
            turn("b", 1, "s", parent_exchange_id="c"),
            turn("c", 2, "s", parent_exchange_id="b"),
            turn("d", 3, "s", parent_exchange_id="other", agent="helper"),
            turn("other", 0, "t"),
        ]
    )
    with anywhere.open() as query:
        turns = list_turns(query.reader, "default", SessionKey("s"))
        (alone,) = list_turns(query.reader, "default", SessionKey("other", True))
    assert [(one.parent, one.depth) for one in turns] == [(None, 0)] * 2 + [("b", 0), (None, 1)]
    assert alone.exchange.exchange_id == "other"


def test_the_newest_run(anywhere: Anywhere) -> None:
    """The newest label is that of the last run, of whatever tenant it is."""
    work(anywhere)
    anywhere.exchanges(
        [
            turn("n1", 20, None, label="b-2", recorder_id="r2"),
            turn("n2", 19, None, label="a-3", recorder_id="r3"),
            turn("n3", 30, None, label="c-4", recorder_id="r4", tenant_id="another"),
        ]
    )
    with anywhere.open() as query:
        assert list_labels(query.reader, 3) == ["c-4", "b-2", "a-3"]
        assert find_last_run(query.reader, "default") == ("b-2", "r2")
        chosen = resolve_selection(query.reader, "default", Selection(recorder_ids=("last",)))
        assert chosen == Selection(labels=("b-2",), recorder_ids=("r2",))
        with pytest.raises(StoreError, match="is of a run"):
            find_last_run(query.reader, "nobody")


def test_a_selection_is_resolved(anywhere: Anywhere) -> None:
    """What was typed becomes whole ids; a session that is one exchange becomes that."""
    work(anywhere)
    typed = Selection(sessions=("s-w", "al"), models=("m",))
    with anywhere.open() as query:
        chosen = resolve_selection(query.reader, "default", typed)
    assert chosen == Selection(sessions=("s-work",), exchange_ids=("alone",), models=("m",))
