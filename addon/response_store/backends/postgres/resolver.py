"""Resolve where a connection goes, checked each time, with nothing taken from the environment.

A connection string can name every parameter, but not what a session begins with: PGTZ,
PGDATESTYLE and PGGEQO go to the server whatever it says, and a service that does not exist makes
libpq fail.

What was checked is what is connected to: the addresses are handed to libpq, which then asks no
resolver. The name stays for the certificate.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from typing import TypeAlias

from psycopg import pq

from response_store.config.ip_ranges import (
    NEVER,
    AddressKind,
    HostPolicy,
    classify_address,
    unmap_address,
)
from response_store.config.postgres_target import PostgresTarget, build_connection_string
from response_store.config.secret import Secret
from response_store.errors import PermanentStoreError, TransientStoreError

# Those that are no parameters' own; source: the PostgreSQL manual, "Environment Variables".
_OTHERS = frozenset(
    {
        *("PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR"),
        *("PGREQUIRESSL", "PGREALM", "PGLOCALEDIR", "PGSSLKEYLOGFILE"),
    }
)


def clear_environment() -> None:
    """Take libpq's variables out of this process's environment. Idempotent, from any thread."""
    for name in list_variables():
        os.environ.pop(name, None)


@functools.cache
def list_variables() -> frozenset[str]:
    """Return the names of all variables that libpq reads."""
    options = pq.Conninfo.parse(b"")
    return _OTHERS | {option.envvar.decode() for option in options if option.envvar}


Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Takes a name and a port, gives addresses as texts; raises OSError where there are none."""

_MAX_ADDRESSES = 8  # each is tried for connect_timeout


def resolve_by_system(name: str, port: int) -> Sequence[str]:
    """Return the addresses of a name by the system's resolver, the nearest first."""
    answers = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(answer[4][0]) for answer in answers]


def build_checked_connection_string(
    target: PostgresTarget, resolver: Resolver = resolve_by_system
) -> Secret:
    """Return the connection string for one physical connection, pinned to checked addresses.

    Takes libpq's variables out of the environment. Raises TransientStoreError where the name
    does not resolve, and PermanentStoreError where it resolves to what is not allowed.
    """
    clear_environment()
    return build_connection_string(target, resolve_checked_addresses(target, resolver))


def resolve_checked_addresses(
    target: PostgresTarget, resolver: Resolver = resolve_by_system
) -> tuple[str, ...]:
    """Return the addresses that a connection may go to now, in the
    resolver's order; none for a socket.

    Every answer must be allowed, not only one of them. Raises as `build_checked_connection_string`.
    """
    if target.is_socket:
        return ()
    answers = _resolve(target, resolver) if target.hostaddr is None else [target.hostaddr]
    checked = dict.fromkeys(_check_address(answer, target.host_policy) for answer in answers)
    return tuple(checked)[:_MAX_ADDRESSES]


def _resolve(target: PostgresTarget, resolver: Resolver) -> Sequence[str]:
    try:
        answers = resolver(target.host, target.port)
    except (OSError, UnicodeError):
        answers = ()
    if not answers:
        raise TransientStoreError(
            "The host name in database_url doesn't resolve to an address. "
            "Check the name and the resolver."
        )
    return answers


def _check_address(answer: str, host_policy: HostPolicy) -> str:
    try:
        address = unmap_address(ipaddress.ip_address(answer))
    except ValueError:
        raise PermanentStoreError(
            "The host name in database_url resolves to what is no IP address."
        ) from None
    if not host_policy.admits(kind := classify_address(address)):
        raise PermanentStoreError(_explain_refusal(kind))
    return str(address)


def _explain_refusal(kind: AddressKind) -> str:
    rule = f"The host in database_url leads to {kind}, which is not allowed"
    if kind in NEVER:
        return f"{rule}. Name the database's own host: no setting allows this one."
    return (
        f"{rule}: all its addresses must be public. To allow it, add this line to the YAML:\n"
        "    allow_private_database_url: true\n"
        "It admits every name, socket and address, this machine and its private networks too, but "
        "those of cloud metadata services, multicast and unspecified ones."
    )
