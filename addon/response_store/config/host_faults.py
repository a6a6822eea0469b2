"""Why a host is refused, and the lines of the YAML that would allow it."""

from __future__ import annotations

from .addresses import NEVER, AddressKind, HostPolicy, classify_address, parse_literal
from .hosts import Host, HostForm, classify_host
from .problems import Problem

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
