"""What a URL names, and what libpq is told of it."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
from pathlib import Path

import pytest
from psycopg import ProgrammingError, pq
from psycopg.conninfo import conninfo_to_dict

from response_store.backends.postgres.resolver import (
    build_checked_connection_string,
    list_variables,
)
from response_store.config import Secret, postgres_url
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import (
    PostgresTarget,
    build_connection_parameters,
    build_connection_string,
    build_postgres_target,
)
from response_store.config.postgres_url import find_postgres_problems
from response_store.config.tls import SslMode, TlsPlan
from tests.harness.each import each

CANARY = "c4n4ry"
URL = f"postgres://user:{CANARY}@8.8.8.8:6432/db?application_name=x&connect_timeout=3"


def target(url: str, reach: HostPolicy = HostPolicy.PRIVATE) -> PostgresTarget:
    assert list(find_postgres_problems(url, reach)) == []
    return build_postgres_target(url, reach)


@pytest.mark.parametrize(
    ("url", "host", "hostaddr", "port"),
    [
        ("postgres://8.8.8.8", "8.8.8.8", "8.8.8.8", 5432),
        ("postgres://[2606:4700:0::1]:1/db", "2606:4700::1", "2606:4700::1", 1),
        ("postgres://[::ffff:8.8.8.8]/db", "8.8.8.8", "8.8.8.8", 5432),
        ("postgres://127.1/db", "127.0.0.1", "127.0.0.1", 5432),
        ("postgres://DB.Example.net./db", "db.example.net", None, 5432),
        ("postgres://db/x?hostaddr=10.0.0.1", "db", "10.0.0.1", 5432),
        ("postgres:///x?hostaddr=10.0.0.1", "10.0.0.1", "10.0.0.1", 5432),
        ("postgres://1.2.3.4:1/db?host=8.8.8.8&port=2", "8.8.8.8", "8.8.8.8", 2),
        ("postgres://%2Frun%2Fpg:2/db", "/run/pg", None, 2),
    ],
)
def test_a_url_names_a_place(url: str, host: str, hostaddr: str | None, port: int) -> None:
    """An address is its own hostaddr; a name and a socket have none."""
    found = target(url)
    assert (found.host, found.hostaddr, found.port) == (host, hostaddr, port)
    assert found.is_name == (host == "db.example.net")
    assert found.is_socket == host.startswith("/")


def test_credentials_are_decoded() -> None:
    """Every reserved character can stand in them."""
    found = target("postgres://u%3Aser:p%40%2F%3F%23%5B%5D%3A%25@8.8.8.8:6432/db%2Fname")
    assert (found.user, found.dbname) == ("u:ser", "db/name")
    assert found.password == Secret("p@/?#[]:%")


@each(
    "url",
    [
        "postgres://1.2.3.4?x=@8.8.8.8/db",
        "postgres://8.8.8.8?password=p@ss",
        "postgres://u:p@8.8.8.8@1.2.3.4/db",
        "postgres://u:12/ss@8.8.8.8/db",
        "postgres://u:p#w/x@8.8.8.8/db",
        "postgres://8.8.8.8/db#x",
        "postgres://8.8.8.8/db?user=a&user=b",
        "postgres://u@8.8.8.8/db?user=a",
        "postgres://8.8.8.8/db?dbname=x",
        "postgres://8.8.8.8/db?a",
        "postgres://8.8.8.8/db?application_name=a=b",
        "postgres://8.8.8.8/db?application_name=a&",
        "postgres://8.8.8.8/db?application_name=",
        "postgres://8.8.8.8/db?application_name=%FF",
        "postgres://8.8.8.8/db?application_name=a%0Ab",
        "postgres://8.8.8.8/db?application%09_name=a",
        "postgres://8.8.8.8/db?ho\tst=8.8.4.4",
        "postgres://u:%FF@8.8.8.8/db",
        "postgres://8.8.8.8/d b",
        "postgres://8.8.8.8:0/db",
        "postgres://8.8.8.8:65536/db",
        "postgres://8.8.8.8:%31_0/db",
        "postgres://8.8.8.8/db?port=+5432",
        "postgres://8.8.8.8/db?port=%D9%A1",
        "postgres://8.8.8.8/db?keepalives=2",
        "postgres://8.8.8.8/db?keepalives_idle=0",
        "postgres://8.8.8.8/db?tcp_user_timeout=-1",
        "postgres://8.8.8.8/db?connect_timeout=99999999999",
        "postgres://8.8.8.8/db?target_session_attrs=standby",
        "postgres://8.8.8.8/db?ssl=true",
        "postgres://8.8.8.8/db?options=-c%20x",
        "postgres://8.8.8.8/db?sslkeylogfile=/tmp/x",
        "postgres:///db?host=/run&hostaddr=8.8.8.8",
        "POSTGRES://8.8.8.8/db",
        "postgres://8.8.8.8/\x00",
        "postgres://\ud800@8.8.8.8/",
        "postgres://8.8.8.8/" + "a" * 10_000,
        "host=8.8.8.8",
    ],
)
def test_what_is_ambiguous_or_not_allowed_is_refused(url: str) -> None:
    """Even with the widest opt-in."""
    assert list(find_postgres_problems(url, HostPolicy.PRIVATE))


@pytest.mark.parametrize("reader", [{"host": "10.0.0.1"}, ProgrammingError(CANARY), UnicodeError()])
def test_libpq_has_the_last_word(
    reader: dict[str, str] | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where libpq reads the whole URL otherwise than its pieces were judged, it is refused."""

    def read(text: str) -> dict[str, str]:
        if "?" not in text:
            return conninfo_to_dict(text)
        if isinstance(reader, Exception):
            raise reader
        return reader

    monkeypatch.setattr(postgres_url, "conninfo_to_dict", read)
    [(key, fault)] = find_postgres_problems(URL, HostPolicy.PRIVATE)
    assert key == "database_url"
    assert "libpq can't read it" in fault.rule


