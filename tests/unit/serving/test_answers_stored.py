"""What is looked up for an answer, in either database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from response_store.backends.postgres.reader import PostgresReader
from response_store.backends.sqlite.connection import identify_file
from response_store.backends.sqlite.reader import SqliteReader
from response_store.backends.sqlite.store import SqliteStore
from response_store.config import Durability, SqliteTarget
from response_store.errors import StoreError, TransientStoreError
from response_store.model.records import Change
from response_store.queries.lookup import PAUSE, KeptReader, Pause
from response_store.queries.reader import Reader
from response_store.serving.answers import RECORDED, SERVED, ServingReads, serve
from response_store.serving.request import Fields, ServedResponse
from response_store.serving.request import parse_request as request
from tests.contract.backends import Backend, SqliteFile
from tests.harness.ports import free_port
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.harness.postgres_backend import PostgresDatabase as PostgresContract
from tests.harness.postgres_shared import target_of
from tests.harness.records import ANSWER, NAMES, QUESTION, record, response

STREAM = {"transport": "sse", "ended_by": "terminal_event"}


def sqlite_reads(path: Path) -> ServingReads:
    """What looks up the responses of a file."""
    target = SqliteTarget(path)
    kept = KeptReader(
        lambda: SqliteReader(path, NAMES), lambda: identify_file(target.path), Pause()
    )
    return ServingReads(kept)


def away() -> Reader:
    """A database whose server is away."""
    url = f"postgresql://u:p@127.0.0.1:{free_port()}/store?sslmode=disable"
    return PostgresReader(target_of(url), NAMES)


def written(path: Path, changes: Sequence[Change]) -> Path:
    """A SQLite store that holds changes, written one by one."""
    store = SqliteStore(SqliteTarget(path), NAMES, Durability.PROCESS)
    with closing(store):
        store.open()
        for change in changes:
            store.write([change])
    return path


# Both databases


STREAMED = f",{json.dumps(ANSWER, separators=(',', ':'))}]"


@pytest.fixture(params=["sqlite", "postgres"])
def reads(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServingReads]:
    """A database with some responses, and what looks them up."""
    backend: Backend
    if request.param == "sqlite":
        backend = SqliteFile(tmp_path)
        made = sqlite_reads(backend.path)
    else:
        backend = database = PostgresContract(tmp_path)
        make = lambda: PostgresReader(target_of(database.database.url()), NAMES)  # noqa: E731
        made = ServingReads(KeptReader(make, lambda: None, Pause()))
    store = backend.store()
    store.open()
    whole = response("r1", asked=[QUESTION], answered=[ANSWER])
    store.write(
        [
            record("e1", whole, raw_response=b"tail", started_at=3.0, **STREAM),
            record("e2", whole, raw_response=b"whole", started_at=2.0, **STREAM),
            record("e3", whole, raw_response=b"cut", started_at=1.0, transport="sse"),
            record("e4", whole, raw_response=b"json", started_at=1.0, ended_by="terminal_event"),
            record("e5", whole, raw_response=None, started_at=1.0, **STREAM),
            record("e6", response("r1", tenant_id="t2"), raw_response=b"theirs", started_at=0.5,
                   **STREAM),
            record("e7", response("r2", asked=[])),
        ]
    )  # fmt: skip
    with closing(made):
        yield made
    backend.close()


def test_only_what_is_wanted_is_read(reads: ServingReads) -> None:
    """Each answer gets the columns that it is made of, and nothing else."""
    row = response("r1", asked=[QUESTION], answered=[ANSWER])
    assert reads.find("t1", "r1", Fields.PRESENCE) == ServedResponse()
    assert reads.find("t1", "r1", Fields.OBJECT) == ServedResponse(
        row.response_object, accumulated=STREAMED
    )
    assert reads.find("t1", "r1", Fields.INPUT) == ServedResponse(input=row.input)
    assert reads.find("t1", "r2", Fields.STREAM) == ServedResponse(response("r2").response_object)


def test_what_streamed_is_served(reads: ServingReads) -> None:
    """An object without the output that streamed is served with it."""
    asked = request("GET", "/v1/responses/r1")
    assert asked is not None
    answer = serve(reads, "t1", asked)
    assert answer is not None
    assert json.loads(answer.body)["output"] == [ANSWER]


def test_the_recorded_stream_is_the_oldest_whole_one(reads: ServingReads) -> None:
    """Tails, other transports, other tenants and streams that were cut are none."""
    found = reads.find("t1", "r1", Fields.STREAM)
    assert found is not None
    assert found.recorded == b"whole"


def test_nothing_else_is_found(reads: ServingReads) -> None:
    """Ids and tenants compare exactly."""
    others = "t1 r3, t3 r1, t2 r2, T1 r1, t1 R1, t1 r1%".split(", ")
    for tenant, name in [*(other.split() for other in others), ("", "")]:
        for wanted in Fields:
            assert reads.find(tenant, name, wanted) is None, (tenant, name, wanted)


FINAL = record("e1", response("r1", asked=[QUESTION]), raw_response=b"whole", **STREAM)


# Rows that can't be read, and databases that change


def test_a_row_that_is_no_text(tmp_path: Path) -> None:
    """What another program put there as bytes is an error, and not shown."""
    path = written(tmp_path / "responses.db", [FINAL])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE openai_responses SET response_object = x'c4', input = x'c4'")
    with closing(sqlite_reads(path)) as reads:
        for wanted in (Fields.OBJECT, Fields.STREAM, Fields.INPUT):
            with pytest.raises(StoreError, match="is not text"):
                reads.find("t1", "r1", wanted)
        assert reads.find("t1", "r1", Fields.PRESENCE) == ServedResponse()


def test_a_file_that_was_replaced(tmp_path: Path) -> None:
    """What is at the path now is looked at, not what was there when it was opened."""
    path = written(tmp_path / "responses.db", [FINAL])
    with closing(sqlite_reads(path)) as reads:
        assert reads.find("t1", "r1", Fields.PRESENCE) is not None
        written(tmp_path / "other.db", []).replace(path)
        assert reads.find("t1", "r1", Fields.PRESENCE) is None


def test_a_server_that_started_again(plain_database: PostgresDatabase) -> None:
    """A connection that its server has ended is made anew, and whoever asks notices nothing."""
    target = target_of(plain_database.url())
    from response_store.backends.postgres.store import PostgresStore

    with closing(PostgresStore(target, NAMES)) as store:
        store.open()
        store.write([FINAL])
    kept = KeptReader(lambda: PostgresReader(target, NAMES), lambda: None, Pause())
    with closing(ServingReads(kept)) as reads:
        assert reads.find("t1", "r1", Fields.PRESENCE) is not None
        plain_database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert reads.find("t1", "r1", Fields.PRESENCE) is not None


class Attempts:
    """Opens a database that is away, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Reader:
        self.count += 1
        return away()


