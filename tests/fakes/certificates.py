"""A throw-away certificate for loopback, with the authority that signed it."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the authority's certificate, the server's, and the server's key."""

    authority: Path
    certificate: Path
    key: Path

    def server_context(self, *, http2: bool) -> ssl.SSLContext:
        """What the server needs to speak TLS."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
        return context


def make_certificates(folder: Path) -> Certificates:
    """Write an authority and a certificate for localhost and 127.0.0.1 into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("Fake Model Server Authority")
    authority = _signed(ca_name, ca_name, ca_key.public_key(), ca_key, *_authority(ca_key))
    leaf = _signed(_name("localhost"), ca_name, key.public_key(), ca_key, *_leaf(ca_key))
    made.authority.write_bytes(authority)
    made.certificate.write_bytes(leaf)
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


Extensions = list[tuple[x509.ExtensionType, bool]]


UNUSED = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "encipher_only",
    "decipher_only",
)


def _authority(key: ec.EllipticCurvePrivateKey) -> Extensions:
    usage = dict.fromkeys(UNUSED, False)
    return [
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]


def _leaf(key: ec.EllipticCurvePrivateKey) -> Extensions:
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), address])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (names, False),
        (issuer, False),
    ]


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    *extensions: tuple[x509.ExtensionType, bool],
) -> bytes:
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
