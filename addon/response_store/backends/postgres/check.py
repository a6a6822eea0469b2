"""Check the way to a PostgreSQL database, the schema there, and what the role may do.

The way is the store's own: the same resolver, the same check of each address, the same TLS.

All that is asked is asked in a transaction that may only read.

The driver does not hand it out, so this is a handshake of its own, after which nothing is sent.
Source: the PostgreSQL manual, "SSL Session Encryption" in the chapter on the protocol.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import ssl
import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from cryptography import x509
from psycopg.errors import ReadOnlySqlTransaction

from response_store.backends.postgres import schema as postgres_schema
from response_store.backends.postgres.connection import Connection, PostgresConnections, is_pooled
from response_store.backends.postgres.errors import translate_errors
from response_store.backends.postgres.resolver import (
    Resolver,
    resolve_by_system,
    resolve_checked_addresses,
)
from response_store.backends.postgres.schema import find_problems, fold_names
from response_store.backends.postgres.watchdog import BatchDeadline, Watchdog
from response_store.config import TableNames
from response_store.config.postgres_target import PostgresTarget
from response_store.config.secret import mask_credentials
from response_store.config.tls import SslMode
from response_store.errors import StoreError
from response_store.model.tables import quote_name
from response_store.queries.schema_state import PRESENT, Findings

_ASK_FOR_TLS = struct.pack("!ii", 8, 80877103)
_WILLING = b"S"
_SECONDS = 5.0  # for each step


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """Who the certificate names, who signed it, and until when it is valid."""

    subject: str
    names: tuple[str, ...]
    issuer: str
    not_before: dt.datetime
    not_after: dt.datetime

    def validity(self, now: dt.datetime) -> str:
        """Return the period of validity, and whether it is over or has not begun at `now`."""
        text = f"{self.not_before:%Y-%m-%d} to {self.not_after:%Y-%m-%d}"
        if now > self.not_after:
            return f"{text}: expired"
        return f"{text}: not yet valid" if now < self.not_before else text


def fetch_certificate(address: str, port: int, name: str | None) -> ServerCertificate | None:
    """Return the certificate of the server at an address for the
    name `name`; None if it shows none.
    """
    try:
        der = _fetch_der(address, port, name)
        return None if der is None else _parse_certificate(der)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        return None


def _fetch_der(address: str, port: int, name: str | None) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # whether it is trusted, the driver has told
    with socket.create_connection((address, port), _SECONDS) as line:
        line.sendall(_ASK_FOR_TLS)
        if line.recv(1) != _WILLING:
            return None
        with context.wrap_socket(line, server_hostname=name) as protected:
            return protected.getpeercert(binary_form=True)


def _parse_certificate(der: bytes) -> ServerCertificate:
    certificate = x509.load_der_x509_certificate(der)
    return ServerCertificate(
        subject=certificate.subject.rfc4514_string(),
        names=_list_names(certificate),
        issuer=certificate.issuer.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def _list_names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        kind = x509.SubjectAlternativeName
        names = certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*names.get_values_for_type(x509.DNSName), *map(str, addresses))


_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_WRITING = ("SELECT", "INSERT", "UPDATE")
_MAY = (
    f"SELECT {', '.join(f'has_table_privilege(to_regclass(%s), {right!r})' for right in _RIGHTS)}"
)
_STATE = """
SELECT current_setting('transaction_read_only') = 'on', pg_is_in_recovery(),
       coalesce(current_schema(), ''),
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"""


def check_privileges(
    connection: Connection, tables: TableNames, label: str, findings: Findings
) -> None:
    """Note schema and rights, and object to what a store can't do. Raises the driver's errors."""
    judging = _PrivilegeCheck(connection, fold_names(tables), label, findings)
    with connection.transaction():
        judging.run()


class _PrivilegeCheck:
    """Whether the schema is ours or can be made, and whether the role may do what a store does."""

    def __init__(
        self, connection: Connection, tables: TableNames, label: str, findings: Findings
    ) -> None:
        self._connection = connection
        self._tables = tables
        self._label = label
        self._findings = findings

    def run(self) -> None:
        row = self._connection.execute(_STATE).fetchone()
        assert row is not None, "a SELECT without FROM has a row"
        read_only, standby, schema, may_create = row
        self._connection.execute("SET TRANSACTION READ ONLY")
        if read_only:
            self._object_to(f"the database is read-only: {_STANDBY if standby else _CLOSED}")
        missing = self._judge_rights()
        self._judge_search()
        self._findings.note("create tables", _describe_right_to_create(schema, may_create))
        problems = find_problems(self._connection, self._tables)
        for problem in problems:
            self._object_to(problem)
        if not problems:
            self._judge_schema(missing, schema, may_create)

    def _judge_rights(self) -> list[str]:
        """Note what the role may do with each table, and return the tables that aren't there."""
        names = self._tables
        missing = []
        for table, needed in (
            (names.responses, _WRITING),
            (names.conversations, _WRITING),
            (names.exchanges, _WRITING),
            (names.responses_version, ("SELECT",)),
            (names.exchanges_version, ("SELECT",)),
            (names.exchanges_journals, _RIGHTS),
        ):
            held = self._rights(table)
            if held is None:
                missing.append(table)
                continue
            self._findings.note(f"table {table}", f"may {', '.join(held) or 'nothing'}")
            if lacking_rights := ", ".join(right for right in needed if right not in held):
                self._object_to(
                    f"the role may not {lacking_rights} on table {table}: grant it that"
                )
        return missing

    def _judge_search(self) -> None:
        """Note what the role may do with the search index: all but searching works without."""
        names = self._tables
        for table in (
            names.exchanges_leases,
            names.exchanges_search,
            names.exchanges_search_words,
        ):
            held = self._rights(table)
            missing = [] if held is None else [right for right in _RIGHTS if right not in held]
            if missing:
                rights = ", ".join(missing)
                self._findings.note(
                    f"table {table}", f"is not kept up: the role may not {rights} there"
                )

    def _rights(self, table: str) -> list[str] | None:
        row = self._connection.execute(_MAY, (quote_name(table),) * len(_RIGHTS)).fetchone()
        assert row is not None, "a SELECT without FROM has a row"
        if row[0] is None:
            return None
        return [right for right, held in zip(_RIGHTS, row, strict=True) if held]

    def _judge_schema(self, missing: list[str], schema: str, may_create: bool) -> None:
        """Have the store look at the schema; what it would make is refused to it here."""
        try:
            postgres_schema.prepare(self._connection, self._tables, self._label)
        except StoreError as error:
            self._findings.note("schema", "present, but not one that this program can use")
            self._findings.object_to(str(error))
        except ReadOnlySqlTransaction:
            self._judge_unfinished(missing, schema, may_create)
        else:
            self._findings.note("schema", PRESENT)

    def _judge_unfinished(self, missing: list[str], schema: str, may_create: bool) -> None:
        if not missing:
            self._findings.note("schema", "present, older: it is brought up to date at start")
            return
        whole = len(missing) == len(_list_tables(self._tables))
        state = "absent" if whole else f"incomplete: {', '.join(missing)} missing"
        if may_create:
            self._findings.note("schema", f"{state}; it is made at start, in schema {schema}")
            return
        self._findings.note("schema", f"{state}; the role may not make it")
        self._object_to(
            f"tables are missing ({', '.join(missing)}), and the role may not create them: grant "
            "it CREATE on a schema of its search_path, or make them with another role"
        )

    def _object_to(self, problem: str) -> None:
        self._findings.object_to(f"{self._label}: {problem}")


_STANDBY = "it is a standby. Name the primary"
_CLOSED = (
    "default_transaction_read_only is on, for the server, the database or the role. Turn it off"
)


def _list_tables(names: TableNames) -> Sequence[str]:
    shared = (names.responses, names.conversations, names.responses_version)
    return (*shared, names.exchanges, names.exchanges_version, names.exchanges_journals)


def _describe_right_to_create(schema: str, may_create: bool) -> str:
    if not schema:
        return "no: the role's search_path names no schema that is there"
    return f"{'yes' if may_create else 'no'}, in schema {schema}"


_DEADLINE = BatchDeadline(seconds=30.0, max_seconds=30.0)
_TLS = "SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"


def check_postgres(
    target: PostgresTarget,
    tables: TableNames,
    findings: Findings,
    resolver: Resolver = resolve_by_system,
) -> None:
    """Connect once, and note what there is to know. Raises nothing: what fails is a problem."""
    label = f"PostgreSQL {target.describe()}"
    noted = _RecordingResolver(resolver)
    with closing(Watchdog(label, _DEADLINE)) as watchdog:
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
                with translate_errors(label), watchdog.watching(connection):
                    _note_connection(target, connection, findings)
                    check_privileges(connection, tables, label, findings)
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
