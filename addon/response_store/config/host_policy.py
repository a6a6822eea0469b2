"""Judge the hosts of URLs: what each text is, why one is refused, and the YAML that would allow
it.

Judged as the resolver will read it: Python's folds full-width and circled digits, other dots and
soft hyphens, and the C library takes `127.1` and `0x7f000001` for addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Address

from response_store.config.ip_ranges import (
    NEVER,
    AddressKind,
    HostPolicy,
    IPAddress,
    classify_address,
    parse_literal,
)
from response_store.config.problems import Problem, climbs


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


_ALLOW_DNS = """\
        allow_dns_database_url: true
    The name is resolved at each connection, all its addresses must be public, and the connection
    goes to the address that was checked."""
_ALLOW_PRIVATE = """\
        allow_private_database_url: true
    It admits every name, socket and address, this machine and its private networks too, but those
    of cloud metadata services, multicast and unspecified ones."""
_TLS_STAYS = """ The certificate is still verified
    for this host: name the server's authority with ssl_root_cert, or, where the server has no TLS,
    add ssl_mode: prefer, which verifies nothing."""

PRIVATE_MEND = f"To allow it, add this line:\n{_ALLOW_PRIVATE}{_TLS_STAYS}"
_SOCKET_MEND = f"To allow it, add this line:\n{_ALLOW_PRIVATE}"
_NAME_MEND = (
    f"To allow it, add one of these lines:\n{_ALLOW_DNS} Or:\n{_ALLOW_PRIVATE}\n"
    "    Or write the address itself."
)
_OWN_ADDRESS = "Name the database's own address: no setting allows this one."
_ONE_HOST = "Write one host: a name, a literal IP address (IPv6 in brackets), or a socket's folder."

# What no opt-in allows.
_REFUSED = {
    HostForm.EMPTY: Problem("an explicit host is missing: it is empty", _ONE_HOST),
    HostForm.LIST: Problem("multiple hosts are not allowed", _ONE_HOST),
    HostForm.ZONED: Problem("the host has a zone, which is not allowed", _ONE_HOST),
    HostForm.METADATA_NAME: Problem(
        "the host is a DNS name of a cloud's metadata service, not a literal IP address, and never "
        "a database",
        "Name the database's own host: not even allow_private_database_url allows this one.",
    ),
    HostForm.ABSTRACT_SOCKET: Problem(
        "the host begins with '@': an abstract Unix socket is not allowed",
        "Write @ in a user name or password as %40, or name the socket's folder.",
    ),
    HostForm.CLIMBING_SOCKET: Problem(
        "the socket's path has a '..' segment (path traversal)", "Write the path without '..'."
    ),
    HostForm.INVALID: Problem(
        "the host is invalid: neither a literal IP address, nor a DNS name, nor a Unix socket",
        f"{_ONE_HOST} Write @ : / ? # % in a user name or password as %40 %3A %2F %3F %23 %25.",
    ),
}

# What an opt-in may allow, by how it is written.
_UNADMITTED = {
    HostForm.NAME: Problem(
        "the host is a DNS name, not a literal IP address: names are not allowed by default",
        _NAME_MEND,
    ),
    HostForm.LOCAL_NAME: Problem(
        "the host is a local DNS name like localhost (loopback), not a public literal IP address",
        PRIVATE_MEND,
    ),
    HostForm.SOCKET: Problem("the host is a Unix socket, not a public address", _SOCKET_MEND),
    HostForm.OLD_SPELLING: Problem(
        "the host is an ambiguous spelling of an address, not a canonical literal IP, and not "
        "allowed by default: programs read it differently",
        f"Write the address in the usual way. {PRIVATE_MEND}",
    ),
}


def find_host_problem(text: str, host_policy: HostPolicy) -> Problem | None:
    """Return why a host is refused within this reach; None if it is not."""
    host = classify_host(text)
    if host.form in _REFUSED:
        return _REFUSED[host.form]
    if host.kind is not None and not host_policy.admits(host.kind):
        return _find_address_problem("the host", host.kind, host)
    return None if _is_form_admitted(host.form, host_policy) else _UNADMITTED[host.form]


def find_hostaddr_problem(text: str, host_policy: HostPolicy) -> Problem | None:
    """Return why a `hostaddr` is refused within this reach; None if it is not."""
    address = parse_literal(text)
    if address is None:
        return Problem(
            "hostaddr is not one valid IP address", "Write one address in the usual way, alone."
        )
    kind = classify_address(address)
    return None if host_policy.admits(kind) else _find_address_problem("hostaddr", kind)


def _is_form_admitted(form: HostForm, host_policy: HostPolicy) -> bool:
    match form:
        case HostForm.ADDRESS:
            return True
        case HostForm.NAME:
            return host_policy is not HostPolicy.PUBLIC_ADDRESSES
        case _:
            return host_policy is HostPolicy.PRIVATE


def _find_address_problem(place: str, kind: AddressKind, host: Host | None = None) -> Problem:
    if kind in NEVER:
        return Problem(
            f"{place} is {kind}, which is never a database and not allowed", _OWN_ADDRESS
        )
    if host is not None and host.form is HostForm.OLD_SPELLING:
        return _UNADMITTED[HostForm.OLD_SPELLING]
    return Problem(f"{place} is {kind}: not a public address, and not allowed", PRIVATE_MEND)
