"""A store, its readers and its role work through a real PgBouncer, in either mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from response_store.backends.postgres.connection import PostgresConnections, is_pooled
from response_store.backends.postgres.reader import PostgresReader
from response_store.backends.postgres.role_lease import PostgresLease
from response_store.backends.postgres.search_index import PostgresIndex
from response_store.backends.postgres.store import PostgresStore
from response_store.backends.postgres.watchdog import Watchdog
from response_store.config.postgres_target import PostgresTarget
from tests.harness.pgbouncer import PROGRAM, pgbouncer
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.harness.postgres_shared import target_of
from tests.harness.records import NAMES, record

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer on this machine"),
]


@pytest.fixture(scope="module", params=["transaction", "session"])
def port(
    request: pytest.FixtureRequest,
    plain_postgres: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[int]:
    """The port of a PgBouncer in this mode."""
    folder = tmp_path_factory.mktemp("pgbouncer")
    with pgbouncer(plain_postgres, folder, request.param) as port:
        yield port


@pytest.fixture
def target(port: int, plain_database: PostgresDatabase) -> PostgresTarget:
    """The test's database through the pooler."""
    return target_of(f"postgres://owner@127.0.0.1:{port}/{plain_database.name}")


def ids(database: PostgresDatabase) -> set[str]:
    return {row["exchange_id"] for row in database.execute("SELECT * FROM openai_exchanges")}


def test_a_pooler_is_seen(target: PostgresTarget, plain_database: PostgresDatabase) -> None:
    """By the session that answers; nothing is prepared behind it."""
    with closing(Watchdog("x")) as watchdog:
        for one, pooled in ((target, True), (target_of(plain_database.url()), False)):
            with closing(PostgresConnections(one, watchdog).connect()) as connection:
                assert is_pooled(connection) is pooled
                assert (connection.prepare_threshold is None) is pooled


def test_many_stores_write_at_once(
    target: PostgresTarget, plain_database: PostgresDatabase
) -> None:
    """More stores than the pooler has sessions write, each row once, and readers see them."""
    errors: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with closing(PostgresStore(target, NAMES)) as store:
                store.open()
                for at in range(12):
                    store.write([record(f"e{number}-{at}"), record(f"f{number}-{at}")])
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    assert errors == []
    assert len(ids(plain_database)) == 4 * 12 * 2
    with closing(PostgresReader(target, NAMES)) as reader:
        for _ in range(8):
            assert reader.row("SELECT count(*) FROM {exchanges}") == (96,)


def test_sessions_are_left_as_they_were(
    target: PostgresTarget, plain_database: PostgresDatabase
) -> None:
    """Indexing leaves no setting behind for whoever gets its session next; commits are durable."""
    plain_database.execute(f"ALTER DATABASE {plain_database.name} SET synchronous_commit = off")
    with closing(PostgresStore(target, NAMES)) as store:
        store.open()
        store.write([record("e1")])
    with closing(PostgresIndex(target, NAMES)) as index:
        assert index.rows("SELECT current_setting('statement_timeout')") == [("1min",)]
    with closing(Watchdog("x")) as watchdog:
        for _ in range(6):
            with closing(PostgresConnections(target, watchdog).connect()) as connection:
                found = connection.execute("SHOW statement_timeout").fetchone()
                assert found == ("0",)


def test_a_lease_is_one_at_a_time(target: PostgresTarget, plain_database: PostgresDatabase) -> None:
    """It is taken, renewed, given back, and ends by itself, whatever session answers."""
    with closing(PostgresStore(target, NAMES)) as store:
        store.open()
    first, second = (PostgresLease(target, NAMES) for _ in range(2))
    assert (first.acquire(), second.acquire(), first.acquire()) == (True, False, True)
    first.release()
    assert second.acquire()
    third = PostgresLease(target, NAMES)
    assert not third.acquire()
    plain_database.execute("UPDATE openai_exchanges_leases SET expires_at = expires_at - 91")
    assert third.acquire()
    assert not second.acquire()
    for lease in (second, third):
        lease.release()
    assert plain_database.execute("SELECT * FROM openai_exchanges_leases") == []
