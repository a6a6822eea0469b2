"""What can be wrong with a PostgreSQL database that is read, and what is said about it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from response_store.backends.postgres import reader as postgres_reading
from response_store.backends.postgres.reader import PostgresReader
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import PostgresTarget, build_postgres_target
from response_store.config.table_names import TableNames
from response_store.errors import PermanentStoreError, StoreError, TransientStoreError
from response_store.queries.exchanges import Query
from response_store.queries.schema_state import MIGRATIONS
from tests.harness.ports import free_port
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.harness.postgres_certificates import PostgresCertificates
from tests.harness.postgres_fixtures import MakeLine
from tests.harness.postgres_shared import target_of
from tests.unit.queries.stored import NAMES
from tests.unit.queries.stored_in_postgres import StoredInPostgres

CANARY = "c4n4ry-p4ssword"


@pytest.fixture
def own(plain_database: PostgresDatabase) -> Iterator[StoredInPostgres]:
    """A database that a test may break."""
    with closing(StoredInPostgres(plain_database)) as stored:
        yield stored


def refusal(target: PostgresTarget, kind: type[StoreError] = PermanentStoreError) -> str:
    started = time.monotonic()
    with pytest.raises(kind) as caught:
        PostgresReader(target, NAMES)
    assert time.monotonic() - started < 5, "what is known at once is told at once"
    assert caught.type is kind
    assert CANARY not in str(caught.value)
    assert target.describe() in str(caught.value), "the error says which database"
    return str(caught.value)


def test_a_server_that_is_away(plain_database: PostgresDatabase) -> None:
    """A server that is away may be back soon."""
    target = target_of(plain_database.url(port=free_port(), password=CANARY))
    assert "is the server up" in refusal(target, TransientStoreError)


def test_a_wrong_password(plain_database: PostgresDatabase) -> None:
    """A wrong password is for somebody to fix, and is not shown."""
    role = plain_database.server.create_role(f"reads_{plain_database.name}", password="right")
    assert "password" in refusal(target_of(plain_database.url(user=role, password=CANARY)))


def test_a_database_that_is_not_there(plain_postgres: Postgres) -> None:
    """Looking makes no database."""
    missing = PostgresDatabase(plain_postgres, "nowhere")
    assert "does not exist" in refusal(target_of(missing.url()))


def test_an_empty_database_has_no_tables(plain_database: PostgresDatabase) -> None:
    """The missing tables are named, and none is made."""
    said = refusal(target_of(plain_database.url()))
    assert "tables are missing: openai_responses, openai_exchanges," in said
    assert "--config" in said
    assert not plain_database.execute("SELECT 1 FROM pg_class WHERE relname LIKE 'openai%'")


@pytest.mark.parametrize("table", ["exchanges_version", "responses_version"])
def test_a_newer_version_is_refused(own: StoredInPostgres, table: str) -> None:
    """A database of a newer program is not read; both versions are named."""
    own.script(f"INSERT INTO {{{table}}} VALUES (99)")
    said = refusal(target_of(own.database.url()))
    assert "version 99" in said
    assert f"version {len(MIGRATIONS) if table == 'exchanges_version' else 1}" in said
    assert "upgrade" in said


def test_an_unfinished_schema_is_refused(own: StoredInPostgres) -> None:
    """A version that nobody has written yet asks for a proxy to write it."""
    own.script("DELETE FROM {exchanges_version}")
    assert "Start a proxy" in refusal(target_of(own.database.url()))


def test_a_table_of_other_columns(own: StoredInPostgres) -> None:
    """A table that only has the name of ours points at the configuration."""
    own.script("ALTER TABLE {exchanges} RENAME COLUMN host TO ghost")
    with own.open() as reader, pytest.raises(PermanentStoreError, match="table names"):
        reader.recent("default", limit=1)


def test_a_role_that_may_not_read(own: StoredInPostgres) -> None:
    """A role without SELECT is told what to grant; with it, nothing else is needed."""
    role = own.database.server.create_role(f"looks_{own.database.name}")
    target = target_of(own.database.url(user=role))
    assert "Grant it SELECT" in refusal(target)
    own.exchange("e1")
    own.database.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    with Query(PostgresReader(target, NAMES)) as reader:
        assert len(reader.recent("default", limit=5).exchanges) == 1
        assert reader.status().exchanges == 1


def test_names_are_folded_as_the_store_folds_them(plain_database: PostgresDatabase) -> None:
    """The names are those of the configuration; letter case makes no difference."""
    names = TableNames("Answers", "talks", "CALLS")
    with closing(StoredInPostgres(plain_database, names)) as stored:
        stored.exchange("e1")
        with stored.open() as reader:
            assert reader.exchange("default", "e1") is not None
            assert list(reader.status().place.table_bytes) == ["answers", "talks", "calls"]


def test_a_name_is_checked_when_it_is_used(plain_postgres: Postgres) -> None:
    """A name that leads to a forbidden address gets no connection."""
    url = f"postgres://owner@db.example.com:{plain_postgres.port}/postgres"
    target = build_postgres_target(url, HostPolicy.PRIVATE, ssl_mode="disable")
    with pytest.raises(PermanentStoreError, match="metadata"):
        PostgresReader(target, NAMES, resolver=lambda *_: ["169.254.169.254"])


@pytest.mark.parametrize(("host", "refused"), [("localhost", False), ("127.0.0.1", True)])
def test_the_certificate_is_checked(
    postgres: Postgres, postgres_certificates: PostgresCertificates, host: str, refused: bool
) -> None:
    """TLS is verified as the store verifies it."""
    authority = str(postgres_certificates.authority)
    url = f"postgres://owner@{host}:{postgres.port}/postgres"
    target = build_postgres_target(url, HostPolicy.PRIVATE, "verify-full", authority)
    with pytest.raises(PermanentStoreError) as caught:
        PostgresReader(target, NAMES, resolver=lambda *_: ["127.0.0.1"])
    expected = "for another name" if refused else "tables are missing"
    assert expected in str(caught.value)


def test_what_takes_too_long_is_broken_off(own: StoredInPostgres) -> None:
    """The server itself ends a statement that would keep everybody waiting; the next one works."""
    with own.open(seconds=0.3) as reader:
        with pytest.raises(TransientStoreError, match="too long"):
            reader._reader.rows("SELECT pg_sleep(20)")
        assert reader.recent("default", limit=1).exchanges == ()


def test_a_locked_table_is_worth_another_try(own: StoredInPostgres) -> None:
    """A lock may pass."""
    with own.open(seconds=0.3) as reader, own.database.server.connect(own.database.name) as held:
        held.execute("BEGIN")
        held.execute("LOCK TABLE openai_exchanges")
        with pytest.raises(TransientStoreError, match=r"locked|too long"):
            reader.recent("default", limit=1)


def test_a_server_that_says_nothing_any_more(
    own: StoredInPostgres, make_line: MakeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no answer comes at all, the line is cut and told of."""
    monkeypatch.setattr(postgres_reading, "_GRACE", 0.2)
    line = make_line(own.database.server.port)
    target = target_of(own.database.url(port=line.port))
    with Query(PostgresReader(target, NAMES, seconds=0.5)) as reader:
        line.hold()
        with pytest.raises(TransientStoreError, match="no answer"):
            reader.recent("default", limit=1)


