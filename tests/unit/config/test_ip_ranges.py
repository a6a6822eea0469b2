"""What kind of address an address is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.config.ip_ranges import (
    NEVER,
    AddressKind,
    HostPolicy,
    choose_host_policy,
    classify_address,
    parse_literal,
)
from tests.harness.each import each
from tests.unit.config import addresses


@each("address", addresses.PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    """Addresses just outside each special range, and the exceptions within, are public."""
    assert classify_address(ip_address(address)) is AddressKind.PUBLIC


@each("address", addresses.PRIVATE)
def test_private_addresses_need_the_opt_in(address: str) -> None:
    """What isn't globally routable is admitted by the opt-in alone."""
    kind = classify_address(ip_address(address))
    assert [reach.admits(kind) for reach in HostPolicy] == [False, False, True]


@each("address", addresses.NEVER)
def test_some_addresses_are_never_a_database(address: str) -> None:
    """Metadata services, multicast and the unspecified address are refused in any case."""
    kind = classify_address(ip_address(address))
    assert kind in NEVER
    assert not any(reach.admits(kind) for reach in HostPolicy)
    assert (kind is AddressKind.METADATA) == (address in addresses.METADATA)


@pytest.mark.parametrize("address", [each for each in addresses.METADATA if ":" not in each])
def test_a_metadata_address_is_found_inside_others(address: str) -> None:
    """Whatever carries a metadata address is one, in every format of translation and tunnel."""
    for carrier in addresses.carriers(address) | addresses.literals(address):
        assert classify_address(ip_address(carrier)) is AddressKind.METADATA, carrier


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "8.8.8.8", "100.64.0.1"])
def test_what_carries_an_address_is_not_public(address: str) -> None:
    """Tunnels and local translations are not public, wherever they lead."""
    for carrier in addresses.carriers(address):
        assert not HostPolicy.PUBLIC_NAMES.admits(classify_address(ip_address(carrier))), carrier


@given(st.ip_addresses(v=4))
def test_a_translated_address_is_judged_as_the_one_inside(address: IPv4Address) -> None:
    """IPv4-mapped and NAT64 addresses are of the kind of the address inside."""
    for prefix in (0xFFFF << 32, 0x64FF9B << 96):
        assert classify_address(IPv6Address(prefix | int(address))) is classify_address(address)


@each(
    "text",
    [
        "",
        " 8.8.8.8",
        "8.8.8.8 ",
        "08.8.8.8",
        "8.8.8",
        "8.8.8.8/32",
        "8.8.8.8.",
        "[::1]",
        "fe80::1%1",
    ]
    + ["::1%", "2606:4700::1%eth0", "1.2.3.4,8.8.8.8", "٨.8.8.8", "8.8.8.8\x00", "+8.8.8.8", "0x8"],
)
def test_only_the_usual_spelling_is_a_literal(text: str) -> None:
    """No zone, no blank, no list, no other digits."""
    assert parse_literal(text) is None


def test_a_mapped_address_becomes_the_one_inside() -> None:
    """Certificates name the IPv4 address, and that is where the connection goes."""
    assert parse_literal("::ffff:8.8.8.8") == IPv4Address("8.8.8.8")


def test_the_private_opt_in_includes_names() -> None:
    """Two keys give three reaches."""
    assert choose_host_policy(allow_dns=False, allow_private=False) is HostPolicy.PUBLIC_ADDRESSES
    assert choose_host_policy(allow_dns=True, allow_private=False) is HostPolicy.PUBLIC_NAMES
    assert choose_host_policy(allow_dns=False, allow_private=True) is HostPolicy.PRIVATE
    assert choose_host_policy(allow_dns=True, allow_private=True) is HostPolicy.PRIVATE
