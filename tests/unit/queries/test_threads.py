"""Which responses a thread has, and in which order."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from response_store.errors import StoreError
from response_store.queries import threads
from response_store.queries.exchanges import Query
from response_store.queries.threads import ThreadNode
from tests.unit.queries.conftest import Anywhere
from tests.unit.queries.stored import Stored

LONG = 1000


@pytest.fixture
def reader(anywhere: Anywhere) -> Iterator[Query]:
    with anywhere.open() as opened:
        yield opened


def followed(reader: Query, identifier: str, tenant: str = "default") -> list[ThreadNode]:
    """The nodes of a thread."""
    with reader.snapshot() as tables:
        return [*threads.find_thread(tables, tenant, identifier).nodes()]


def named(node: ThreadNode) -> str | None:
    """The response of a node, else its exchange."""
    exchange, response = node.entry.exchange, node.entry.response
    if exchange is None:
        return response.id if response else None
    return exchange.response_id or exchange.exchange_id


def ids(reader: Query, identifier: str, tenant: str = "default") -> str:
    """The ids of a thread, in one line."""
    return " ".join(str(named(node)) for node in followed(reader, identifier, tenant))


def continues(reader: Query, identifier: str) -> tuple[str | None, bool]:
    """What the oldest of a thread continues, and whether it is only too far back."""
    with reader.snapshot() as tables:
        found = threads.find_thread(tables, "default", identifier)
        return found.continues, found.cut


def link(stored: Anywhere, name: str, previous: str | None = None, **columns: object) -> None:
    """Add a response that continues another one; its letter says when it was begun."""
    began = {"started_at": float(ord(name[0]))}
    row = {"response_id": name, "previous_response_id": previous, **began, **columns}
    stored.exchange(f"e-{name}", **row)


def chain(stored: Anywhere, names: str, **columns: object) -> None:
    """Add responses of which each continues the one before."""
    before = None
    for name in names.split():
        link(stored, name, before, **columns)
        before = name


@pytest.mark.parametrize("identifier", ["a", "b", "d", "e-c"])
def test_a_thread_is_whole_from_any_member(
    anywhere: Anywhere, reader: Query, identifier: str
) -> None:
    """Whichever is asked for, by either id, the oldest comes first and the newest last."""
    chain(anywhere, "a b c d")
    link(anywhere, "z")
    assert ids(reader, identifier) == "a b c d"
    assert continues(reader, identifier) == (None, False)


def test_a_beginning_is_enough(anywhere: Anywhere, reader: Query) -> None:
    """A thread is found as anything is; an unknown id is the same error."""
    chain(anywhere, "resp_a resp_b")
    assert ids(reader, "resp_b") == ids(reader, "e-resp_a") == "resp_a resp_b"
    with pytest.raises(StoreError, match="is not found for tenant"):
        followed(reader, "resp_c")
    with pytest.raises(StoreError, match="more than one"):
        followed(reader, "resp_")


def test_a_missing_link_ends_it(anywhere: Anywhere, reader: Query) -> None:
    """Where a response is not stored the thread begins behind it, and tells its name."""
    link(anywhere, "b", "a")
    link(anywhere, "c", "b")
    assert ids(reader, "c") == "b c"
    assert continues(reader, "c") == ("a", False)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("links", "thread"),
    [
        ({"a": "a"}, "a"),
        ({"a": "b", "b": "a"}, "a b"),
        ({"a": "c", "b": "a", "c": "b"}, "b c a"),
        ({"a": "c", "b": "a", "c": "b", "d": "a"}, "b c a d"),
    ],
)
def test_a_loop_is_walked_once(
    anywhere: Anywhere, reader: Query, links: dict[str, str], thread: str
) -> None:
    """Ids that name one another in a circle have an end, and soon."""
    for name, previous in links.items():
        link(anywhere, name, previous)
    began = time.monotonic()
    found = ids(reader, "a").split()
    assert time.monotonic() - began < 5
    assert sorted(found) == sorted(links)
    assert set(found) == set(thread.split())
    assert continues(reader, "a") == (None, False)


def test_another_tenant_sees_nothing(anywhere: Anywhere, reader: Query) -> None:
    """No link of one tenant leads to a response of another, in any direction."""
    chain(anywhere, "a b c", conversation_id="conv")
    link(anywhere, "d", "c", tenant_id="other", conversation_id="conv")
    link(anywhere, "b2", "a", tenant_id="other")
    anywhere.response("b", tenant_id="other")
    assert ids(reader, "b") == "a b c"
    assert ids(reader, "d", "other") == "d"
    assert ids(reader, "b", "other") == "b"
    assert all(not node.branches for node in followed(reader, "b"))
    assert all(node.entry.response is None for node in followed(reader, "b"))
    with pytest.raises(StoreError, match="is not found for tenant"):
        followed(reader, "a", "other")


def test_the_branch_that_was_begun_last_goes_on(anywhere: Anywhere, reader: Query) -> None:
    """Above the response that is asked for there is one way; below, the latest is taken."""
    chain(anywhere, "a b e")
    link(anywhere, "c", "a")
    link(anywhere, "d", "c")
    # Somebody asked after the older branch again, later.
    anywhere.exchange(
        "poll", response_id="b", previous_response_id="a", started_at=1000.0, state="completed"
    )
    assert ids(reader, "a") == "a c d"
    assert ids(reader, "b") == "a b e"
    branches = {named(node): node.branches for node in followed(reader, "b")}
    assert branches == {"a": ("b", "c"), "b": (), "e": ()}


def test_the_furthest_state_stands_for_a_response(anywhere: Anywhere, reader: Query) -> None:
    """Of several exchanges the best one is shown, once, with the stored response."""
    link(anywhere, "a")
    link(anywhere, "b", "a")
    anywhere.exchange("cut", response_id="b", started_at=1000.0, state="interrupted")
    anywhere.exchange("new", response_id="b", started_at=999.0, output_text="again")
    anywhere.response("b", response_object='{"id":"b"}')
    first, second = (node.entry for node in followed(reader, "b"))
    assert first.exchange is not None
    assert second.exchange is not None
    assert (first.exchange.exchange_id, second.exchange.exchange_id) == ("e-a", "new")
    assert second.response is not None
    assert second.response.response_object == '{"id":"b"}'


def test_a_response_without_an_exchange_is_a_link(anywhere: Anywhere, reader: Query) -> None:
    """What another program has written can be continued."""
    anywhere.response("a")
    chain(anywhere, "b c")
    link(anywhere, "d", "a")
    assert ids(reader, "d") == ids(reader, "a") == "a d"


def test_an_exchange_without_a_response_ends_its_thread(anywhere: Anywhere, reader: Query) -> None:
    """A request that was refused continues what it names, and nothing continues it."""
    chain(anywhere, "a b c")
    for name, previous in (("r1", "b"), ("r2", "x"), ("r3", None)):
        anywhere.exchange(name, previous_response_id=previous, state="refused", started_at=500.0)
    assert ids(reader, "r1") == "a b r1"
    assert ids(reader, "r2") == "r2"
    assert continues(reader, "r2") == ("x", False)
    assert ids(reader, "r3") == "r3"
    assert ids(reader, "b") == "a b c"


def test_a_conversation_is_in_the_order_of_time(anywhere: Anywhere, reader: Query) -> None:
    """Where no response is named, the conversation links; requests that made none are no part."""
    for name in ("c", "a", "b"):
        link(anywhere, name, conversation_id="conv")
    link(anywhere, "x", conversation_id="other")
    anywhere.exchange("refused", conversation_id="conv", started_at=98.5, state="refused")
    anywhere.exchange("poll", response_id="a", conversation_id="conv", started_at=1000.0)
    for asked in ("a", "b", "c"):
        assert ids(reader, asked) == "a b c"
    assert ids(reader, "refused") == "a b refused"


def test_both_kinds_of_link(anywhere: Anywhere, reader: Query) -> None:
    """What leaves a conversation by naming a response takes the conversation's past along."""
    for name in ("a", "b"):
        link(anywhere, name, conversation_id="conv")
    link(anywhere, "d", "b")
    link(anywhere, "e", "d")
    link(anywhere, "c", conversation_id="conv")
    assert ids(reader, "e") == "a b d e"
    assert ids(reader, "c") == "a b c"
    assert ids(reader, "b") == "a b d e"