def test_several_do_not_knock_at_once() -> None:
    """After one attempt that failed there is a pause, for all; then there is another."""
    now, attempts = [0.0], Attempts()
    pause = Pause(lambda: now[0])
    kept = [KeptReader(attempts, lambda: None, pause) for _ in range(3)]

    def ask_all() -> None:
        for one in kept:
            with pytest.raises(TransientStoreError, match="PostgreSQL"):
                one.ask(lambda reader: reader.name)

    ask_all()
    assert attempts.count == 1
    now[0] += PAUSE
    ask_all()
    assert attempts.count == 2


# Plans


PLANS = {
    **{wanted: (SERVED[wanted], ("t1", "r1"), "openai_responses") for wanted in Fields},
    "recorded": (RECORDED, ("r1", "t1"), "idx_openai_exchanges_response_id"),
}


@pytest.mark.parametrize("name", PLANS)
def test_sqlite_goes_by_an_index(tmp_path: Path, name: str) -> None:
    """No look-up walks through a table."""
    statement, values, index = PLANS[name]
    path = written(tmp_path / "responses.db", [FINAL])
    with closing(SqliteReader(path, NAMES)) as reader:
        plan = [row[3] for row in reader.rows(f"EXPLAIN QUERY PLAN {statement}", values)]
    assert any("SEARCH" in step and index in step for step in plan), plan
    assert not any("SCAN" in step for step in plan), plan


FILL = """
INSERT INTO openai_exchanges (exchange_id, tenant_id, response_id, api, transport, state, ended_by,
    started_at, method, scheme, host, path, recorder_id, raw_response)
SELECT md5(n::text), 't1', 'r' || n, 'responses', 'sse', 'completed', 'terminal_event', n, 'POST',
    'https', 'h', '/', 'r1', '\\x00' FROM generate_series(1, 20000) AS n"""
FILL_RESPONSES = """
INSERT INTO openai_responses
SELECT tenant_id, response_id, 1, 'm', '{}', '[]', '[]' FROM openai_exchanges"""


@pytest.mark.exhaustive
def test_postgresql_goes_by_an_index(plain_postgres: Postgres) -> None:
    """Nor there, with and without statistics."""
    database = plain_postgres.create_database()
    target = target_of(database.url())
    from response_store.backends.postgres.store import PostgresStore

    with closing(PostgresStore(target, NAMES)) as store:
        store.open()
    database.execute(FILL)
    database.execute(FILL_RESPONSES)
    for _ in range(2):
        with closing(PostgresReader(target, NAMES)) as reader:
            for name, (statement, values, index) in PLANS.items():
                plan = [line for (line,) in reader.rows(f"EXPLAIN {statement}", values)]
                assert any(index in line and "Index" in line for line in plan), (name, plan)
        database.execute("ANALYZE")
    database.drop()
