"""Where the connection to the database goes, and whom it takes for the database."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from psycopg.conninfo import conninfo_to_dict

from response_store.backends.postgres.check import check_postgres
from response_store.backends.postgres.resolver import build_checked_connection_string
from response_store.backends.postgres.store import PostgresStore
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import PostgresTarget, build_postgres_target
from response_store.errors import PermanentStoreError, TransientStoreError
from response_store.queries.schema_state import Findings
from tests.acceptance.postgres.looking import ask, assert_each_once, rows_of
from tests.harness.records import NAMES, record

if TYPE_CHECKING:
    from tests.acceptance.postgres.conftest import OnPostgres
    from tests.harness.line import Line
    from tests.harness.postgres import Postgres, PostgresDatabase
    from tests.harness.postgres_certificates import PostgresCertificates
    from tests.harness.postgres_fixtures import MakeLine


NAME = "db.example.com"
PUBLIC = "2001:1::1"  # public by the registry; nothing here connects to it
LOOPBACK = "127.0.0.1"


@dataclass
class Answers:
    """A resolver that gives one list after the other, the last one again and again."""

    lists: Sequence[Sequence[str]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, name: str, _: int) -> Sequence[str]:
        self.asked.append(name)
        return self.lists[min(len(self.asked), len(self.lists)) - 1]


@pytest.fixture
def line(plain_postgres: Postgres, make_line: MakeLine) -> Line:
    """A way to the server from a port of loopback, which counts those who come."""
    return make_line(plain_postgres.port)


def target(
    database: PostgresDatabase, line: Line, reach: HostPolicy, host: str = NAME
) -> PostgresTarget:
    url = database.url(host=host, port=line.port, connect_timeout=2)
    return build_postgres_target(url, reach, ssl_mode="disable")


def test_a_second_answer_that_is_loopback(plain_database: PostgresDatabase, line: Line) -> None:
    """Public at first and loopback later: nobody connects to loopback, and the reason is told.

    Were loopback allowed, the same answer would lead there. The first connection is only asked
    where it would go: tests talk to this machine alone.
    """
    resolver = Answers([[PUBLIC], [LOOPBACK]])
    public = target(plain_database, line, HostPolicy.PUBLIC_NAMES)
    first = conninfo_to_dict(build_checked_connection_string(public, resolver).reveal())
    assert (first["host"], first["hostaddr"]) == (NAME, PUBLIC)
    with closing(PostgresStore(public, NAMES, resolver=resolver)) as store:
        for _ in range(3):
            with pytest.raises(PermanentStoreError, match="a loopback address"):
                store.open()
    assert resolver.asked == [NAME] * 4
    assert line.accepted == 0
    private = target(plain_database, line, HostPolicy.PRIVATE)
    with closing(PostgresStore(private, NAMES, resolver=Answers([[LOOPBACK]]))) as store:
        store.open()
        store.write([record()], None)
    assert line.accepted == 2


def test_loopback_among_public_answers(plain_database: PostgresDatabase, line: Line) -> None:
    """One answer that is not allowed is enough, wherever it stands."""
    public = target(plain_database, line, HostPolicy.PUBLIC_NAMES)
    for answers in ([PUBLIC, LOOPBACK], [LOOPBACK, PUBLIC]):
        with (
            closing(PostgresStore(public, NAMES, resolver=Answers([answers]))) as store,
            pytest.raises(PermanentStoreError, match="a loopback address"),
        ):
            store.open()
    assert line.accepted == 0


@pytest.mark.skipif(sys.platform == "darwin", reason="127.0.0.2 is no address there")
def test_the_socket_goes_where_was_checked(
    plain_database: PostgresDatabase, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to the resolver's answer, not where libpq or the environment would lead it."""
    monkeypatch.setenv("PGHOSTADDR", LOOPBACK)
    resolver = Answers([["127.0.0.2"]])
    local = target(plain_database, line, HostPolicy.PRIVATE, host="localhost")
    with (
        visitors("127.0.0.2", line.port) as came,
        closing(PostgresStore(local, NAMES, resolver=resolver)) as store,
        pytest.raises(TransientStoreError),
    ):
        store.open()
    assert (len(came), line.accepted) == (1, 0)


