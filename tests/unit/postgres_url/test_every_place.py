"""Every address that must not be reached, in every spelling, in every place it can stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest

from response_store.config.addresses import Reach
from response_store.config.postgres_target import PostgresTarget
from response_store.config.postgres_url import postgres_url_faults
from response_store.errors import PermanentStoreError
from response_store.store.resolving import checked_addresses

from . import addresses

CANARY = "c4n4ry"
GOOD = "8.8.8.8"


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


def spellings(address: str) -> Iterator[str]:
    yield from addresses.literals(address)
    yield from addresses.old_spellings(address)


def refused(place: str, host: str, reach: Reach) -> str:
    url = f"postgres://u:{CANARY}@{PLACES[place](host)}"
    text = "\n".join(map(str, postgres_url_faults(url, reach)))
    assert CANARY not in text
    return text


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("address", [*addresses.PRIVATE, *addresses.NEVER])
def test_no_place_lets_it_through(place: str, address: str) -> None:
    """Without the private opt-in nothing but public addresses passes."""
    for spelling in spellings(address):
        for reach in (Reach.PUBLIC_ADDRESSES, Reach.PUBLIC_NAMES):
            assert refused(place, spelling, reach), ascii(spelling)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("address", addresses.NEVER)
def test_the_opt_in_does_not_admit_what_is_never_a_database(place: str, address: str) -> None:
    """Metadata, multicast and unspecified stay refused, however they are written."""
    for spelling in spellings(address):
        assert refused(place, spelling, Reach.PRIVATE), ascii(spelling)


@pytest.mark.parametrize("place", ["authority", "host", "hostaddr", "hostaddr alone"])
@pytest.mark.parametrize("address", addresses.PRIVATE)
def test_the_opt_in_admits_private_addresses(place: str, address: str) -> None:
    """With the opt-in they pass, where they stand alone."""
    assert refused(place, address, Reach.PRIVATE) == ""


@pytest.mark.parametrize("place", ["authority", "host alone", "hostaddr"])
@pytest.mark.parametrize("address", addresses.PUBLIC)
def test_public_addresses_pass(place: str, address: str) -> None:
    """A public address needs no opt-in."""
    assert refused(place, address, Reach.PUBLIC_ADDRESSES) == ""


@pytest.mark.parametrize(
    "name",
    "localhost LOCALHOST. a.localhost localhost.localdomain ip6-localhost db.example.net "
    "host.docker.internal metadata.google.internal".split(),
)
@pytest.mark.parametrize("place", [place for place in PLACES if "hostaddr" not in place])
def test_no_name_passes_without_an_opt_in(place: str, name: str) -> None:
    """Names are resolved later, to anything."""
    assert refused(place, name, Reach.PUBLIC_ADDRESSES)


@pytest.mark.parametrize("also", [(), (GOOD,)])
@pytest.mark.parametrize("address", [*addresses.PRIVATE, *addresses.NEVER])
def test_no_answer_of_the_resolver_lets_it_through(address: str, also: tuple[str, ...]) -> None:
    """One bad answer among good ones is enough, before or after them."""
    for spelling in addresses.literals(address):
        for answers in ([*also, spelling], [spelling, *also]):
            with pytest.raises(PermanentStoreError) as caught:
                resolved(answers, Reach.PUBLIC_NAMES)
            assert CANARY not in str(caught.value)
            assert caught.value.__context__ is None


@pytest.mark.parametrize("address", addresses.NEVER)
def test_no_answer_is_never_a_database(address: str) -> None:
    """Not even with the private opt-in."""
    for spelling in addresses.literals(address):
        with pytest.raises(PermanentStoreError, match="no setting allows this one"):
            resolved([GOOD, spelling], Reach.PRIVATE)


def resolved(answers: list[str], reach: Reach) -> tuple[str, ...]:
    target = PostgresTarget("db.example.net", None, reach=reach)
    return checked_addresses(target, lambda name, port: answers)
