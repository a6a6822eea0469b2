"""Opening: what is said where it fails, and how soon."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from response_store.backends.postgres.connection import PoolLimits, PostgresConnections
from response_store.backends.postgres.store import PostgresStore
from response_store.backends.postgres.watchdog import Watchdog
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import build_postgres_target
from response_store.errors import PermanentStoreError, StoreError, TransientStoreError
from tests.harness.ports import free_port
from tests.harness.postgres import PostgresDatabase
from tests.harness.postgres_shared import target_of
from tests.harness.records import NAMES, record
from tests.unit.backends.postgres.stores import ids, opened, store_on

CANARY = "c4n4ry-p4ssword"


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    """A watchdog; its thread ends with the test."""
    with closing(Watchdog("PostgreSQL")) as watchdog:
        yield watchdog


def failure(database: PostgresDatabase, kind: type[StoreError], **how: object) -> str:
    with closing(store_on(database, **how)) as store:
        started = time.monotonic()
        with pytest.raises(kind) as caught:
            store.open()
        assert caught.type is kind
        assert time.monotonic() - started < 2, "an error that is known at once is told at once"
    assert CANARY not in str(caught.value)
    assert CANARY not in store.describe()
    return str(caught.value)


def test_a_server_that_is_away(database: PostgresDatabase) -> None:
    """A refused connection passes, and nobody waits for the pool."""
    said = failure(database, TransientStoreError, port=free_port(), password=CANARY)
    assert "is the server up" in said


def test_a_wrong_password(database: PostgresDatabase, caplog: pytest.LogCaptureFixture) -> None:
    """It is permanent, and neither the error nor any log holds it."""
    caplog.set_level(logging.DEBUG)
    role = database.server.create_role(f"secret_{database.name}", password="right")
    assert "password" in failure(database, PermanentStoreError, user=role, password=CANARY)
    assert "give one" in failure(database, PermanentStoreError, user=role)
    assert CANARY not in caplog.text


def test_the_right_password(database: PostgresDatabase) -> None:
    """It is what the server asks for."""
    role = database.server.create_role(f"right_{database.name}", password=CANARY)
    with opened(database):
        pass
    database.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    with opened(database, user=role, password=CANARY) as store:
        store.write([record()])
    assert ids(database) == ["e1"]


def test_a_role_that_does_not_exist(database: PostgresDatabase) -> None:
    """The server's word on that is permanent."""
    assert "user or password" in failure(database, PermanentStoreError, user="stranger")


def test_a_database_that_does_not_exist(database: PostgresDatabase) -> None:
    """The server's word on that is permanent."""
    missing = PostgresDatabase(database.server, "nowhere")
    assert "does not exist" in failure(missing, PermanentStoreError)


def test_a_server_without_tls(database: PostgresDatabase) -> None:
    """Where TLS is asked for, plain text is no way out."""
    assert "TLS" in failure(database, PermanentStoreError, sslmode="require")


def test_too_many_connections(database: PostgresDatabase) -> None:
    """A role that has used up its connections may get one later."""
    role = database.server.create_role(f"few_{database.name}", options="CONNECTION LIMIT 0")
    assert "too many connections" in failure(database, TransientStoreError, user=role)


def test_opening_again_after_an_error(database: PostgresDatabase) -> None:
    """The same store opens as soon as what was wrong is fixed."""
    database.execute("CREATE TABLE openai_exchanges (x INT)")
    with closing(store_on(database)) as store:
        for _ in range(2):
            with pytest.raises(PermanentStoreError):
                store.open()
        database.execute("DROP TABLE openai_exchanges")
        store.open()
        store.write([record()])
    assert ids(database) == ["e1"]


def test_an_open_store_connects_to_nothing(database: PostgresDatabase) -> None:
    """After success a hundred openings open nothing."""
    with opened(database) as store:
        before = database.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'owner'")
        for _ in range(100):
            store.open()
        after = database.execute("SELECT pid FROM pg_stat_activity WHERE usename = 'owner'")
    assert after
    assert [one for one in after if one not in before] == []  # an earlier test's may end meanwhile


def test_each_connection_is_checked(database: PostgresDatabase) -> None:
    """A name that comes to mean a forbidden address gets no connection, and the reason is told."""
    port = database.server.port
    url = f"postgres://owner@db.example.com:{port}/{database.name}"
    target = build_postgres_target(url, HostPolicy.PRIVATE, ssl_mode="disable")
    answers = ["127.0.0.1", "127.0.0.1", "169.254.169.254"]
    asked: list[str] = []

    def resolver(name: str, _: int) -> list[str]:
        asked.append(name)
        return [answers[min(len(asked), len(answers)) - 1]]

    with closing(PostgresStore(target, NAMES, resolver=resolver)) as store:
        store.open()
        store.write([record()])
        store._leave()
        with pytest.raises(PermanentStoreError, match="metadata"):
            store.open()
    assert asked == ["db.example.com"] * 3


def test_the_pool_tells_why_it_has_none(database: PostgresDatabase, watchdog: Watchdog) -> None:
    """What keeps the pool from connecting is what the borrower is told."""
    url = f"postgres://owner@db.example.com:{database.server.port}/{database.name}"
    target = build_postgres_target(url, HostPolicy.PRIVATE, ssl_mode="disable")
    limits = PoolLimits(acquire_timeout_secs=1)
    connections = PostgresConnections(target, watchdog, limits, lambda *_: ["169.254.169.254"])
    with closing(connections):
        connections.open()
        with pytest.raises(PermanentStoreError, match="metadata"), connections.connection():
            pass


def test_a_pool_that_is_used_up(database: PostgresDatabase, watchdog: Watchdog) -> None:
    """Who waits too long is told so."""
    limits = PoolLimits(max_connections=1, acquire_timeout_secs=1)
    connections = PostgresConnections(target_of(database.url()), watchdog, limits)
    with closing(connections):
        connections.open()
        with (
            connections.connection(),
            pytest.raises(TransientStoreError, match="no connection within 1 s"),
            connections.connection(),
        ):
            pass
