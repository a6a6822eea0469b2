"""What a host text is: an address, a name, a socket, or nothing that can be connected to.

Judged as the resolver will read it: Python's folds full-width and circled digits, other dots and
soft hyphens, and the C library takes `127.1` and `0x7f000001` for addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Address

from .addresses import AddressKind, IPAddress, classify_address, parse_literal
from .traversal import climbs


class HostForm(Enum):
    """How a host is written."""

    ADDRESS = auto()  # the usual spelling of an IP address
    OLD_SPELLING = auto()  # an address in a spelling that programs read differently
    NAME = auto()
    LOCAL_NAME = auto()  # localhost and the like
    METADATA_NAME = auto()
    SOCKET = auto()  # the folder of a Unix socket
    ABSTRACT_SOCKET = auto()
    CLIMBING_SOCKET = auto()  # a socket's path with `..`
    EMPTY = auto()  # libpq would take the environment's host, or a socket
    LIST = auto()
    ZONED = auto()  # an IPv6 address with a zone
    INVALID = auto()


@dataclass(frozen=True, slots=True)
class Host:
    """A judged host. `text` is what to connect to: the address or name in plain ASCII, or the
    socket's path; empty where the form is none to connect to. `kind` is that of an address.
    """

    form: HostForm
    text: str = ""
    kind: AddressKind | None = None

    def __repr__(self) -> str:
        return f"Host({self.form.name})"


_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")
_MAX_NAME_LENGTH = 253

_LOCAL_NAMES = frozenset(
    """
    localhost localhost4 localhost6 localdomain localhost4.localdomain4 localhost6.localdomain6
    ip6-localhost ip6-loopback ipv6-localhost ipv6-loopback
    """.split()
)
_METADATA_NAMES = frozenset(
    """
    metadata metadata.goog metadata.google.internal metadata.azure.internal
    metadata.tencentyun.com instance-data instance-data.ec2.internal
    """.split()
)


def classify_host(text: str) -> Host:
    """Return what a host text is."""
    if not text:
        return Host(HostForm.EMPTY)
    if text.startswith("/"):
        return _classify_socket(text)
    if text.startswith("@"):
        return Host(HostForm.ABSTRACT_SOCKET)
    if "," in text:
        return Host(HostForm.LIST)
    if (address := parse_literal(text)) is not None:
        return _build_address_host(HostForm.ADDRESS, address)
    return _classify_zoned(text) or _classify_name(text)


def _classify_socket(path: str) -> Host:
    if climbs(path):
        return Host(HostForm.CLIMBING_SOCKET)
    # libpq splits the host at commas, in paths too.
    if "," in path or not path.isprintable():
        return Host(HostForm.INVALID)
    return Host(HostForm.SOCKET, path)


def _classify_zoned(text: str) -> Host | None:
    before, percent, _ = text.partition("%")
    return Host(HostForm.ZONED) if percent and parse_literal(before) else None


def _classify_name(text: str) -> Host:
    ascii_name = _normalize_name(text)
    if ascii_name is None:
        return Host(HostForm.INVALID)
    # A fold may have made an address of it, as of full-width digits.
    address = parse_literal(ascii_name) or _parse_as_inet_aton(ascii_name)
    if address is not None:
        return _build_address_host(HostForm.OLD_SPELLING, address)
    labels = ascii_name.split(".")
    if _NUMBER.fullmatch(labels[-1]) or not all(map(_LABEL.fullmatch, labels)):
        return Host(HostForm.INVALID)
    return Host(_choose_form(ascii_name, labels), ascii_name)


def _choose_form(name: str, labels: list[str]) -> HostForm:
    if name in _METADATA_NAMES:
        return HostForm.METADATA_NAME
    if name in _LOCAL_NAMES or labels[-1] in ("localhost", "localdomain"):
        return HostForm.LOCAL_NAME
    return HostForm.NAME


def _normalize_name(text: str) -> str | None:
    """Return the name in lower-case ASCII without the root's dot; None if it is no name."""
    if len(text) > _MAX_NAME_LENGTH:
        return None
    try:
        name = text if text.isascii() else text.encode("idna").decode("ascii")
    except UnicodeError:
        return None
    return name.lower().removesuffix(".")


def _parse_as_inet_aton(text: str) -> IPv4Address | None:
    """Return the address that C's `inet_aton` reads: one to four numbers, decimal, octal or hex."""
    *firsts, last = map(_parse_c_number, text.split("."))
    if len(firsts) > 3 or min(*firsts, last, 0) < 0:
        return None
    if max(firsts, default=0) > 255 or last >= 256 ** (4 - len(firsts)):
        return None
    return IPv4Address(sum(first << 8 * (3 - at) for at, first in enumerate(firsts)) + last)


def _parse_c_number(digits: str) -> int:
    """Return the number that C reads, or -1."""
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits.startswith("0") else 10
    try:
        return int(digits, base) if _NUMBER.fullmatch(digits) else -1
    except ValueError:  # an 8 or 9 in an octal number, or nothing after 0x
        return -1


def _build_address_host(form: HostForm, address: IPAddress) -> Host:
    return Host(form, str(address), classify_address(address))
