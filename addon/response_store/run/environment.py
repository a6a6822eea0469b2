"""Make the variables with which a command goes through the proxy, and trusts it.

It never gets the URL of a database: with it comes a password that only our own programs need.

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

from response_store.run import proxy_urls
from response_store.run.command import NOT_CONFIGURED, RunError
from response_store.run.proxy_urls import NAMES, is_pattern_of_loopback

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
    certificates = dict.fromkeys(one for path in folders for one in _read_folder(path))
    known = set(_certificates(text))
    return "\n".join([text, *(one for one in certificates if one not in known)]) + "\n"


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


_PROXIES = (
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"),
    *("WSS_PROXY", "wss_proxy", "WS_PROXY", "ws_proxy"),  # aiohttp asks for its sockets' own
)
_WHERE_SET = ("ALL_PROXY", "all_proxy")
_EXCEPTIONS = ("NO_PROXY", "no_proxy")
_is_database_url = re.compile(r"RESPONSE_STORE_(\w+_)?DATABASE_URL").fullmatch
_NODE = "NODE_USE_ENV_PROXY"  # Node 24 and later go through HTTPS_PROXY if told so


def build_child_environment(
    environ: Mapping[str, str], *, proxy: str, bundle: Path, base: str | None, local: bool
) -> dict[str, str]:
    """Return `environ` for a command that uses the proxy at the URL `proxy` and trusts `bundle`.

    `base` is what OPENAI_BASE_URL shall be, if anything. With `local` servers of this machine are
    reached through the proxy as well; otherwise they are left alone.
    """
    child = {name: value for name, value in environ.items() if not _is_database_url(name)}
    child |= dict.fromkeys((*_PROXIES, *_set(environ, _WHERE_SET)), proxy)
    child |= dict.fromkeys((*EVERYWHERE, *_set(environ, WHERE_SET)), str(bundle))
    child |= dict.fromkeys(_EXCEPTIONS, ",".join(_list_exceptions(environ, local=local)))
    child[_NODE] = "1"
    if base is not None:
        child[proxy_urls.VARIABLE] = base
    return child


def _set(environ: Mapping[str, str], names: tuple[str, ...]) -> list[str]:
    return [name for name in names if environ.get(name)]


def _list_exceptions(environ: Mapping[str, str], *, local: bool) -> Iterator[str]:
    """Yield the hosts to reach without the proxy: the user's own,
    and without `local` this machine.
    """
    lists = dict.fromkeys(environ.get(name, "") for name in _EXCEPTIONS)
    own = dict.fromkeys(host for text in lists for host in text.replace(",", " ").split())
    yield from (host for host in own if not is_pattern_of_loopback(host))
    if not local:
        yield from NAMES
        yield from (host for host in own if is_pattern_of_loopback(host) and host not in NAMES)


_FOLDER = "~/.mitmproxy"
_KEPT = ("mitmproxy-ca.pem", "mitmproxy-dhparam.pem")


def has_authority() -> bool:
    """Return whether mitmproxy finds its authority in the user's folder, or can make it there.

    A user without a home, or with one that can't be written, has no such folder.
    """
    folder = Path(os.path.expanduser(_FOLDER))  # noqa: PTH111 - as mitmproxy does: never raises
    if all(os.access(folder / name, os.R_OK) for name in _KEPT):
        return True
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