def test_all_that_libpq_knows_is_explicit() -> None:
    """Whatever is explicit can't come from the environment, a service file or the home folder."""
    given = build_connection_parameters(target(URL), ["8.8.8.8"])
    known = {option.keyword.decode() for option in pq.Conninfo.parse(b"")}
    assert known - set(given) <= {"service", "servicefile", "scram_client_key", "scram_server_key"}
    assert given["host"] == given["hostaddr"] == "8.8.8.8"
    assert given["application_name"] == "x"
    assert given["connect_timeout"] == "3"
    assert given["sslmode"] == "verify-full"
    assert given["sslcertmode"] == "disable"
    assert given["gssencmode"] == "disable"


SERVICE = """\
[evil]
host=evil.example
hostaddr=127.0.0.9
port=9
user=evil
password=evil
dbname=evil
sslmode=disable
sslrootcert=/evil
options=-c evil=1
replication=database
sslkeylogfile=/tmp/evil
client_encoding=LATIN1
"""


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment that sets all that libpq reads from it."""
    service = tmp_path / "service.conf"
    service.write_text(SERVICE)
    for option in pq.Conninfo.parse(b""):
        if option.envvar:
            monkeypatch.setenv(option.envvar.decode(), "9" if option.keyword == b"port" else "evil")
    for name, value in {
        "PGHOSTADDR": "127.0.0.9",
        "PGSERVICE": "evil",
        "PGSERVICEFILE": str(service),
        "PGSSLMODE": "disable",
        "PGREQUIRESSL": "1",
        "PGOPTIONS": "-c evil=1",
        "PGPASSFILE": "/evil",
    }.items():
        monkeypatch.setenv(name, value)


# What libpq fills in by itself, without being told by anybody.
OF_ITS_OWN = {"service", "servicefile", "passfile", "user", "dbname"}


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("query", ["", "?sslmode=prefer&application_name=x&connect_timeout=9"])
def test_the_environment_changes_nothing(query: str) -> None:
    """libpq itself says what it would connect with: what was given, and nothing from outside."""
    found = target(f"postgres://127.0.0.1:1/{query}")
    text = build_checked_connection_string(found).reveal()
    connection = pq.PGconn.connect_start(text.encode())
    in_force = {each.keyword.decode(): each.val for each in connection.info}
    connection.finish()
    given = conninfo_to_dict(text)
    told = {name: (value or b"").decode() for name, value in in_force.items()}
    for name, value in given.items():
        assert told[name] == value or name in OF_ITS_OWN, name
    from_outside = {name for name, value in told.items() if "evil" in value}
    assert from_outside <= {"service", "servicefile"}
    assert told["host"] == told["hostaddr"] == "127.0.0.1"


@pytest.mark.usefixtures("hostile")
def test_the_environment_does_not_change_what_a_url_says() -> None:
    """Parsing looks at the URL alone."""
    assert [
        str(f.rule) for _, f in find_postgres_problems("postgres:///db", HostPolicy.PRIVATE)
    ] == ["an explicit host is missing"]
    assert target("postgres://8.8.8.8").user is None


def test_the_home_folder_of_libpq_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A root certificate and a client certificate in ~/.postgresql are not taken."""
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    for url in (URL, "postgres://8.8.8.8/?sslmode=require", "postgres://8.8.8.8/?sslmode=prefer"):
        given = build_connection_parameters(target(url), ["8.8.8.8"])
        for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile"):
            assert given[name], f"{name} is empty, which means a file in the home folder"
        assert not any(str(tmp_path) in value for value in given.values())
        assert given["sslcertmode"] == "disable"


