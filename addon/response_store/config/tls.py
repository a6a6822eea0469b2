"""The rules of TLS to PostgreSQL: which mode, which certificates, and what to warn of.

`ssl_mode` and `ssl_root_cert` of the YAML win over `sslmode` and `sslrootcert` of the URL.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import certifi

from response_store.config.ip_ranges import AddressKind
from response_store.config.problems import Problem, climbs


class SslMode(StrEnum):
    """How a connection is protected. libpq's `allow` is left out: it begins in plain text."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"

    @property
    def verifies(self) -> bool:
        return self in (SslMode.VERIFY_CA, SslMode.VERIFY_FULL)


class TlsWarning(StrEnum):
    """What is allowed but unsafe, as a sentence for the log."""

    PLAIN_TEXT = (
        "ssl_mode is disable: everything goes to a public address in plain text, for anybody on "
        "the way to read and change. ssl_mode: verify-full would protect it."
    )
    MAYBE_PLAIN_TEXT = (
        "ssl_mode is prefer: the server is unverified, and anybody on the way to this public "
        "address can have everything in plain text. ssl_mode: verify-full would protect it."
    )
    UNVERIFIED = (
        "ssl_mode is require: the server is unverified, and anybody on the way to this public "
        "address can pose as it. ssl_mode: verify-full would protect it."
    )
    ANY_NAME = (
        "ssl_mode is verify-ca without ssl_root_cert: the certificate of any server that a public "
        "authority signed is taken. Name your own authority, or use ssl_mode: verify-full."
    )
    NAME_PLAIN_TEXT = (
        "ssl_mode is disable, and the database's host is a name: should that lead to a public "
        "address, everything goes there in plain text, for anybody on the way to read and change. "
        "ssl_mode: verify-full would protect it."
    )
    NAME_UNVERIFIED = (
        "The server is unverified: ssl_mode is prefer or require, and the database's host is a "
        "name. Should that lead to a public address, anybody on the way can pose as the server. "
        "ssl_mode: verify-full would protect it."
    )


@dataclass(frozen=True, slots=True)
class TlsPlan:
    """How to protect a connection. `root_cert` None stands for the system's authorities."""

    mode: SslMode = SslMode.VERIFY_FULL
    root_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    def in_directory(self, directory: Path) -> TlsPlan:
        """Return the plan with its relative files in `directory`."""
        files = (self.root_cert, self.client_cert, self.client_key)
        return TlsPlan(self.mode, *(file and str(directory / file) for file in files))

    def root_cert_file(self) -> str:
        """Return the file of authorities that libpq is given; an empty text where none is needed.

        Looks for the system's file at each call, so call it when connecting. `sslrootcert=system`
        is no way: psycopg's binary wheel looks in the folder of its own OpenSSL. SSL_CERT_FILE does
        not count: inside `run` it names mitmproxy's own authority.
        """
        if not self.mode.verifies:
            return ""
        return self.root_cert or _find_system_file() or certifi.where()


def _find_system_file() -> str | None:
    """Return the file of the system's authorities, where there is one."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile != os.environ.get("SSL_CERT_FILE", ""):
        return paths.cafile
    return paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None


PATH_PARAMETERS = ("sslrootcert", "sslcert", "sslkey")
_MODE_MEND = f"It is one of {', '.join(SslMode)}."
_SOCKET_MEND = "Take ssl_mode, ssl_root_cert and the ssl parameters out, or connect by an address."


def build_tls_plan(
    url: Mapping[str, str], ssl_mode: str | None, ssl_root_cert: str | None
) -> TlsPlan:
    """Return the plan of settings without faults. `url` holds the parameters of the URL."""
    root = ssl_root_cert or url.get("sslrootcert")
    return TlsPlan(
        _choose_mode(url, ssl_mode),
        None if root is None or root == SYSTEM else _expand_home(root),
        url.get("sslcert") and _expand_home(url["sslcert"]),
        url.get("sslkey") and _expand_home(url["sslkey"]),
    )


SYSTEM = "system"
"""libpq's word for the authorities that the system trusts, which is the default here."""


def _choose_mode(url: Mapping[str, str], ssl_mode: str | None) -> SslMode:
    """Return the mode in force; of the URL's the letter case does not matter."""
    return SslMode(ssl_mode or url.get("sslmode", "").lower() or SslMode.VERIFY_FULL)


def _expand_home(path: str) -> str:
    """Return a path with `~/` filled in, where there is a home folder."""
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        return path


