"""What a server shows to those who verify it. Nothing of the system's trust takes part."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from tests.harness.postgres import Postgres
from tests.harness.postgres_certificates import PostgresCertificates
from tests.harness.postgres_fixtures import MakePostgres


@dataclass(frozen=True)
class Shown:
    """A certificate by its name, how a client comes, and why it is refused; None if it isn't."""

    certificate: str
    host: str
    refused: str | None = None
    authority: str = "authority"


CASES = [
    Shown("right", "localhost"),
    Shown("right", "db.example.test"),
    Shown("right", "127.0.0.1", "does not match host name"),
    Shown("right", "localhost", "certificate verify failed", authority="foreign"),
    Shown("wrong_name", "localhost", "does not match host name"),
    Shown("address", "127.0.0.1"),
    Shown("address", "localhost", "does not match host name"),
    Shown("expired", "localhost", "certificate verify failed"),
    Shown("self_signed", "localhost", "certificate verify failed"),
]


@pytest.fixture(scope="module")
def server(postgres_template, postgres_certificates):
    """A server whose certificate these tests change."""
    with Postgres(postgres_template, certificate=postgres_certificates.right) as server:
        yield server


@pytest.mark.parametrize("case", CASES, ids=str)
def test_verify_full(
    case: Shown, server: Postgres, postgres_certificates: PostgresCertificates
) -> None:
    """The right name of the right authority gets in, and nothing else does."""
    server.present(getattr(postgres_certificates, case.certificate))
    url = server.url(
        host=case.host,
        hostaddr="127.0.0.1",
        sslmode="verify-full",
        sslrootcert=getattr(postgres_certificates, case.authority),
    )
    if case.refused is None:
        with psycopg.connect(url) as connection:
            assert connection.pgconn.ssl_in_use
        return
    with pytest.raises(psycopg.OperationalError, match=case.refused):
        psycopg.connect(url)


def test_a_plain_server_does_no_tls(plain_postgres: Postgres) -> None:
    """Who asks for TLS is refused by it, and who prefers TLS goes without."""
    with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        psycopg.connect(plain_postgres.url(sslmode="require"))
    with psycopg.connect(plain_postgres.url(sslmode="prefer")) as connection:
        assert not connection.pgconn.ssl_in_use


def test_a_server_may_refuse_plain_text(
    make_postgres: MakePostgres, postgres_certificates: PostgresCertificates
) -> None:
    """With `only_tls` it does."""
    server = make_postgres(certificate=postgres_certificates.right, only_tls=True)
    psycopg.connect(server.url(sslmode="require")).close()
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(server.url(sslmode="disable"))