def test_a_conversation_stands_in_for_a_missing_link(anywhere: Anywhere, reader: Query) -> None:
    """What a response continues is not stored, but its conversation is known."""
    link(anywhere, "a", conversation_id="conv")
    link(anywhere, "c", "lost", conversation_id="conv")
    assert ids(reader, "c") == "a c"
    assert continues(reader, "c") == (None, False)


def test_a_very_long_thread_is_cut(
    anywhere: Anywhere, reader: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither way is followed further than the limit, and that is told."""
    monkeypatch.setattr(threads, "DEPTH", 3)
    chain(anywhere, "a b c d e f g h i j")
    assert ids(reader, "f") == "c d e f g h i"
    assert continues(reader, "f") == ("b", True)
    assert continues(reader, "d") == (None, True)
    for name in "KLMNOPQRST":
        link(anywhere, name, conversation_id="conv")
    assert ids(reader, "O") == "L M N O P Q R"


def a_long_one(stored: Anywhere, **columns: object) -> None:
    """Add many responses of which each continues the one before, warm-ups and polls among them."""
    rows = [
        {
            "exchange_id": f"e{at}", "response_id": f"r{at}", "started_at": float(at),
            "previous_response_id": f"r{at - 1}" if at else None, "output_text": "said " * 100,
            "request_body": bytes(1000),
        }
        for at in range(LONG)
    ]  # fmt: skip
    polls = [row | {"exchange_id": f"p{row['exchange_id']}"} for row in rows[::10]]
    stored.exchanges([row | columns for row in (*rows, *polls)])


@pytest.mark.exhaustive
@pytest.mark.parametrize("identifier", [f"r{LONG - 1}", "r0", "r500"])
def test_a_thousand_turns_take_less_than_a_second(
    anywhere: Anywhere, reader: Query, identifier: str
) -> None:
    """A long thread is read at once, also where nobody has counted the tables' rows yet."""
    a_long_one(anywhere)
    began = time.monotonic()
    found = followed(reader, identifier)
    assert time.monotonic() - began < 1
    assert [named(node) for node in found] == [f"r{at}" for at in range(LONG)]


def test_a_loop_in_a_long_thread_has_an_end(anywhere: Anywhere, reader: Query) -> None:
    """The first names the last: each is there once."""
    a_long_one(anywhere)
    anywhere.script(
        f"UPDATE {{exchanges}} SET previous_response_id = 'r{LONG - 1}' WHERE response_id = 'r0'"
    )
    assert len(followed(reader, "r500")) == LONG


STATEMENTS = {
    "older": (threads.OLDER, "(response_id=?)"),
    "newer": (threads.NEWER, "(previous_response_id=?)"),
    "conversation": (threads.CONVERSATION, "(conversation_id=?)"),
    "successors": (threads.SUCCESSORS, "(previous_response_id=?)"),
    "standing": (threads.select_representatives(100), "(response_id=?)"),
    "branches": (threads.select_representatives(100), "(previous_response_id=?)"),
    "exchanges": (threads.select_exchanges(100), "(exchange_id=?)"),
    "responses": (threads.select_responses(100), "(tenant_id=? AND id=?)"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_uses_an_index(stored: Stored, name: str) -> None:
    """SQLite walks through nothing but what the statement itself has gathered."""
    statement, searched_by = STATEMENTS[name]
    a_long_one(stored, conversation_id="conv")
    with stored.open() as query:
        filled = query._reader._sql(statement)
    for prepare in ("", "ANALYZE"):
        stored.script(prepare)
        with closing(sqlite3.connect(stored.path)) as connection:
            values = ["1"] * filled.count("?")
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {filled}", values)]
        assert any(searched_by in step for step in plan), plan
        assert not any(re.match("SCAN (TABLE )?(openai|turn)", step) for step in plan), plan