def find_ssl_parameter_problems(name: str, value: str) -> Iterator[Problem]:
    """Yield what is wrong with one TLS parameter of a URL by itself."""
    if name == "sslmode" and value.lower() not in list(SslMode):
        rule = "sslmode in the URL is not one of those allowed ('allow' is none of them)"
        yield Problem(rule, _MODE_MEND)
    if name in PATH_PARAMETERS:
        yield from _find_path_problems(name, value)


def find_tls_problems(
    url: Mapping[str, str], ssl_mode: str | None, ssl_root_cert: str | None
) -> Iterator[tuple[str, Problem]]:
    """Yield what is wrong with the settings of TLS together, with the key that is to blame.

    `url` holds the parameters of the URL. `ssl_mode` is one of the five, or None where the YAML
    has none.
    """
    if ssl_root_cert is not None:
        yield from (
            ("ssl_root_cert", problem) for problem in _find_path_problems(_ROOT, ssl_root_cert)
        )
    if ("sslcert" in url) != ("sslkey" in url):
        rule = "sslcert and sslkey go together, and one of them is missing"
        yield "database_url", Problem(rule, "Give both, or none.")
    mode = ssl_mode or url.get("sslmode", "").lower() or SslMode.VERIFY_FULL
    if url.get("sslnegotiation", "").lower() == "direct" and mode not in _PROTECTING:
        yield "database_url", _DIRECT
    if mode in _VERIFYING:
        return
    if ssl_root_cert is not None:
        yield "ssl_root_cert", _UNUSED_ROOT
    elif "sslrootcert" in url:
        yield "database_url", _UNUSED_ROOT


_DIRECT = Problem(
    "sslnegotiation=direct needs a mode without plain text: require, verify-ca or verify-full",
    "Take it out, or write sslmode=verify-full.",
)


def find_socket_problems(
    url: Mapping[str, str], ssl_mode: str | None, ssl_root_cert: str | None
) -> Iterator[tuple[str, Problem]]:
    """Yield what asks for TLS although the connection goes to a
    Unix socket, where there is none.
    """
    problem = Problem("a Unix socket has no TLS, so this would protect nothing", _SOCKET_MEND)
    if ssl_mode in _PROTECTING:
        yield "ssl_mode", problem
    if ssl_root_cert is not None:
        yield "ssl_root_cert", problem
    if url.get("sslmode", "").lower() in _PROTECTING or any(
        name in url for name in PATH_PARAMETERS
    ):
        yield "database_url", problem


_ROOT = "ssl_root_cert"
_VERIFYING = frozenset(mode for mode in SslMode if mode.verifies)
_PROTECTING = _VERIFYING | {SslMode.REQUIRE}
_UNUSED_ROOT = Problem(
    "ssl_root_cert (in the URL: sslrootcert) needs a mode that verifies: verify-ca or verify-full",
    "Write ssl_mode: verify-full, or take the certificate out.",
)


def _find_path_problems(name: str, path: str) -> Iterator[Problem]:
    if not path:
        yield Problem(f"the path of {name} is empty", "Name a file, or take it out.")
    elif not path.isprintable():
        yield Problem(f"the path of {name} has a NUL, control or other invalid character", _PATH)
    elif climbs(path):
        yield Problem(f"the path of {name} has a '..' segment (path traversal)", _PATH)


_PATH = "Write the path without '..', in printable characters."


def list_tls_warnings(plan: TlsPlan, kind: AddressKind | None) -> tuple[TlsWarning, ...]:
    """Return what to warn of at start. `kind` is that of the
    address, None where it isn't known yet.
    """
    if plan.mode is SslMode.VERIFY_CA and plan.root_cert is None:
        return (TlsWarning.ANY_NAME,)
    warning = _TO_PUBLIC.get(plan.mode)
    return (warning,) if warning and kind is AddressKind.PUBLIC else ()


_TO_PUBLIC = {
    SslMode.DISABLE: TlsWarning.PLAIN_TEXT,
    SslMode.PREFER: TlsWarning.MAYBE_PLAIN_TEXT,
    SslMode.REQUIRE: TlsWarning.UNVERIFIED,
}


def list_name_warnings(plan: TlsPlan) -> tuple[TlsWarning, ...]:
    """Return what to warn of at start where a name may lead to any address."""
    warning = _TO_A_NAME.get(plan.mode)
    return (warning,) if warning else list_tls_warnings(plan, None)


_TO_A_NAME = {
    SslMode.DISABLE: TlsWarning.NAME_PLAIN_TEXT,
    SslMode.PREFER: TlsWarning.NAME_UNVERIFIED,
    SslMode.REQUIRE: TlsWarning.NAME_UNVERIFIED,
}
