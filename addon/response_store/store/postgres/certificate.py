"""The certificate that a PostgreSQL server shows, looked at without trusting it.

The driver does not hand it out, so this is a handshake of its own, after which nothing is sent.
Source: the PostgreSQL manual, "SSL Session Encryption" in the chapter on the protocol.
"""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import struct
from dataclasses import dataclass

from cryptography import x509

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
