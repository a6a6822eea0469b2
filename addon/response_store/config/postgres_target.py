"""A checked PostgreSQL database, and the parameters that connect to it and nothing else."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from psycopg import pq
from psycopg.conninfo import make_conninfo

from response_store.config.host_policy import HostForm, classify_host
from response_store.config.ip_ranges import AddressKind, HostPolicy, classify_address, parse_literal
from response_store.config.postgres_url import NUMBERS, TIGHTENING, parse_parameters
from response_store.config.secret import Secret, mask_credentials
from response_store.config.tls import (
    SslMode,
    TlsPlan,
    TlsWarning,
    build_tls_plan,
    list_name_warnings,
    list_tls_warnings,
)

_OTHERS = frozenset({"application_name", "target_session_attrs", *TIGHTENING, *NUMBERS} - {"port"})


@dataclass(frozen=True, slots=True, repr=False)
class PostgresTarget:
    """A PostgreSQL database.

    `host` is an address, a name or the folder of a Unix socket, in plain ASCII but for a socket;
    `hostaddr` the address to go to, or None where the host is a name, which is resolved and checked
    at each connection, or a socket. `host_policy` says what such a name may resolve to. Without
    `dbname` and `user` libpq chooses.
    """

    host: str
    hostaddr: str | None
    port: int = 5432
    dbname: str | None = None
    user: str | None = None
    password: Secret | None = None
    tls: TlsPlan = field(default_factory=TlsPlan)
    others: tuple[tuple[str, str], ...] = ()
    host_policy: HostPolicy = HostPolicy.PUBLIC_ADDRESSES
    path: ClassVar[None] = None
    is_in_memory: ClassVar[bool] = False

    @property
    def server(self) -> PostgresTarget:
        """Return this target, where a file has None."""
        return self

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def is_name(self) -> bool:
        """Return whether the host has to be resolved."""
        return self.hostaddr is None and not self.is_socket

    def warnings(self) -> tuple[TlsWarning, ...]:
        """Return what to warn of at start, as far as it shows without resolving a name."""
        if self.is_socket:
            return ()
        if self.is_name and self.host_policy is not HostPolicy.PRIVATE:
            return list_tls_warnings(self.tls, AddressKind.PUBLIC)  # it leads nowhere else
        if self.is_name and _may_be_public(self.host):
            return list_name_warnings(self.tls)
        address = parse_literal(self.hostaddr or "")
        return list_tls_warnings(self.tls, None if address is None else classify_address(address))

    def describe(self) -> str:
        """Return a text that may be shown: where it is, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgres://{host}:{self.port}/{mask_credentials(self.dbname or '')}"

    def __repr__(self) -> str:
        return f"PostgresTarget({self.describe()!r}, sslmode={self.tls.mode.value!r})"


def _may_be_public(name: str) -> bool:
    """Return whether a name may lead to a public address: one
    without a dot is of the network here.
    """
    return "." in name and classify_host(name).form is HostForm.NAME


def build_postgres_target(
    url: str,
    host_policy: HostPolicy,
    ssl_mode: str | None = None,
    ssl_root_cert: str | None = None,
    directory: Path = Path(),
) -> PostgresTarget:
    """Return what a URL and TLS settings without faults name; relative files are in `directory`."""
    parameters = parse_parameters(url)
    host = classify_host(parameters.get("host") or parameters["hostaddr"])
    address = parse_literal(parameters.get("hostaddr") or host.text)
    socket = host.form is HostForm.SOCKET
    plan = build_tls_plan(parameters, ssl_mode, ssl_root_cert)
    return PostgresTarget(
        host=host.text,
        hostaddr=None if address is None else str(address),
        port=int(parameters.get("port", 5432)),
        dbname=parameters.get("dbname"),
        user=parameters.get("user"),
        password=Secret(parameters["password"]) if "password" in parameters else None,
        tls=TlsPlan(SslMode.DISABLE) if socket else plan.in_directory(directory),
        others=_list_others(parameters),
        host_policy=host_policy,
    )


def _list_others(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what libpq is given beside host and TLS; its own names are in lower case there."""
    return tuple(
        (name, value.lower() if name in _LOWERED else value)
        for name, value in parameters.items()
        if name in _OTHERS
    )


_LOWERED = ("channel_binding", "sslnegotiation")


def build_connection_parameters(target: PostgresTarget, addresses: Sequence[str]) -> dict[str, str]:
    """Return every parameter of libpq explicitly, so that no
    environment or service file adds to it.

    `addresses` are the checked ones to go to, in order, and none for a socket. The values hold the
    password: never show them. What no parameter can say is up to `clear_environment`.
    """
    password = target.password.reveal() if target.password else ""
    ours = {
        "host": ",".join([target.host] * max(1, len(addresses))),
        "hostaddr": ",".join(addresses),
        "port": str(target.port),
        "dbname": target.dbname or "",
        "user": target.user or "",
        "password": password,
    }
    return (
        _list_defaults()
        | _select_known(dict(target.others))
        | _build_tls_parameters(target.tls)
        | ours
    )


def build_connection_string(target: PostgresTarget, addresses: Sequence[str]) -> Secret:
    """Return `build_connection_parameters` as the text that psycopg and its pool take."""
    return Secret(make_conninfo(**build_connection_parameters(target, addresses)))


def _build_tls_parameters(tls: TlsPlan) -> dict[str, str]:
    files = {
        "sslrootcert": tls.root_cert_file() or _NOWHERE,
        "sslcert": tls.client_cert or _NOWHERE,
        "sslkey": tls.client_key or _NOWHERE,
    }
    # Without a certificate of ours, the one in the home folder isn't sent either.
    mode = {"sslcertmode": "allow" if tls.client_cert else "disable"}
    return {"sslmode": tls.mode.value} | files | _select_known(mode)


@functools.cache
def _list_defaults() -> dict[str, str]:
    """Return every parameter of this libpq with the value that means its built-in default.

    An empty value is that for most: as it is given, the environment is not asked.
    """
    compiled = {option.keyword.decode(): option.compiled for option in pq.Conninfo.parse(b"")}
    empty = {name: (value or b"").decode() for name, value in compiled.items()}
    return {
        name: value for name, value in empty.items() if name not in _NEVER_EMPTY
    } | _select_known(_OWN)


# An empty name of a file stands for one in the home folder. Nothing can be at this path.
_NOWHERE = "/dev/null/none"
# libpq refuses these when they are empty. A service can't be given as "none".
_NEVER_EMPTY = frozenset("service servicefile scram_client_key scram_server_key".split())
_OWN = {
    "application_name": "response-store",
    "client_encoding": "UTF8",
    "connect_timeout": "10",
    "gssencmode": "disable",  # it would come before TLS, and in its place
    "keepalives": "1",
    "keepalives_count": "5",  # 0 would be the system's, but Linux refuses it
    "keepalives_idle": "60",
    "keepalives_interval": "10",
    "max_protocol_version": "3.0",
    "min_protocol_version": "3.0",
    "passfile": _NOWHERE,
    "require_auth": "none,password,md5,gss,sspi,scram-sha-256",
    "sslcrl": _NOWHERE,
    "tcp_user_timeout": "0",
}


def _select_known(parameters: dict[str, str]) -> dict[str, str]:
    """Return the parameters that this libpq knows: it refuses the others."""
    known = {option.keyword.decode() for option in pq.Conninfo.parse(b"")}
    return {name: value for name, value in parameters.items() if name in known}
