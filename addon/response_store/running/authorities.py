"""Which certificate authorities the command and its proxy trust.

Some variables replace the system's store and some add to it, so all of them get one bundle: what
is trusted without us, and mitmproxy's authority.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import certifi

from response_store.running.errors import NOT_CONFIGURED, RunError

SYSTEM = "SSL_CERT_FILE"
_FOLDERS = "SSL_CERT_DIR"  # several, as on a PATH; what is in them counts beside the file
EVERYWHERE = (
    SYSTEM,  # OpenSSL, and with it httpx, Ruby and uv; Go and Rust look at it too
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "DENO_CERT",
    "CODEX_CA_CERTIFICATE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
)
"""Variables that every command gets."""

WHERE_SET = (
    "PIP_CERT",
    "NIX_SSL_CERT_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
)
"""Variables that would hide the bundle from those who read them; replaced, never added."""

_certificates = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL
).findall
_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def read_trusted(environ: Mapping[str, str]) -> str:
    """Return the certificates that are trusted so far, in PEM. Raises RunError.

    Where SSL_CERT_FILE is set, it counts instead of the system's file. Of folders comes what no
    file has: a folder of OpenSSL's has every certificate under several names.
    """
    named = _list_named_paths(environ)
    text = "\n".join(
        _read_text(name, path) for path, name in named.items() if not Path(path).is_dir()
    )
    folders = [path for path in named if Path(path).is_dir()]
    folders += environ.get(_FOLDERS, "").split(os.pathsep)
    found = dict.fromkeys(one for path in folders for one in _read_folder(path))
    there = set(_certificates(text))
    return "\n".join([text, *(one for one in found if one not in there)]) + "\n"


def _list_named_paths(environ: Mapping[str, str]) -> dict[str, str]:
    """Return paths, each with the variable that names it; some clients take a folder as well."""
    named = {environ[name]: name for name in (*EVERYWHERE, *WHERE_SET) if environ.get(name)}
    if not environ.get(SYSTEM):
        named.setdefault(_find_system_file(), "the system")
    return named


def _find_system_file() -> str:
    return next(filter(None, _list_system_files()), certifi.where())


def _list_system_files() -> Iterator[str | None]:
    yield ssl.get_default_verify_paths().cafile
    yield from (path for path in _SYSTEM_FILES if Path(path).is_file())


def _read_text(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RunError(
            f"{name} names certificates that can't be read: {path}: {error.strerror}."
            " Correct it, or unset it.",
            NOT_CONFIGURED,
        ) from None


def _read_folder(path: str) -> Iterator[str]:
    """Yield the certificates in a folder; as for OpenSSL, what can't be read is not there."""
    for file in sorted(Path(path).glob("*")) if path else ():
        try:
            yield from _certificates(file.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
