"""What is left out of rows is there for whoever reads them, in both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pytest

from response_store.backends.postgres.store import PostgresStore
from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, InputColumns, SqliteTarget
from response_store.errors import StoreError
from response_store.format.bodies import unpack_body
from response_store.format.exchange import build_object, read_exchanged
from response_store.model.records import Record
from response_store.queries.bodies import read_input
from response_store.queries.lookup import LookupResult
from response_store.search.texts import ROW, Row, extract_texts
from response_store.serving.answers import ServedLookup
from response_store.serving.request import Fields
from tests.harness.agent_session import Agent, Turn, build_records, take_turns
from tests.harness.postgres_shared import target_of
from tests.unit.queries.conftest import Anywhere
from tests.unit.queries.stored import NAMES, Stored

TURNS = take_turns(24)
LAST = "resp_s1_23"
TENANT = "default"


@contextmanager
def opened_store(anywhere: Anywhere) -> Iterator[SqliteStore | PostgresStore]:
    """The store of a database."""
    store = (
        SqliteStore(SqliteTarget(anywhere.path), NAMES, Durability.PROCESS)
        if isinstance(anywhere, Stored)
        else PostgresStore(target_of(anywhere.database.url()), NAMES)
    )
    with closing(store):
        yield store


def fill(anywhere: Anywhere, records: Sequence[Record], size: int = 8) -> None:
    """Write records, so many a batch."""
    with opened_store(anywhere) as store:
        for at in range(0, len(records), size):
            store.write(records[at : at + size])


@pytest.fixture
def session(anywhere: Anywhere) -> Anywhere:
    """A database with a session."""
    fill(anywhere, [*build_records(TURNS)])
    return anywhere


def count_based(anywhere: Anywhere) -> int:
    with anywhere.open() as query:
        statement = "SELECT count(*) FROM {exchanges} WHERE request_base_id IS NOT NULL"
        return int(query.reader.rows(statement)[0][0])


def find(anywhere: Anywhere, identifier: str) -> LookupResult:
    with anywhere.open() as query:
        return query.find(TENANT, identifier)


def test_little_is_stored(session: Anywhere) -> None:
    """Input and messages are empty, and most bodies are packed against another one."""
    with session.open() as query:
        rows = query.reader.rows("SELECT input, messages FROM {responses}")
    assert set(rows) == {("[]", "[]")}
    assert count_based(session) > len(TURNS) * 2 // 3


def test_each_body_comes_back(session: Anywhere) -> None:
    """By id, by response and in a thread, each body is the one that was sent."""
    with session.open() as query, query.snapshot() as lookup:
        for number, turn in enumerate(TURNS):
            name = f"resp_s1_{number}"
            by_id = lookup.exchange(TENANT, f"e{number:04}")
            in_thread = lookup.nodes(TENANT, [name])[name].entry.exchange
            for row in (by_id, lookup.latest_exchange(TENANT, name), in_thread):
                assert row is not None
                assert unpack_body(row.request_body or b"") == turn.body


@pytest.mark.exhaustive
def test_all_is_as_where_it_is_written(session: Anywhere, stored_in_full: Stored) -> None:
    """What is shown of each response, served of it and indexed is the same, to the letter."""
    for number in range(len(TURNS)):
        name = f"resp_s1_{number}"
        here, there = find(session, name), find(stored_in_full, name)
        assert build_object(here) == build_object(there)
        assert here.response == there.response
        assert read_exchanged(here) == read_exchanged(there)
        assert served_input(session, name) == served_input(stored_in_full, name)
        assert indexed(session, f"e{number:04}") == indexed(stored_in_full, f"e{number:04}")


def served_input(anywhere: Anywhere, response_id: str) -> str:
    with anywhere.open() as query:
        found = ServedLookup(query.reader).find_served(TENANT, response_id, Fields.INPUT)
    assert found is not None
    return found.input


def indexed(anywhere: Anywhere, exchange_id: str) -> object:
    with anywhere.open() as query:
        (columns,) = query.reader.rows(ROW, (exchange_id,))
    return extract_texts(Row(*columns))


@pytest.fixture(scope="module")
def stored_in_full(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The same session where nothing is left out and each body is alone."""
    stored = Stored(tmp_path_factory.mktemp("full") / "responses.db")
    with opened_store(stored) as store:
        for record in build_records(TURNS, InputColumns.ALWAYS):
            store.write([record])
            store._packer.clear()
    assert count_based(stored) == 0
    with stored.open() as query:
        assert query.reader.rows("SELECT count(*) FROM {responses} WHERE input = '[]'") == [(0,)]
    return stored