@pytest.mark.usefixtures("hostile")
def test_every_variable_is_taken_out() -> None:
    """Before a connection is made, nothing is left of what libpq reads: its own words name all."""
    for name in ("PGTZ", "PGDATESTYLE", "PGGEQO"):
        os.environ[name] = "evil"
    build_checked_connection_string(target(URL))
    named = {option.envvar.decode() for option in pq.Conninfo.parse(b"") if option.envvar}
    assert (
        named | {"PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICE", "PGSERVICEFILE"} <= list_variables()
    )
    assert not list_variables() & set(os.environ)


def test_a_client_certificate_is_sent() -> None:
    """Where the URL names one."""
    found = target("postgres://8.8.8.8/db?sslcert=/c.pem&sslkey=/k.pem&sslrootcert=/r.pem")
    given = build_connection_parameters(found, ["8.8.8.8"])
    files = [given[name] for name in ("sslcert", "sslkey", "sslrootcert", "sslcertmode")]
    assert files == ["/c.pem", "/k.pem", "/r.pem", "allow"]


@pytest.mark.parametrize(
    "password", ["a b", "it's", "back\\slash", "'; host=evil", "\u00fc\u2603", " ", "a=b"]
)
def test_a_password_stays_whole(password: str) -> None:
    """Whatever a password holds, it can't become another parameter."""
    found = dataclasses.replace(target(URL), password=Secret(password))
    given = conninfo_to_dict(build_connection_string(found, ["8.8.8.8"]).reveal())
    assert given == build_connection_parameters(found, ["8.8.8.8"])
    assert given["password"] == password


def test_a_target_shows_no_secret() -> None:
    """Neither user nor password is in any text that a target makes of itself."""
    found = target(URL)
    shown = f"{found} {found!r} {found.describe()} {build_connection_string(found, ['8.8.8.8'])!r}"
    assert CANARY not in shown
    assert "user" not in shown
    assert found.describe() == "postgres://8.8.8.8:6432/db"
    assert copy.deepcopy(found) == found
    with pytest.raises(TypeError):
        pickle.dumps(found)


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (PostgresTarget("::1", "::1"), "postgres://[::1]:5432/"),
        (PostgresTarget("/run/pg", None, dbname="d"), "postgres:///run/pg:5432/d"),
        (PostgresTarget("h", None, dbname=f"{CANARY}@d"), "postgres://h:5432/***@d"),
    ],
)
def test_a_place_is_described(made: PostgresTarget, shown: str) -> None:
    """Host, port and database; what stands before an @ may be credentials."""
    assert made.describe() == shown


def test_a_target_is_frozen_and_hashable() -> None:
    """It can be a key, and nobody changes it after the check."""
    found = PostgresTarget("h", None, tls=TlsPlan(SslMode.PREFER))
    assert hash(found) == hash(dataclasses.replace(found))
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.host = "x"
