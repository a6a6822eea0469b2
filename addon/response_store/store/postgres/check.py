"""A check of a PostgreSQL database with one connection, and of the way there.

The way is the store's own: the same resolver, the same check of each address, the same TLS.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
from collections.abc import Sequence
from contextlib import closing

from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.config.secret import mask_credentials
from response_store.config.tls import SslMode
from response_store.errors import StoreError
from response_store.store.connection_check import Findings
from response_store.store.postgres.certificate import ServerCertificate, fetch_certificate
from response_store.store.postgres.connections import PostgresConnections, is_pooled
from response_store.store.postgres.errors import translate_errors
from response_store.store.postgres.fitness import check_privileges
from response_store.store.postgres.resolving import (
    Resolver,
    resolve_by_system,
    resolve_checked_addresses,
)
from response_store.store.postgres.values import Connection
from response_store.store.postgres.watchdog import BatchDeadline, Watchdog

_DEADLINE = BatchDeadline(seconds=30.0, max_seconds=30.0)
_TLS = "SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"


def check_postgres(
    target: PostgresTarget,
    tables: TableNames,
    findings: Findings,
    resolver: Resolver = resolve_by_system,
) -> None:
    """Connect once, and note what there is to know. Raises nothing: what fails is a problem."""
    where = f"PostgreSQL {target.describe()}"
    noted = _RecordingResolver(resolver)
    with closing(Watchdog(where, _DEADLINE)) as watchdog:
        try:
            connection = PostgresConnections(target, watchdog, resolver=noted).connect()
        except StoreError as error:
            findings.object_to(str(error))
            _note_host(target, noted.answers, findings)
            _note_certificate_after_failure(target, noted.answers, findings)
            return
        with closing(connection):
            _note_host(target, noted.answers, findings)
            try:
                with translate_errors(where), watchdog.watching(connection):
                    _note_connection(target, connection, findings)
                    check_privileges(connection, tables, where, findings)
            except StoreError as error:
                findings.object_to(str(error))


class _RecordingResolver:
    """A resolver that remembers what it has answered."""

    def __init__(self, resolver: Resolver) -> None:
        self.answers: list[str] = []
        self._resolver = resolver

    def __call__(self, name: str, port: int) -> Sequence[str]:
        self.answers += (answers := self._resolver(name, port))
        return answers


def _note_host(target: PostgresTarget, answers: Sequence[str], findings: Findings) -> None:
    if target.is_socket:
        findings.note("host", f"the socket in {target.host}")
    elif target.is_name:
        resolved = ", ".join(dict.fromkeys(answers))
        findings.note("host", target.host)
        findings.note("resolved to", resolved or "nothing")
    else:
        findings.note("host", target.host)
        findings.note("resolved to", f"{target.hostaddr}, as the URL says")


def _note_connection(target: PostgresTarget, connection: Connection, findings: Findings) -> None:
    address = None if target.is_socket else _get_peer(connection)
    if address is not None:
        findings.note("connected to", f"{address[0]}, port {address[1]}")
    if not connection.pgconn.ssl_in_use:
        findings.note("tls", "none: plain text" if address else "none: a socket needs none")
    else:
        row = connection.execute(_TLS).fetchone()
        # A pooler between has a connection of its own to the server, which may be without TLS.
        findings.note("tls", ", ".join(row) if row else "yes, to a pooler")
        if address is not None:
            _note_certificate(fetch_certificate(*address, _choose_server_name(target)), findings)
    if address is not None:
        findings.note("verified", _describe_verification(target, connection.pgconn.ssl_in_use))
    if is_pooled(connection):
        findings.note("pooler", "yes: the session that answers is not the one of the login")
    version = connection.info.parameter_status("server_version") or "of an unknown version"
    findings.note("server", f"PostgreSQL {version}")


def _note_certificate_after_failure(
    target: PostgresTarget, answers: Sequence[str], findings: Findings
) -> None:
    """Note the certificate after a failure, for which it may be the reason."""
    if target.is_socket or target.tls.mode is SslMode.DISABLE or (target.is_name and not answers):
        return
    try:
        addresses = resolve_checked_addresses(target, lambda *_: answers)
    except StoreError:
        return
    shown = (
        fetch_certificate(address, target.port, _choose_server_name(target))
        for address in addresses
    )
    if (certificate := next(filter(None, shown), None)) is not None:
        _note_certificate(certificate, findings)


def _note_certificate(certificate: ServerCertificate | None, findings: Findings) -> None:
    if certificate is None:
        findings.note("certificate", "could not be looked at")
        return
    findings.note("certificate", certificate.subject or "without a subject")
    findings.note("made out to", ", ".join(certificate.names) or "no name")
    findings.note("signed by", certificate.issuer or "nobody")
    findings.note("valid", certificate.validity(dt.datetime.now(dt.UTC)))


def _get_peer(connection: Connection) -> tuple[str, int]:
    """Return address and port at the other end of the socket."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        address, port, *_ = line.getpeername()
        return str(address), int(port)


def _choose_server_name(target: PostgresTarget) -> str | None:
    return None if target.host == target.hostaddr else target.host


def _describe_verification(target: PostgresTarget, protected: bool) -> str:
    mode = target.tls.mode
    if not protected or not mode.verifies:
        return f"no: ssl_mode {mode.value} takes any server for the right one"
    authorities = f"signed by an authority in {mask_credentials(target.tls.root_cert_file())}"
    if mode is SslMode.VERIFY_CA:
        return f"{authorities}; the name in it was not checked (ssl_mode verify-ca)"
    return f"{authorities}, and made out to {target.host}"
