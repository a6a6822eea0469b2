"""The rules of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path
from types import SimpleNamespace

import certifi
import pytest

from response_store.config.ip_ranges import AddressKind, HostPolicy
from response_store.config.postgres_target import PostgresTarget, build_postgres_target
from response_store.config.postgres_url import find_postgres_problems
from response_store.config.tls import (
    SslMode,
    TlsPlan,
    TlsWarning,
    build_tls_plan,
    list_tls_warnings,
)

URL = "postgres://u:c4n4ry@8.8.8.8/db"


def rules(query: str = "", mode: str | None = None, root: str | None = None) -> list[str]:
    found = find_postgres_problems(
        f"{URL}?{query}" if query else URL, HostPolicy.PUBLIC_ADDRESSES, mode, root
    )
    return [f"{key}: {fault.rule} {fault.hint}" for key, fault in found]


def target(query: str = "", mode: str | None = None, root: str | None = None) -> PostgresTarget:
    assert rules(query, mode, root) == []
    return build_postgres_target(
        f"{URL}?{query}" if query else URL, HostPolicy.PUBLIC_ADDRESSES, mode, root
    )


def test_the_default_verifies_the_name() -> None:
    """Without a word about TLS, the certificate and its name are verified."""
    assert target().tls == TlsPlan(SslMode.VERIFY_FULL)


@pytest.mark.parametrize("mode", SslMode)
def test_the_url_counts_where_the_yaml_is_silent(mode: SslMode) -> None:
    """`sslmode` of the URL holds, unless `ssl_mode` says otherwise."""
    assert target(f"sslmode={mode}").tls.mode is mode
    assert target(f"sslmode={mode}", "verify-full").tls.mode is SslMode.VERIFY_FULL
    assert target("sslmode=verify-full", mode).tls.mode is mode


def test_the_root_certificate_of_the_yaml_wins() -> None:
    """As the mode does."""
    assert target("sslrootcert=/url.pem", None, "/yaml.pem").tls.root_cert == "/yaml.pem"
    assert target("sslrootcert=/url.pem").tls.root_cert == "/url.pem"


@pytest.mark.parametrize("mode", ["disable", "prefer", "require"])
def test_a_root_certificate_needs_a_mode_that_verifies(mode: str) -> None:
    """With `require` libpq would ignore a missing file, with `prefer` speak plain text."""
    assert any(rule.startswith("ssl_root_cert: ") for rule in rules("", mode, "/ca.pem"))
    assert any(rule.startswith("database_url: ") for rule in rules("sslrootcert=/ca.pem", mode))
    assert rules(f"sslmode={mode}", None, "/ca.pem")


@pytest.mark.parametrize("path", ["", "../ca.pem", "a/%2e%2e/x", "a\\..\\x", "a\x00b", "a\nb"])
def test_a_bad_path_is_refused(path: str) -> None:
    """A path is not empty, and climbs nowhere."""
    assert any(rule.startswith("ssl_root_cert: ") for rule in rules("", None, path))


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey"])
@pytest.mark.parametrize("path", ["", "..%2Fca.pem", "a/%252e%252e/x", "a%0A"])
def test_a_bad_path_in_the_url_is_refused(name: str, path: str) -> None:
    """The same in the URL, after decoding."""
    assert rules(f"{name}={path}")


@pytest.mark.parametrize("query", ["sslcert=/c.pem", "sslkey=/k.pem"])
def test_a_client_certificate_comes_with_its_key(query: str) -> None:
    """libpq would take the other one from the home folder."""
    assert any("go together" in rule for rule in rules(query))


def test_the_system_authorities_are_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The system's file, else certifi's; none where nothing is verified."""
    found = SimpleNamespace(cafile=str(tmp_path / "system.pem"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: found)
    assert TlsPlan().root_cert_file() == found.cafile
    assert TlsPlan(root_cert="/own.pem").root_cert_file() == "/own.pem"
    assert TlsPlan(SslMode.PREFER).root_cert_file() == ""
    found.cafile = None
    assert TlsPlan().root_cert_file() == certifi.where()


@pytest.mark.parametrize("system", [True, False])
def test_a_variable_names_no_authorities(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: bool
) -> None:
    """SSL_CERT_FILE, which `run` sets, does not decide whom the database's client trusts."""
    mine, theirs = tmp_path / "system.pem", tmp_path / "mitmproxy.pem"
    theirs.touch()
    if system:
        mine.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(theirs))
    found = SimpleNamespace(cafile=str(theirs), openssl_cafile=str(mine))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: found)
    assert TlsPlan().root_cert_file() == (str(mine) if system else certifi.where())


@pytest.mark.parametrize(
    ("mode", "warning"),
    [
        (SslMode.DISABLE, TlsWarning.PLAIN_TEXT),
        (SslMode.PREFER, TlsWarning.MAYBE_PLAIN_TEXT),
        (SslMode.REQUIRE, TlsWarning.UNVERIFIED),
        (SslMode.VERIFY_CA, TlsWarning.ANY_NAME),
        (SslMode.VERIFY_FULL, None),
    ],
)
def test_an_unsafe_mode_towards_a_public_address_gives_a_warning(
    mode: SslMode, warning: TlsWarning | None
) -> None:
    """The warning says what is at stake, and is one only for a public address."""
    assert target("", mode).warnings() == ((warning,) if warning else ())
    if mode is not SslMode.VERIFY_CA:
        assert list_tls_warnings(TlsPlan(mode), AddressKind.PRIVATE) == ()
        assert list_tls_warnings(TlsPlan(mode), None) == ()
    assert "unverified" in TlsWarning.MAYBE_PLAIN_TEXT


def test_verify_ca_with_an_authority_of_its_own_is_no_warning() -> None:
    """One's own authority signs one's own servers."""
    assert target("", "verify-ca", "/ca.pem").warnings() == ()


SOCKET = "postgres:///db?host=/run/postgresql"


@pytest.mark.parametrize(
    ("query", "mode", "root"),
    [
        ("", "verify-full", None),
        ("", "require", None),
        ("", None, "/ca.pem"),
        ("&sslmode=verify-ca", None, None),
        ("&sslcert=/c.pem&sslkey=/k.pem", None, None),
    ],
)
def test_a_socket_promises_no_tls(query: str, mode: str | None, root: str | None) -> None:
    """There is no TLS on a socket, so asking for it is refused."""
    faults = list(find_postgres_problems(SOCKET + query, HostPolicy.PRIVATE, mode, root))
    assert any("no TLS" in fault.rule for _, fault in faults)


def test_a_socket_has_tls_disabled() -> None:
    """By default, and with nothing to warn of."""
    assert list(find_postgres_problems(SOCKET, HostPolicy.PRIVATE)) == []
    socket = build_postgres_target(SOCKET, HostPolicy.PRIVATE)
    assert socket.tls.mode is SslMode.DISABLE
    assert socket.warnings() == ()


def test_the_plan_is_made_of_plain_values() -> None:
    """All four settings, as they were given."""
    given = {"sslmode": "verify-ca", "sslrootcert": "/r", "sslcert": "/c", "sslkey": "/k"}
    assert build_tls_plan(given, None, None) == TlsPlan(SslMode.VERIFY_CA, "/r", "/c", "/k")
