"""Where a connection goes, checked at each one."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from psycopg.conninfo import conninfo_to_dict

from response_store.backends.postgres.resolver import (
    build_checked_connection_string,
    resolve_by_system,
    resolve_checked_addresses,
)
from response_store.config import Secret
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import PostgresTarget
from response_store.errors import PermanentStoreError, TransientStoreError

NAME = PostgresTarget(
    "db.example.net", None, password=Secret("c4n4ry"), host_policy=HostPolicy.PUBLIC_NAMES
)


class Answers:
    """A resolver that answers one list after the other."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[tuple[str, int]] = []
        self._answers = iter(answers)

    def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked.append((name, port))
        return next(self._answers)


def unexpected(name: str, port: int) -> Sequence[str]:
    raise AssertionError("nothing is to be resolved")


def test_a_name_is_pinned_to_what_was_checked() -> None:
    """The name stays for the certificate, one for each address; libpq resolves nothing."""
    resolver = Answers(["8.8.8.8", "2606:4700::1", "8.8.8.8"])
    given = conninfo_to_dict(build_checked_connection_string(NAME, resolver).reveal())
    assert given["hostaddr"] == "8.8.8.8,2606:4700::1"
    assert given["host"] == "db.example.net,db.example.net"
    assert resolver.asked == [("db.example.net", 5432)]


def test_the_second_connection_is_checked_as_the_first() -> None:
    """A resolver that answers public first and loopback second gets no second connection."""
    resolver = Answers(["8.8.8.8"], ["127.0.0.1"])
    assert resolve_checked_addresses(NAME, resolver) == ("8.8.8.8",)
    with pytest.raises(PermanentStoreError, match="allow_private_database_url: true") as caught:
        resolve_checked_addresses(NAME, resolver)
    assert "a loopback address" in str(caught.value)


def test_an_address_is_not_resolved() -> None:
    """An address is connected to as it stands, also where the host is a name beside hostaddr."""
    target = PostgresTarget("db.example.net", "8.8.8.8")
    assert resolve_checked_addresses(target, unexpected) == ("8.8.8.8",)


def test_an_address_is_checked_again() -> None:
    """Whoever makes a target by hand gains nothing."""
    with pytest.raises(PermanentStoreError):
        resolve_checked_addresses(PostgresTarget("10.0.0.1", "10.0.0.1"), unexpected)


def test_a_socket_has_no_address() -> None:
    """A socket's folder is the host, and hostaddr is empty, whatever the environment says."""
    target = PostgresTarget("/run/postgresql", None, host_policy=HostPolicy.PRIVATE)
    given = conninfo_to_dict(build_checked_connection_string(target, unexpected).reveal())
    assert (given["host"], given["hostaddr"]) == ("/run/postgresql", "")


@pytest.mark.parametrize(
    "error", [socket.gaierror(-2, "c4n4ry"), UnicodeError("c4n4ry"), TimeoutError()]
)
def test_a_name_that_does_not_resolve_may_later(error: Exception) -> None:
    """The resolver's error may pass, and its text is dropped."""

    def failing(name: str, port: int) -> Sequence[str]:
        raise error

    with pytest.raises(TransientStoreError, match="doesn't resolve") as caught:
        resolve_checked_addresses(NAME, failing)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_no_answer_is_no_permission() -> None:
    """An empty answer must not become an empty hostaddr."""
    with pytest.raises(TransientStoreError):
        resolve_checked_addresses(NAME, lambda name, port: [])


def test_an_answer_that_is_no_address_is_refused() -> None:
    """The resolver is not trusted with texts."""
    with pytest.raises(PermanentStoreError, match="no IP address"):
        resolve_checked_addresses(NAME, lambda name, port: ["db,127.0.0.1"])


def test_a_mapped_answer_becomes_the_address_inside() -> None:
    """It goes there, and a certificate names it so."""
    assert resolve_checked_addresses(NAME, lambda name, port: ["::ffff:8.8.8.8"]) == ("8.8.8.8",)


def test_the_number_of_attempts_is_bounded() -> None:
    """Each address costs a connection timeout."""
    many = [f"8.8.8.{last}" for last in range(100)]
    assert len(resolve_checked_addresses(NAME, lambda name, port: many)) == 8


def test_the_system_resolver_reads_numbers() -> None:
    """The system's answers are texts, without asking a name server for an address."""
    assert resolve_by_system("127.0.0.1", 5432) == ["127.0.0.1"]
