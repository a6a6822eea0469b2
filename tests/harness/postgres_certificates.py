"""Throw-away certificates of a PostgreSQL server on loopback: a right one, and each wrong one."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ("localhost", "db.example.test")
ADDRESSES = ("127.0.0.1", "::1")
OTHER_NAME = "other.example.test"


@dataclass(frozen=True)
class ServerCertificate:
    """Files in PEM: a server's certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class PostgresCertificates:
    """An authority and what a server may show.

    All but `self_signed` are signed by `authority`; `foreign` is an authority that signed none.
    """

    authority: Path
    foreign: Path
    right: ServerCertificate
    """For the names in `NAMES`, and for no address."""
    wrong_name: ServerCertificate
    """For `OTHER_NAME`."""
    address: ServerCertificate
    """For the addresses in `ADDRESSES`, and for no name."""
    expired: ServerCertificate
    """For names and addresses, until yesterday."""
    self_signed: ServerCertificate
    """For names and addresses."""


def make_postgres_certificates(folder: Path) -> PostgresCertificates:
    """Write all of them into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, foreign = trustme.CA(), trustme.CA()

    def issue(stem: str, *names: str, until: dt.datetime | None = None) -> ServerCertificate:
        leaf = authority.issue_cert(*names, common_name=names[0], not_after=until)
        chain, key = leaf.cert_chain_pems[0], leaf.private_key_pem
        return _write(folder / stem, chain.bytes(), key.bytes())

    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    return PostgresCertificates(
        authority=_write_authority(folder / "authority.pem", authority),
        foreign=_write_authority(folder / "foreign.pem", foreign),
        right=issue("right", *NAMES),
        wrong_name=issue("wrong_name", OTHER_NAME),
        address=issue("address", *ADDRESSES),
        expired=issue("expired", *NAMES, *ADDRESSES, until=yesterday),
        self_signed=_self_signed(folder / "self_signed"),
    )


def _self_signed(path: Path) -> ServerCertificate:
    """Write what trustme has no way to make: a server's certificate that no authority signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAMES[0])])
    names: list[x509.GeneralName] = [x509.DNSName(each) for each in NAMES]
    names += [x509.IPAddress(ipaddress.ip_address(each)) for each in ADDRESSES]
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    packed = key.private_bytes(encoding, form, serialization.NoEncryption())
    return _write(path, certificate.public_bytes(encoding), packed)


def _write_authority(path: Path, authority: trustme.CA) -> Path:
    authority.cert_pem.write_to_path(path)
    return path


def _write(path: Path, certificate: bytes, key: bytes) -> ServerCertificate:
    made = ServerCertificate(path.with_suffix(".pem"), path.with_suffix(".key"))
    made.certificate.write_bytes(certificate)
    made.key.write_bytes(key)
    return made
