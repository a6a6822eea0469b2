"""How PostgreSQL finds what is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from response_store.queries import (
    exchanges,
    lookup,
    session_turns,
    sessions,
    statistics,
    threads,
)
from response_store.queries.exchanges import Query
from response_store.queries.follow_ups import FOLLOWING
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.unit.queries.stored_in_postgres import StoredInPostgres

ROWS = 20_000
FILL = """
INSERT INTO openai_exchanges (exchange_id, tenant_id, response_id, previous_response_id,
    conversation_id, api, transport, state,
    started_at, method, scheme, host, path, recorder_id, output_text, session_id, label)
SELECT md5(n::text), 'default', 'resp_' || md5((n + 1)::text), 'resp_' || md5(n::text),
    'conv_' || n / 100, 'responses', 'http',
    CASE WHEN n %% 1000 = 0 THEN 'open' ELSE 'completed' END, n, 'POST', 'https', 'h', '/', 'r1',
    repeat('said ', 40), md5((n / 30)::text), 'run-' || n / 1000
FROM generate_series(1, %s) AS n"""
FILL_RESPONSES = """
INSERT INTO openai_responses
SELECT tenant_id, response_id, 1, 'm', repeat('{}', 100), '[]', '[]' FROM openai_exchanges"""

DEFAULT_COLLATED = """
SELECT attname FROM pg_attribute JOIN pg_collation ON pg_collation.oid = attcollation
WHERE attrelid = 'openai_exchanges'::regclass AND collname = 'default'"""

NO_VIEWS = "DROP VIEW {exchanges_view}, {exchanges_sessions_view}"
"""The columns of a view keep their types."""

# The statement, its values, and the index that it has to go by.
PLANS = {
    "recent": (exchanges.RECENT, ("default", 21), "idx_openai_exchanges_started_at"),
    "before": (exchanges.BEFORE, ("default", 777.0, "e", 21), "idx_openai_exchanges_started_at"),
    "following": (
        FOLLOWING.format(columns="later.state", ids="?, ?"),
        ("r", "s", "default"),
        "idx_openai_exchanges_response_id",
    ),
    "by exchange": (lookup.BY_EXCHANGE, ("e", "default"), "openai_exchanges_pkey"),
    "by response": (lookup.BY_RESPONSE, ("r", "default"), "idx_openai_exchanges_response_id"),
    "response": (lookup.RESPONSE, ("default", "r"), "openai_responses_pkey"),
    "exchanges from": (lookup.EXCHANGES_FROM, ("abc%", "default", 11), "openai_exchanges_pkey"),
    "named from": (
        lookup.NAMED_FROM,
        (r"resp\_abc%", "default", 11),
        "idx_openai_exchanges_response_id",
    ),
    "responses from": (
        lookup.RESPONSES_FROM,
        (r"resp\_abc%", "default", 11),
        "openai_responses_pkey",
    ),
    "older": (threads.OLDER, ("r", "default", 100), "idx_openai_exchanges_response_id"),
    "newer": (threads.NEWER, ("r", "default", 100), "idx_openai_exchanges_previous_response_id"),
    "conversation": (
        threads.CONVERSATION,
        ("conv_1", "default"),
        "idx_openai_exchanges_conversation_id",
    ),
    "successors": (
        threads.SUCCESSORS,
        ("r", "default"),
        "idx_openai_exchanges_previous_response_id",
    ),
    "standing": (
        threads.select_representatives(100),
        (*(f"r{at}" for at in range(100)), "default", "default"),
        "idx_openai_exchanges_response_id",
    ),
    "exchanges": (
        threads.select_exchanges(100),
        tuple(f"e{at}" for at in range(100)),
        "openai_exchanges_pkey",
    ),
    "responses": (
        threads.select_responses(100),
        ("default", *(f"r{at}" for at in range(100))),
        "openai_responses_pkey",
    ),
    "sessions from": (
        session_turns.BEGINNING,
        ("abc%", "default", 11),
        "idx_openai_exchanges_session_id",
    ),
    "labels": (session_turns.LABELS, (9,), "idx_openai_exchanges_label"),
    "usage": (
        sessions.USAGE.format(condition="session_id IN (?, ?)"),
        ("s", "t", "default"),
        "idx_openai_exchanges_session_id",
    ),
    "oldest open": (statistics.OLDEST_OPEN, ("open",), "idx_openai_exchanges_state"),
    "span": (statistics.SPAN, (), "idx_openai_exchanges_started_at"),
}


@pytest.fixture(scope="module")
def filled(plain_postgres: Postgres) -> Iterator[StoredInPostgres]:
    """A database of many rows."""
    database = plain_postgres.create_database()
    with closing(StoredInPostgres(database)) as stored:
        database.execute(FILL, ROWS)
        database.execute(FILL_RESPONSES)
        yield stored
    database.drop()


@pytest.mark.exhaustive
@pytest.mark.parametrize("analysed", [False, True])
def test_every_look_up_goes_by_an_index(filled: StoredInPostgres, analysed: bool) -> None:
    """No walk through a whole table, with or without statistics; `status` alone counts tables."""
    if analysed:
        filled.script("ANALYZE")
    with filled.open() as opened:
        for name, (statement, values, index) in PLANS.items():
            # A recursive plan tells of what is asked at each step once it has been asked.
            explain = f"EXPLAIN (ANALYZE) {statement}"
            plan = [line for (line,) in opened._reader.rows(explain, values)]
            assert any(index in line for line in plan), (name, plan)
            assert not any("Seq Scan" in line for line in plan), (name, plan)


JOINED = {
    "from an exchange": (
        """SELECT r.model FROM {exchanges} AS e JOIN {responses} AS r
            ON r.tenant_id = e.tenant_id AND r.id = e.response_id WHERE e.exchange_id = 'e'""",
        "openai_responses_pkey",
    ),
    "from a response": (
        """SELECT e.state FROM {responses} AS r JOIN {exchanges} AS e ON e.response_id = r.id
            WHERE r.tenant_id = 'default' AND r.id = 'r'""",
        "idx_openai_exchanges_response_id",
    ),
}


@pytest.mark.parametrize("name", JOINED)
def test_a_join_with_the_responses_goes_by_an_index(filled: StoredInPostgres, name: str) -> None:
    """The columns of both tables compare by one collation, so a join finds rows in either."""
    statement, index = JOINED[name]
    filled.script("ANALYZE")
    with filled.open() as opened:
        plan = [line for (line,) in opened._reader.rows(f"EXPLAIN {statement}")]
    assert any(index in line for line in plan), plan
    assert not any("Seq Scan" in line for line in plan), plan


def a_language(database: PostgresDatabase) -> str:
    """A collation that does not sort by bytes, if the server has any."""
    found = database.execute(
        "SELECT collname FROM pg_collation WHERE collname LIKE 'en%'"
        " ORDER BY collname LIKE 'en-US-x-icu' DESC, collname LIMIT 1"
    )
    return str(found[0]["collname"]) if found else "C"


@pytest.fixture
def in_another_order(plain_database: PostgresDatabase) -> Iterator[Query]:
    """A look at a database that sorts ids as a language does, not by their bytes."""
    with closing(StoredInPostgres(plain_database)) as stored:
        stored.exchanges(
            [
                {"exchange_id": f"e{at}", "response_id": one}
                for at, one in enumerate(("resp_B1", "resp_b2", "resp-b3", "Resp_b4", "rESP_%b5"))
            ]
        )
        stored.script(NO_VIEWS)
        language = a_language(plain_database)
        for column in ("exchange_id", "response_id", "tenant_id"):
            stored.script(
                f'ALTER TABLE {{exchanges}} ALTER {column} TYPE TEXT COLLATE "{language}"'
            )
        with stored.open() as opened:
            yield opened


def test_a_beginning_means_the_same_in_any_language(in_another_order: Query) -> None:
    """A beginning is compared letter by letter, in databases of any collation."""
    for beginning, found in zip(
        ("resp_B", "resp_b", "resp-", "R", "rESP_%"), range(5), strict=True
    ):
        exchange = in_another_order.find("default", beginning).exchange
        assert exchange is not None
        assert exchange.exchange_id == f"e{found}", beginning


@pytest.mark.exhaustive
def test_a_beginning_goes_by_an_index_in_any_language(plain_database: PostgresDatabase) -> None:
    """The index is in the order of bytes, also where the database's texts are not."""
    language = a_language(plain_database)
    with closing(StoredInPostgres(plain_database)) as stored:
        stored.script(NO_VIEWS)
        # As if the whole database had that language: what has a collation of its own keeps it.
        for column in plain_database.execute(DEFAULT_COLLATED):
            stored.script(
                f"ALTER TABLE {{exchanges}} ALTER {column['attname']} TYPE TEXT"
                f' COLLATE "{language}"'
            )
        plain_database.execute(FILL, ROWS)
        stored.script("ANALYZE")
        with stored.open() as opened:
            for name in ("exchanges from", "named from"):
                statement, values, index = PLANS[name]
                plan = [line for (line,) in opened._reader.rows(f"EXPLAIN {statement}", values)]
                assert any(index in line for line in plan), plan
                assert any("Index Cond" in line and ">=" in line for line in plan), plan