@contextmanager
def visitors(address: str, port: int) -> Iterator[list[str]]:
    """Who connects to an address; each is sent away."""
    came: list[str] = []
    listener = socket.create_server((address, port))

    def send_away() -> None:
        with suppress(OSError):
            while True:
                visitor, (peer, _) = listener.accept()
                came.append(peer)
                visitor.close()

    thread = threading.Thread(target=send_away, daemon=True)
    thread.start()
    yield came
    listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    listener.close()


def test_the_address_that_a_check_tells(plain_database: PostgresDatabase, line: Line) -> None:
    """A check connects as the store does, and tells what was resolved and where it went."""
    findings = Findings()
    private = target(plain_database, line, HostPolicy.PRIVATE)
    check_postgres(private, NAMES, findings, Answers([[LOOPBACK]]))
    told = dict(findings.facts)
    assert told["host"] == NAME
    assert told["resolved to"] == LOOPBACK
    assert told["connected to"] == f"{LOOPBACK}, port {line.port}"
    assert (line.accepted, findings.problems) == (1, [])


def test_a_check_that_is_refused(plain_database: PostgresDatabase, line: Line) -> None:
    """It tells every answer, which rule forbids one of them, and connects to none."""
    findings = Findings()
    public = target(plain_database, line, HostPolicy.PUBLIC_NAMES)
    check_postgres(public, NAMES, findings, Answers([[PUBLIC, LOOPBACK]]))
    told = dict(findings.facts)
    assert told["resolved to"] == f"{PUBLIC}, {LOOPBACK}"
    assert "connected to" not in told
    (problem,) = findings.problems
    assert "a loopback address" in problem
    assert "allow_private_database_url: true" in problem
    assert line.accepted == 0


def test_the_right_server(
    on_postgres: OnPostgres,
    postgres_database: PostgresDatabase,
    postgres_certificates: PostgresCertificates,
    tenant: str,
) -> None:
    """`verify-full` takes the server whose name and authority are right."""
    root = str(postgres_certificates.authority)
    url = postgres_database.url(host="localhost", hostaddr=LOOPBACK)
    with on_postgres(url, ssl_mode="verify-full", ssl_root_cert=root) as proxy:
        ids = ask(proxy, tenant, 2)
        assert_each_once(rows_of(postgres_database), tenant, ids)
        assert "unverified" not in proxy.output()


@pytest.mark.parametrize(
    ("host", "trusted", "words"),
    [
        (LOOPBACK, "authority", "certificate is for another name"),
        ("localhost", "foreign", "certificate is not trusted"),
        ("localhost", None, "certificate is not trusted"),
    ],
    ids=["another name", "a foreign authority", "none of the system's"],
)
def test_another_server(
    on_postgres: OnPostgres,
    postgres_database: PostgresDatabase,
    postgres_certificates: PostgresCertificates,
    host: str,
    trusted: str | None,
    words: str,
) -> None:
    """`verify-full` refuses any other: mitmdump ends with the reason, and has made nothing."""
    settings = {"ssl_mode": "verify-full"}
    if trusted is not None:
        settings["ssl_root_cert"] = str(getattr(postgres_certificates, trusted))
    url = postgres_database.url(host=host, hostaddr=LOOPBACK)
    finished = on_postgres(url, how={"control": False}, **settings).run()
    assert finished.returncode == 1
    assert words in finished.output
    assert "Traceback" not in finished.output
    assert rows_of(postgres_database).dump() == ""


def test_prefer(on_postgres: OnPostgres, plain_database: PostgresDatabase) -> None:
    """That `prefer` verifies nothing is said once, at the start."""
    with on_postgres(plain_database.url(host="database.invalid"), ssl_mode="prefer") as proxy:
        said = proxy.output()
    (warned,) = [line for line in said.splitlines() if "unverified" in line]
    assert "ssl_mode is prefer" in warned
    assert "verify-full" in warned
