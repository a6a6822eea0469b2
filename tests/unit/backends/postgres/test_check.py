"""The way to the server: addresses, TLS, certificates, and why there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from response_store.backends.postgres.check import check_postgres
from response_store.config import TableNames
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import build_postgres_target
from response_store.queries.schema_state import Findings
from tests.harness.ports import free_port
from tests.harness.postgres import Postgres, PostgresDatabase, Template
from tests.harness.postgres_certificates import PostgresCertificates
from tests.harness.records import NAMES
from tests.unit.backends.postgres.conftest import CANARY, Check
from tests.unit.config.test_load_documents import EXAMPLE, blocks

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Shown:
    """A certificate by its name, the host that is asked for, and why it is refused, if it is."""

    certificate: str
    host: str
    refused: str | None = None
    authority: str = "authority"


CASES = [
    Shown("right", "localhost"),
    Shown("right", "db.example.test"),
    Shown("right", LOOPBACK, "certificate is for another name"),
    Shown("right", "localhost", "certificate is not trusted", authority="foreign"),
    Shown("wrong_name", "localhost", "certificate is for another name"),
    Shown("address", LOOPBACK),
    Shown("address", "localhost", "certificate is for another name"),
    Shown("expired", "localhost", "certificate is not trusted"),
    Shown("self_signed", "localhost", "certificate is not trusted"),
]
MADE_OUT_TO = {
    "right": "localhost, db.example.test",
    "wrong_name": "other.example.test",
    "address": "127.0.0.1, ::1",
    "expired": "localhost, db.example.test, 127.0.0.1, ::1",
    "self_signed": "localhost, db.example.test, 127.0.0.1, ::1",
}


@pytest.fixture(scope="module")
def database(
    postgres_template: Template, postgres_certificates: PostgresCertificates
) -> Iterator[PostgresDatabase]:
    """A database on a server whose certificate these tests change."""
    with Postgres(postgres_template, certificate=postgres_certificates.right) as server:
        yield server.create_database()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_certificate(
    case: Shown,
    database: PostgresDatabase,
    postgres_certificates: PostgresCertificates,
    check: Check,
) -> None:
    """The right name of the right authority is verified; of any other it is told what was shown."""
    database.server.present(getattr(postgres_certificates, case.certificate))
    authority = str(getattr(postgres_certificates, case.authority))
    told = check(
        database.url(host=case.host, hostaddr=LOOPBACK, password=CANARY), ssl_root_cert=authority
    )
    assert told.facts["resolved to"] == f"{LOOPBACK}, as the URL says"
    names = MADE_OUT_TO[case.certificate]
    assert told.facts["made out to"] == names
    assert told.facts["certificate"].split(",")[0] == f"CN={names.split(', ')[0]}"
    assert told.facts["valid"].endswith(": expired") == (case.certificate == "expired")
    own = told.facts["certificate"] == told.facts["signed by"]
    assert own == (case.certificate == "self_signed")
    if case.refused is not None:
        assert case.refused in told.problems
        assert not told.facts.keys() & {"server", "verified", "schema"}
        return
    assert told.fine
    assert told.facts["connected to"] == f"{LOOPBACK}, port {database.server.port}"
    assert re.fullmatch(r"TLSv1\.[23], [A-Z0-9_-]+", told.facts["tls"])
    assert told.facts["verified"] == f"signed by an authority in {authority}, and made out to " + (
        case.host
    )
    assert re.match(r"PostgreSQL \d+\.", told.facts["server"])


def test_any_name_of_an_authority(
    database: PostgresDatabase, postgres_certificates: PostgresCertificates, check: Check
) -> None:
    """With `verify-ca` the wrong name gets in, and it is told that nobody looked at it."""
    database.server.present(postgres_certificates.wrong_name)
    root = str(postgres_certificates.authority)
    told = check(database.url(), ssl_mode="verify-ca", ssl_root_cert=root)
    assert told.fine
    assert "was not checked" in told.facts["verified"]


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_a_mode_that_verifies_nothing(
    mode: str, database: PostgresDatabase, postgres_certificates: PostgresCertificates, check: Check
) -> None:
    """It takes a certificate that nobody trusts, and is said to be unverified."""
    database.server.present(postgres_certificates.self_signed)
    told = check(database.url(), ssl_mode=mode)
    assert told.fine
    assert told.facts["tls"].startswith("TLS")
    assert told.facts["certificate"] == "CN=localhost"
    assert told.facts["verified"].startswith(f"no: ssl_mode {mode} ")


def test_a_plain_server(plain_database: PostgresDatabase, check: Check) -> None:
    """Who asks for TLS is refused; with `prefer` and `disable` it is told that there is none."""
    assert "the server speaks no TLS" in check(plain_database.url()).problems
    for mode in ("prefer", "disable"):
        told = check(plain_database.url(), ssl_mode=mode)
        assert told.fine
        assert told.facts["tls"] == "none: plain text"
        assert told.facts["verified"].startswith(f"no: ssl_mode {mode} ")
        assert "certificate" not in told.facts


def test_a_socket(plain_database: PostgresDatabase, check: Check) -> None:
    """A socket is named, and no address."""
    server = plain_database.server
    folder = str(server.socket_folder)
    told = check(f"postgres://owner@/{plain_database.name}?host={folder}&port={server.port}")
    assert told.fine
    assert told.facts["host"] == f"the socket in {folder}"
    assert "connected to" not in told.facts


def test_what_is_refused_by_the_server(plain_database: PostgresDatabase, check: Check) -> None:
    """A wrong password, an unknown role and a database that isn't there are told as such."""
    server = plain_database.server
    role = server.create_role(f"asked_of_{plain_database.name}", password="right")
    url = plain_database.url(user=role, password=CANARY)
    assert "the server refuses user or password" in check(url, ssl_mode="disable").problems
    url = plain_database.url(user=role)
    assert "the server asks for a password: give one" in check(url, ssl_mode="disable").problems
    url = server.url("nowhere", password=CANARY)
    assert "the database does not exist" in check(url, ssl_mode="disable").problems


