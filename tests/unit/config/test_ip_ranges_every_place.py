"""Every address that must not be reached, in every spelling, in every place it can stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from response_store.backends.postgres.resolver import resolve_checked_addresses
from response_store.config import URL_VARIABLE
from response_store.config.ip_ranges import HostPolicy
from response_store.config.postgres_target import PostgresTarget
from response_store.config.postgres_url import find_url_problems
from response_store.errors import PermanentStoreError
from tests.harness.each import each
from tests.unit.config import addresses
from tests.unit.config.conftest import Refusal

CANARY = "c4n4ry"
GOOD = "8.8.8.8"
NAMES = (
    "localhost LOCALHOST. a.localhost localhost.localdomain ip6-localhost db.example.net "
    "host.docker.internal metadata.google.internal"
).split()


def authority(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe="")


PLACES: dict[str, Callable[[str], str]] = {
    "authority": lambda host: f"{authority(host)}:5432/db",
    "authority with every character encoded": lambda host: (
        "".join(f"%{byte:02x}" for byte in host.encode()) + "/db"
    ),
    "overridden authority": lambda host: f"{authority(host)}/db?host={GOOD}",
    "authority beside hostaddr": lambda host: f"{authority(host)}/db?hostaddr={GOOD}",
    "host": lambda host: f"{GOOD}/db?host={quote(host)}",
    "host alone": lambda host: f"/db?host={quote(host)}",
    "host by an encoded name": lambda host: f"{GOOD}/db?h%6fst={quote(host)}",
    "hostaddr": lambda host: f"{GOOD}/db?hostaddr={quote(host)}",
    "hostaddr alone": lambda host: f"/db?hostaddr={quote(host)}",
    "first of two": lambda host: f"{GOOD}/db?host={quote(host)}&host={GOOD}",
    "last of two": lambda host: f"{GOOD}/db?host={GOOD}&host={quote(host)}",
    "last hostaddr of two": lambda host: f"{GOOD}/db?hostaddr={GOOD}&hostaddr={quote(host)}",
    "list": lambda host: f"{GOOD},{authority(host)}/db",
    "list with ports": lambda host: f"{authority(host)}:1,{GOOD}:2/db",
    "list of host": lambda host: f"{GOOD}/db?host={GOOD},{quote(host)}",
    "list of hostaddr": lambda host: f"{GOOD}/db?hostaddr={quote(host)},{GOOD}",
}


def all_spellings(those: list[str]) -> Iterator[str]:
    for address in those:
        yield from addresses.literals(address)
        yield from addresses.old_spellings(address)


def all_literals(those: list[str]) -> Iterator[str]:
    for address in those:
        yield from addresses.literals(address)


def refused(place: str, host: str, host_policy: HostPolicy) -> str:
    url = f"postgres://u:{CANARY}@{PLACES[place](host)}"
    text = "\n".join(map(str, find_url_problems(url, host_policy)))
    assert CANARY not in text
    return text


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=() if place in ("authority", "host") else pytest.mark.exhaustive)
        for place in PLACES
    ],
)
def test_no_place_lets_it_through(place: str) -> None:
    """Without the private opt-in nothing but public addresses passes."""
    for spelling in all_spellings(addresses.PRIVATE + addresses.NEVER):
        for host_policy in (HostPolicy.PUBLIC_ADDRESSES, HostPolicy.PUBLIC_NAMES):
            assert refused(place, spelling, host_policy), ascii(spelling)


@each("place", PLACES)
def test_the_opt_in_does_not_admit_what_is_never_a_database(place: str) -> None:
    """Metadata, multicast and unspecified stay refused, however they are written."""
    for spelling in all_spellings(addresses.NEVER):
        assert refused(place, spelling, HostPolicy.PRIVATE), ascii(spelling)


@pytest.mark.exhaustive
@each("place", PLACES)
def test_a_configuration_is_judged_alike(place: str, refusal: Refusal) -> None:
    """The file and the environment go the same way, whatever the opt-in, for every place."""
    opt_ins = ({}, {"allow_dns_database_url": True}, {"allow_private_database_url": True})
    for host, keys in [*(("10.0.0.1", keys) for keys in opt_ins[:2])] + [
        (host, keys) for host in addresses.METADATA for keys in opt_ins
    ]:
        url = f"postgres://u:{CANARY}@{PLACES[place](host)}"
        in_file = refusal({"database_url": url, **keys})
        outside = refusal(keys, {URL_VARIABLE: url})
        assert CANARY not in in_file + outside
        assert in_file.count("database_url: ") >= 1
        assert f"\n{URL_VARIABLE}: database_url: " in outside


@pytest.mark.parametrize("place", ["authority", "host", "hostaddr", "hostaddr alone"])
def test_the_opt_in_admits_private_addresses(place: str) -> None:
    """With the opt-in they pass, where they stand alone."""
    for address in addresses.PRIVATE:
        assert refused(place, address, HostPolicy.PRIVATE) == "", address


@pytest.mark.parametrize("place", ["authority", "host alone", "hostaddr"])
def test_public_addresses_pass(place: str) -> None:
    """A public address needs no opt-in."""
    for address in addresses.PUBLIC:
        assert refused(place, address, HostPolicy.PUBLIC_ADDRESSES) == "", address


@pytest.mark.parametrize("place", [place for place in PLACES if "hostaddr" not in place])
def test_no_name_passes_without_an_opt_in(place: str) -> None:
    """Names are resolved later, to anything."""
    for name in NAMES:
        assert refused(place, name, HostPolicy.PUBLIC_ADDRESSES), name


@pytest.mark.parametrize("also", [(), (GOOD,)])
def test_no_answer_of_the_resolver_lets_it_through(also: tuple[str, ...]) -> None:
    """One bad answer among good ones is enough, before or after them."""
    for spelling in all_literals(addresses.PRIVATE + addresses.NEVER):
        for answers in ([*also, spelling], [spelling, *also]):
            text = not_resolved(answers, HostPolicy.PUBLIC_NAMES)
            assert text, spelling
            assert CANARY not in text


def test_no_answer_is_never_a_database() -> None:
    """Not even with the private opt-in."""
    for spelling in all_literals(addresses.NEVER):
        text = not_resolved([GOOD, spelling], HostPolicy.PRIVATE)
        assert "no setting allows this one" in text, spelling


def not_resolved(answers: list[str], host_policy: HostPolicy) -> str:
    """Why these answers are refused; nothing where they are taken."""
    refusal = None
    try:
        resolved(answers, host_policy)
    except PermanentStoreError as error:
        refusal = error
    assert refusal is None or refusal.__context__ is None
    return str(refusal or "")


def resolved(answers: list[str], host_policy: HostPolicy) -> tuple[str, ...]:
    target = PostgresTarget("db.example.net", None, host_policy=host_policy)
    return resolve_checked_addresses(target, lambda name, port: answers)
