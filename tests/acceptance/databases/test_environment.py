"""What lies in the home folder, or stands in the environment, is nothing to a connection."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from response_store.errors import PermanentStoreError, StoreError
from tests.harness.postgres import Postgres, PostgresDatabase
from tests.harness.postgres_certificates import PostgresCertificates, make_postgres_certificates
from tests.harness.postgres_shared import shared_template
from tests.unit.backends.postgres.stores import opened, store_on

PASSWORD = "p4ssword-of-the-role"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder of one's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".postgresql").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> PostgresCertificates:
    return make_postgres_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_database(shown: PostgresCertificates) -> Iterator[PostgresDatabase]:
    """A database on a server that speaks nothing but TLS."""
    with Postgres(shared_template(), certificate=shown.address, only_tls=True) as server:
        yield server.create_database()


def test_no_password_file_is_read(database: PostgresDatabase, home: Path) -> None:
    """A role whose password the URL lacks is refused, though ~/.pgpass has it."""
    role = database.server.create_role("of_pgpass", password=PASSWORD)
    passwords = home / ".pgpass"
    passwords.write_text(f"*:*:*:*:{PASSWORD}\n")
    passwords.chmod(0o600)
    store = store_on(database, user=role)
    with closing(store), pytest.raises(StoreError, match="password"):
        store.open()


def test_no_authority_of_the_home_folder_counts(
    tls_database: PostgresDatabase, shown: PostgresCertificates, home: Path
) -> None:
    """A root.crt or a list of revoked ones that lies there changes neither `require` nor more."""
    for name in ("root.crt", "root.crl", "postgresql.crt", "postgresql.key"):
        shutil.copy(shown.foreign, home / ".postgresql" / name)
    with opened(tls_database, sslmode="require"):
        pass
    with opened(tls_database, sslmode="verify-full", sslrootcert=str(shown.authority)):
        pass
    shutil.copy(shown.authority, home / ".postgresql" / "root.crt")
    store = store_on(tls_database, sslmode="verify-full", sslrootcert=str(shown.foreign))
    with closing(store), pytest.raises(PermanentStoreError, match="ssl_root_cert"):
        store.open()


@pytest.mark.parametrize("name", ["PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICE", "PGOPTIONS"])
def test_no_variable_reaches_the_server(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A value that libpq or the server would refuse refuses nothing."""
    monkeypatch.setenv(name, "bogus")
    with opened(database) as store:
        assert store.position("none") is None
    assert name not in os.environ
