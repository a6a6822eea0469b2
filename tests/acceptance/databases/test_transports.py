"""The same store over TLS and over a Unix socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from response_store.errors import PermanentStoreError, TransientStoreError
from tests.harness.postgres import SUPERUSER, Postgres, PostgresDatabase
from tests.harness.postgres_certificates import PostgresCertificates, make_postgres_certificates
from tests.harness.postgres_shared import shared_template
from tests.harness.records import numbered
from tests.unit.backends.postgres.stores import SHORT, ids, opened, store_on

ENCRYPTED = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'owner'"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> PostgresCertificates:
    """What the server may show."""
    return make_postgres_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_server(shown: PostgresCertificates) -> Iterator[Postgres]:
    """A server that speaks nothing but TLS, with a certificate for its address."""
    with Postgres(shared_template(), certificate=shown.address, only_tls=True) as server:
        yield server


@pytest.fixture
def own(tls_server: Postgres) -> Iterator[PostgresDatabase]:
    """A database on that server."""
    made = tls_server.create_database()
    yield made
    made.drop()


def test_tls(own: PostgresDatabase, shown: PostgresCertificates) -> None:
    """Every connection is verified, and a frozen server is noticed through TLS as well."""
    trust = {"sslmode": "verify-full", "sslrootcert": str(shown.authority)}
    with opened(own, deadline=SHORT, **trust) as store:
        store.write(numbered(50))
        assert {row["ssl"] for row in own.execute(ENCRYPTED)} == {True}
        own.server.freeze()
        try:
            started = time.monotonic()
            with pytest.raises(TransientStoreError, match="gives no answer"):
                store.write(numbered(60))
            assert time.monotonic() - started < 4
        finally:
            own.server.thaw()
        store.open()
        store.write(numbered(60))
    assert len(ids(own)) == 60


def test_a_foreign_authority(own: PostgresDatabase, shown: PostgresCertificates) -> None:
    """A certificate of somebody else is a permanent error that names the key to set."""
    store = store_on(own, sslmode="verify-full", sslrootcert=str(shown.foreign))
    with pytest.raises(PermanentStoreError, match="ssl_root_cert"):
        store.open()


def test_plain_text_where_tls_is_asked_for(own: PostgresDatabase) -> None:
    """A server that admits no plain text says so for good."""
    store = store_on(own, sslmode="disable")
    with pytest.raises(PermanentStoreError, match="wants TLS: see ssl_mode"):
        store.open()


def test_a_socket(database: PostgresDatabase) -> None:
    """A Unix socket does all that TCP does."""
    folder: Path = database.server.socket_folder
    with opened(database, host=str(folder), user=SUPERUSER, deadline=SHORT) as store:
        store.write(numbered(300))
    assert len(ids(database)) == 300
