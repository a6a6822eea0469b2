"""Throw-away certificates of a PostgreSQL server on loopback: a right one, and each wrong one."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAMES = ("localhost", "db.example.test")
ADDRESSES = ("127.0.0.1", "::1")
OTHER_NAME = "other.example.test"

Names: TypeAlias = list[x509.GeneralName]


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
    authority, foreign = _Authority("Harness Authority"), _Authority("Foreign Authority")
    names: Names = [x509.DNSName(name) for name in NAMES]
    addresses: Names = [x509.IPAddress(ipaddress.ip_address(each)) for each in ADDRESSES]
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    return PostgresCertificates(
        authority=authority.write(folder / "authority.pem"),
        foreign=foreign.write(folder / "foreign.pem"),
        right=authority.issue(folder / "right", names),
        wrong_name=authority.issue(folder / "wrong_name", [x509.DNSName(OTHER_NAME)]),
        address=authority.issue(folder / "address", addresses),
        expired=authority.issue(folder / "expired", names + addresses, until=yesterday),
        self_signed=_self_signed(folder / "self_signed", names + addresses),
    )


class _Authority:
    def __init__(self, name: str) -> None:
        self.name = _named(name)
        self.key = _new_key()
        public = self.key.public_key()
        self.certificate = (
            _builder(self.name, self.name, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def write(self, path: Path) -> Path:
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(
        self, path: Path, names: Names, until: dt.datetime | None = None
    ) -> ServerCertificate:
        key = _new_key()
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = _leaf(_builder(_first(names), self.name, key.public_key(), until), names)
        certificate = builder.add_extension(issuer, critical=False).sign(self.key, hashes.SHA256())
        return _written(path, certificate, key)


def _self_signed(path: Path, names: Names) -> ServerCertificate:
    key, name = _new_key(), _first(names)
    builder = _leaf(_builder(name, name, key.public_key()), names)
    return _written(path, builder.sign(key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    until: dt.datetime | None = None,
) -> x509.CertificateBuilder:
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * day)
        .not_valid_after(until or now + day)
    )


def _leaf(builder: x509.CertificateBuilder, names: Names) -> x509.CertificateBuilder:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )


def _usage(
    *, key_cert_sign: bool = False, crl_sign: bool = False, digital_signature: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _first(names: Names) -> x509.Name:
    return _named(str(names[0].value))


def _named(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _written(
    path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> ServerCertificate:
    made = ServerCertificate(path.with_suffix(".pem"), path.with_suffix(".key"))
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made