def test_a_connection_that_is_lost(own: StoredInPostgres) -> None:
    """The end of the connection is told, whichever way it came."""
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
    how: dict[str, Any] = {"application_name": "looker"}
    with Query(PostgresReader(target_of(own.database.url(**how)), NAMES)) as reader:
        assert len(own.database.execute(end, "looker")) == 1
        with pytest.raises(TransientStoreError, match="connection"):
            reader.status()


def test_text_of_a_database_without_an_encoding(plain_postgres: Postgres) -> None:
    """Such a database counts bytes, and cuts characters in two: what is left of them is shown."""
    plain_postgres.execute(
        "CREATE DATABASE bytes_only TEMPLATE template0 OWNER owner ENCODING 'SQL_ASCII' LOCALE 'C'"
    )
    database = PostgresDatabase(plain_postgres, "bytes_only")
    database.execute("GRANT CREATE ON SCHEMA public TO owner")
    try:
        with closing(StoredInPostgres(database)) as stored:
            stored.exchange("e1", output_text="x" + "京" * 100)
            with stored.open() as reader:
                (one,) = reader.recent("default", limit=1).exchanges
                assert one.output_start is not None
                assert one.output_start.startswith("x京京")
                row = reader.exchange("default", "e1")
                assert row is not None
                assert row.output_text == "x" + "京" * 100
    finally:
        database.drop()


def test_a_look_leaves_nothing_behind(own: StoredInPostgres) -> None:
    """No setting and no transaction stays in the session."""
    with own.open() as reader:
        reader.status()
        reader.recent("default", limit=1)
        connection = reader._reader._connection
        assert connection.info.transaction_status.name == "IDLE"
        for name in ("statement_timeout", "lock_timeout"):
            assert connection.execute(f"SHOW {name}").fetchone() == ("0",)
        assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)


def test_closing_twice_is_fine(stored_in_postgres: StoredInPostgres) -> None:
    """A second close does nothing."""
    reader = stored_in_postgres.open()
    reader.close()
    reader.close()
