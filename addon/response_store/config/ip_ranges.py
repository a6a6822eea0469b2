"""Classify IP addresses: public, private, or never a database.

Deny by default: public is only what our own tables say. `ipaddress.is_global` lets through what is
not (multicast, 6to4, metadata services of clouds) and changes between patch releases. The tables
follow IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from enum import Enum, StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias

IPAddress: TypeAlias = IPv4Address | IPv6Address
_Network: TypeAlias = IPv4Network | IPv6Network


class AddressKind(StrEnum):
    """What an address is, in words that end the sentence "this is ..."."""

    PUBLIC = "a public address"
    LOOPBACK = "a loopback address"
    PRIVATE = "a private address"
    SHARED = "an address behind a carrier's NAT (private)"
    LINK_LOCAL = "a link-local address"
    RESERVED = "a reserved address"
    TUNNEL = "an address of a tunnel (6to4, Teredo or ISATAP)"
    MULTICAST = "a multicast or broadcast address"
    UNSPECIFIED = "the unspecified address"
    METADATA = "an address of a cloud's metadata service"


NEVER = frozenset({AddressKind.MULTICAST, AddressKind.UNSPECIFIED, AddressKind.METADATA})
"""Kinds that no opt-in admits."""


class HostPolicy(Enum):
    """How far a connection may go: the opt-ins of the configuration, each wider than the last."""

    PUBLIC_ADDRESSES = "public addresses, written as such"
    PUBLIC_NAMES = "names too, as long as all their addresses are public"
    PRIVATE = "all names, addresses and sockets but those that are never a database"

    def admits(self, kind: AddressKind) -> bool:
        """Return whether a connection may go to an address of this kind."""
        return kind not in NEVER and (kind is AddressKind.PUBLIC or self is HostPolicy.PRIVATE)


def choose_host_policy(*, allow_dns: bool, allow_private: bool) -> HostPolicy:
    """Return the reach that the two keys allow:
    `allow_private_database_url` admits names as well.
    """
    if allow_private:
        return HostPolicy.PRIVATE
    return HostPolicy.PUBLIC_NAMES if allow_dns else HostPolicy.PUBLIC_ADDRESSES


METADATA_ADDRESSES = frozenset(
    map(
        ipaddress.ip_address,
        """
        169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 169.254.10.10 169.254.42.42
        100.100.100.200 192.0.0.192 168.63.129.16
        fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 fe80::a9fe:a9fe
        """.split(),
    )
)


def _build_table(kinds: dict[AddressKind, str]) -> list[tuple[_Network, AddressKind]]:
    """Return the networks with their kinds, the narrowest first."""
    rows = [
        (ipaddress.ip_network(network), kind)
        for kind, networks in kinds.items()
        for network in networks.split()
    ]
    return sorted(rows, key=lambda row: -row[0].prefixlen)


_IPV4 = _build_table(
    {
        AddressKind.PUBLIC: "0.0.0.0/0 192.0.0.9/32 192.0.0.10/32",
        AddressKind.UNSPECIFIED: "0.0.0.0/32",
        AddressKind.LOOPBACK: "127.0.0.0/8",
        AddressKind.PRIVATE: "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16",
        AddressKind.SHARED: "100.64.0.0/10",
        AddressKind.LINK_LOCAL: "169.254.0.0/16",
        # This network, protocol assignments, documentation, 6to4 relays, benchmarks, the future.
        AddressKind.RESERVED: """
            0.0.0.0/8 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24
            203.0.113.0/24 240.0.0.0/4
        """,
        AddressKind.MULTICAST: "224.0.0.0/4 255.255.255.255/32",
    }
)

_IPV6 = _build_table(
    {
        # All that is global unicast, and the anycast and AS112 exceptions within 2001::/23.
        AddressKind.PUBLIC: "2000::/3 2001:1::1/128 2001:1::2/128 2001:3::/32 2001:4:112::/48",
        AddressKind.UNSPECIFIED: "::/128",
        AddressKind.LOOPBACK: "::1/128",
        AddressKind.PRIVATE: "fc00::/7 fec0::/10",
        AddressKind.LINK_LOCAL: "fe80::/10",
        AddressKind.TUNNEL: "2001::/32 2002::/16",
        # Whatever is not global unicast, protocol assignments, documentation.
        AddressKind.RESERVED: "::/0 2001::/23 2001:db8::/32 3fff::/20",
        AddressKind.MULTICAST: "ff00::/8",
    }
)

# IPv4-mapped and NAT64: the connection goes to the IPv4 address in the last 32 bits.
_TRANSLATED = tuple(map(IPv6Network, ("::ffff:0:0/96", "64:ff9b::/96")))
# Addresses that carry an IPv4 address without being public: by how many bits it stands from the
# right. IPv4-compatible, SIIT, NAT64 of a local network (four formats, RFC 6052), 6to4, Teredo.
_CARRIERS = tuple(
    (IPv6Network(network), shifts)
    for network, shifts in {
        "::/96": (0,),
        "::ffff:0:0:0/96": (0,),
        "64:ff9b:1::/48": (0,),
        "2002::/16": (80,),
        "2001::/32": (64,),
    }.items()
)
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # bits 64 to 95, RFC 5214


def parse_literal(text: str) -> IPAddress | None:
    """Return the address that a text spells in the usual way, or None.

    It has no zone and no leading zeros: nothing that `inet_aton` reads and others do not.
    """
    if "%" in text:
        return None
    try:
        return unmap_address(ipaddress.ip_address(text))
    except ValueError:
        return None


def unmap_address(address: IPAddress) -> IPAddress:
    """Return the IPv4 address of an IPv4-mapped one: it goes there, and certificates name it so."""
    return getattr(address, "ipv4_mapped", None) or address


def classify_address(address: IPAddress) -> AddressKind:
    """Return what kind of address this is, judged by the address inside where it carries one."""
    if isinstance(address, IPv4Address):
        return AddressKind.METADATA if address in METADATA_ADDRESSES else _look_up(address, _IPV4)
    address = IPv6Address(int(address))  # without its zone
    if any(address in network for network in _TRANSLATED):
        return classify_address(_take_low_bits(address))
    if address in METADATA_ADDRESSES:
        return AddressKind.METADATA
    return _find_worst_inside(address) or _classify_itself(address)


def _classify_itself(address: IPv6Address) -> AddressKind:
    is_isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    kind = _look_up(address, _IPV6)
    return AddressKind.TUNNEL if kind is AddressKind.PUBLIC and is_isatap else kind


def _find_worst_inside(address: IPv6Address) -> AddressKind | None:
    """Return METADATA or MULTICAST where the address carries such a one: no opt-in admits it."""
    kinds = {classify_address(inner) for inner in _list_carried(address)}
    worst = (AddressKind.METADATA, AddressKind.MULTICAST)
    return next((kind for kind in worst if kind in kinds), None)


def _list_carried(address: IPv6Address) -> Iterator[IPv4Address]:
    for network, shifts in _CARRIERS:
        if address in network:
            yield from (_take_low_bits(address, shift) for shift in shifts)
    if address in _LOCAL_NAT64:
        yield from _list_local_nat64(int(address))
    if address.teredo is not None:
        yield address.teredo[1]
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        yield _take_low_bits(address)


def _list_local_nat64(bits: int) -> Iterable[IPv4Address]:
    """Return the addresses after a prefix of 48, 56 and 64 bits; bits 64 to 71 are left out."""
    joined = (bits >> 64 & 0xFFFF) << 56 | bits & (1 << 56) - 1  # what follows the 48 bits
    return (IPv4Address(joined >> shift & 0xFFFFFFFF) for shift in (40, 32, 24))


def _take_low_bits(address: IPv6Address, shift: int = 0) -> IPv4Address:
    return IPv4Address(int(address) >> shift & 0xFFFFFFFF)


def _look_up(address: IPAddress, table: list[tuple[_Network, AddressKind]]) -> AddressKind:
    return next(kind for network, kind in table if address in network)