def test_output_that_only_streamed(
    anywhere: Anywhere, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Items that the response object lacks are still written: nothing else has them."""
    full = Stored(tmp_path_factory.mktemp("full") / "responses.db")
    turn = Agent().take()
    answer = json.loads(turn.answer)
    streamed = b"".join(
        b"data: %b\n\n" % json.dumps(event).encode()
        for event in (
            {"type": "response.output_item.done", "output_index": 0, "item": answer["output"][0]},
            {"type": "response.completed", "response": answer | {"output": []}},
        )
    )
    turns = [Turn(turn.body, streamed)]
    fill(anywhere, [*build_records(turns)])
    fill(full, [*build_records(turns, InputColumns.ALWAYS)])
    here, there = find(anywhere, answer["id"]), find(full, answer["id"])
    assert here.response == there.response
    assert build_object(here) == build_object(there)
    assert here.response is not None
    assert json.loads(here.response.messages)[-1] == answer["output"][0]


@pytest.mark.parametrize(
    "body",
    [
        {"input": "a question", "store": False},
        {"response": {"input": [{"role": "user", "content": "nested"}], "store": False}},
        {"store": False},
        {"input": {"odd": 1}, "store": False},
        {"input": " [1, 2] \n", "store": False},
    ],
)
def test_inputs_of_every_kind(
    anywhere: Anywhere, tmp_path_factory: pytest.TempPathFactory, body: object
) -> None:
    """A text becomes a message, a socket's message is looked into, what is no input is none."""
    full = Stored(tmp_path_factory.mktemp("full") / "responses.db")
    turns = [Turn(json.dumps(body).encode(), Agent().take().answer)]
    fill(anywhere, [*build_records(turns)])
    fill(full, [*build_records(turns, InputColumns.ALWAYS)])
    assert find(anywhere, "resp_s1_0").response == find(full, "resp_s1_0").response


def test_a_missing_base(session: Anywhere) -> None:
    """The row is still there, and whoever wants its body is told what is wrong."""
    session.script("DELETE FROM {exchanges} WHERE request_base_id IS NULL")
    entry = find(session, "e0001")
    assert entry.exchange is not None
    with pytest.raises(StoreError, match="packed against is missing"):
        unpack_body(entry.exchange.request_body or b"")
    assert build_object(entry)["request"] is None
    with session.open() as query:
        assert read_input(query.reader, TENANT, "resp_s1_1", "[]") == "[]"
    assert served_input(session, "resp_s1_1") == "[]"
    indexed(session, "e0001")


@pytest.mark.parametrize("other", ["another body", "another tenant", "itself", "on another"])
def test_a_base_that_is_another_one(session: Anywhere, other: str) -> None:
    """Nothing else is taken for it: not another body, nor another tenant's, nor one on a base."""
    change = {
        "another body": "request_body = (SELECT request_body FROM {exchanges} AS other"
        " WHERE other.request_base_id IS NULL AND other.exchange_id <> {exchanges}.exchange_id"
        " LIMIT 1)",
        "another tenant": "tenant_id = 'other'",
        "itself": "request_base_id = exchange_id",
        "on another": "request_base_id = 'e0001'",
    }[other]
    session.script(f"UPDATE {{exchanges}} SET {change} WHERE exchange_id = 'e0000'")
    entry = find(session, "e0001")
    assert entry.exchange is not None
    with pytest.raises(StoreError, match="The stored body is damaged"):
        unpack_body(entry.exchange.request_body or b"")


def test_a_request_that_has_a_taken_id(anywhere: Anywhere) -> None:
    """Of several exchanges with one id, the input is that of the one whose response is stored."""
    first, second = take_turns(1, seed=1)[0], take_turns(1, seed=2)[0]
    same = second.answer.replace(b"resp_s2_0", b"resp_s1_0")
    fill(anywhere, [*build_records([first, Turn(second.body, same)])])
    entry = find(anywhere, "e0001")
    assert entry.id_was_taken
    with anywhere.open() as query:
        found = json.loads(read_input(query.reader, TENANT, "resp_s1_0", "[]"))
    assert found == json.loads(first.body)["input"]