def test_a_port_where_nobody_listens(check: Check) -> None:
    """Nothing is known but where it was tried."""
    told = check(f"postgres://u:{CANARY}@{LOOPBACK}:{free_port()}/db")
    assert "no connection: is the server up, and can it be reached?" in told.problems
    assert told.facts == {"host": LOOPBACK, "resolved to": f"{LOOPBACK}, as the URL says"}


def test_a_name_that_does_not_resolve(check: Check) -> None:
    """The resolver's word is told in ours."""
    told = check(f"postgres://u:{CANARY}@no-such-host.invalid/db")
    assert "doesn't resolve" in told.problems
    assert told.facts["resolved to"] == "nothing"


def checked(
    database: PostgresDatabase,
    answers: Sequence[str],
    reach: HostPolicy,
    tables: TableNames = NAMES,
) -> Findings:
    """A check of a name that resolves to these answers."""
    url = database.url(host="db.example.test", password=CANARY)
    findings = Findings()
    target = build_postgres_target(url, reach, ssl_mode="disable")
    check_postgres(target, tables, findings, lambda name, port: answers)
    assert CANARY not in str(findings)
    return findings


def test_the_address_that_answered_is_told(plain_database: PostgresDatabase) -> None:
    """All that a name resolved to is told, and which of it the socket went to."""
    found = checked(plain_database, ["127.0.0.9", LOOPBACK], HostPolicy.PRIVATE)
    assert found.problems == []
    facts = dict(found.facts)
    assert facts["host"] == "db.example.test"
    assert facts["resolved to"] == f"127.0.0.9, {LOOPBACK}"
    assert facts["connected to"] == f"{LOOPBACK}, port {plain_database.server.port}"


@pytest.mark.parametrize("answers", [[LOOPBACK], ["8.8.8.8", LOOPBACK], ["169.254.169.254"]])
def test_an_answer_that_is_not_allowed(
    answers: list[str], plain_database: PostgresDatabase
) -> None:
    """It is told beside the refusal, and nothing is connected to."""
    found = checked(plain_database, answers, HostPolicy.PUBLIC_NAMES)
    assert "which is not allowed" in found.problems[0]
    assert dict(found.facts) == {"host": "db.example.test", "resolved to": ", ".join(answers)}


SERVICE = "[elsewhere]\nhost=evil.example\nhostaddr=127.0.0.9\nport=9\nuser=evil\nsslmode=disable\n"


def test_the_environment_changes_nothing(
    database: PostgresDatabase,
    postgres_certificates: PostgresCertificates,
    check: Check,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Whatever libpq reads elsewhere, the connection is the one that was checked, verified."""
    database.server.present(postgres_certificates.right)
    service = tmp_path / "service.conf"
    service.write_text(SERVICE)
    for name, value in {
        "PGHOST": "evil.example",
        "PGHOSTADDR": "127.0.0.9",
        "PGPORT": "9",
        "PGDATABASE": "evil",
        "PGUSER": "evil",
        "PGPASSWORD": "evil",
        "PGSSLMODE": "disable",
        "PGSSLROOTCERT": "/evil",
        "PGSERVICE": "elsewhere",
        "PGSERVICEFILE": str(service),
        "PGOPTIONS": "-c default_transaction_read_only=on",
        "PGTARGETSESSIONATTRS": "standby",
    }.items():
        monkeypatch.setenv(name, value)
    root = str(postgres_certificates.authority)
    told = check(database.url(host="localhost", hostaddr=LOOPBACK), ssl_root_cert=root)
    assert told.fine
    assert told.facts["connected to"] == f"{LOOPBACK}, port {database.server.port}"
    assert told.facts["tls"].startswith("TLS")
    assert "made out to localhost" in told.facts["verified"]


@pytest.mark.exhaustive
def test_the_example_runs(
    database: PostgresDatabase, postgres_certificates: PostgresCertificates, check: Check
) -> None:
    """Each block of the example works, once host and authority are those of a real server."""
    database.server.present(postgres_certificates.right)
    for block in blocks(EXAMPLE):
        keys = yaml.safe_load(EXAMPLE) | block | {"allow_private_database_url": True}
        if keys["ssl_mode"] != "disable":
            keys["ssl_root_cert"] = str(postgres_certificates.authority)
        url = database.url(host="localhost", hostaddr=LOOPBACK)
        told = check(url, **keys | {"database_url": url})
        assert told.fine
