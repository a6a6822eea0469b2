"""Choose the URLs of proxies: where a client is sent, where ours goes on, whom NO_PROXY hides.

Such a client gets a base URL on this machine, at which mitmproxy listens as a reverse proxy. The
path stays the client's: what it asks at the local URL is asked with the same path upstream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Self
from urllib.parse import unquote, urlsplit

from response_store.run.command import NOT_CONFIGURED, RunError

NAMES = ("localhost", "127.0.0.1")
"""What NO_PROXY needs. `::1` is left out: some clients take its colons for a port and fail."""


_with_port = re.compile(r"(\[[^\]]*\]|[^:]*):\d+").fullmatch


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, whatever it is asked through."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_pattern_of_loopback(pattern: str) -> bool:
    """Return whether NO_PROXY means this machine by it: a host, also with a port, or a network."""
    parts = _with_port(pattern)
    host = parts[1] if parts else pattern
    if is_loopback(host.removeprefix("*")):
        return True
    try:
        return ip_network(host, strict=False).is_loopback
    except ValueError:
        return False


VARIABLE = "OPENAI_BASE_URL"
FROM_ENVIRONMENT = "the base URL of the environment"  # what --base-url means without a URL
OPENAI = "https://api.openai.com/v1"
_PATH = "/v1"


@dataclass(frozen=True)
class BaseUrl:
    """A model server, as `scheme://host:port`, and the path that its API is under."""

    server: str
    path: str

    @classmethod
    def parse(cls, url: str, *, path: str = _PATH) -> Self:
        """Return the parts of a URL; `path` is that of one without. Raises RunError."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _build_error() from None
        clean = not (parts.query or parts.fragment or "@" in parts.netloc)
        if parts.scheme not in ("http", "https") or not parts.hostname or not clean:
            raise _build_error()
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        server = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
        return cls(server, parts.path.rstrip("/") or path)

    def at(self, address: str) -> str:
        """Return the URL that leads to the same path through a reverse proxy at `host:port`."""
        return f"http://{address}{self.path}"


def choose_base_url(requested: str | None, environ: Mapping[str, str]) -> BaseUrl | None:
    """Return the base URL to stand in for, if any. Raises RunError.

    A server of this machine that OPENAI_BASE_URL names is stood in for unasked: nobody would go
    to it through a proxy. The path of that variable is the client's, even where it has none.
    """
    set_already = environ.get(VARIABLE)
    if requested is not None and requested != FROM_ENVIRONMENT:
        return BaseUrl.parse(requested)
    if set_already and (requested is not None or is_loopback(_format_host(set_already))):
        return BaseUrl.parse(set_already, path="")
    return BaseUrl.parse(OPENAI) if requested is not None else None


def _format_host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _build_error() -> RunError:
    return RunError(
        "--base-url needs a URL such as http://localhost:11434/v1, without user, query or"
        f" fragment. Without a URL it stands for that in {VARIABLE}, else {OPENAI}:"
        " response-store run --base-url -- COMMAND",
        NOT_CONFIGURED,
    )


_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True)
class CompanyProxy:
    """A proxy as `scheme://host:port`, and `user:password` for it, if any."""

    server: str
    credentials: str | None


def find_company_proxy(environ: Mapping[str, str]) -> CompanyProxy | None:
    """Return the proxy that HTTPS goes through so far. Raises
    RunError, which never shows the value.
    """
    variable = next((name for name in _VARIABLES if environ.get(name)), None)
    if variable is None:
        return None
    url = environ[variable]
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        raise _build_proxy_error(variable) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _build_proxy_error(variable)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    credentials = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return CompanyProxy(f"{parts.scheme}://{host}{port}", credentials)


def _build_proxy_error(variable: str) -> RunError:
    return RunError(
        f"{variable} names no HTTP proxy (http://host:port or https://host:port), and mitmproxy"
        f" goes on through no other kind. Name another, or leave it out:"
        f" env -u {variable} response-store run -- COMMAND",
        NOT_CONFIGURED,
    )


_EXCEPTIONS = ("NO_PROXY", "no_proxy")
_KNOWN = ("chatgpt.com", "openrouter.ai")


def find_hidden(environ: Mapping[str, str]) -> list[str]:
    """Return the hosts of APIs that the environment's NO_PROXY sends past every proxy."""
    lists = (environ.get(name, "") for name in _EXCEPTIONS)
    patterns = {one.lower() for text in lists for one in text.replace(",", " ").split()}
    hosts = dict.fromkeys([_parse_host(environ.get(VARIABLE, "")), _parse_host(OPENAI), *_KNOWN])
    return [
        host
        for host in hosts
        if host and not is_loopback(host) and any(_is_match(host, one) for one in patterns)
    ]


def _is_match(host: str, pattern: str) -> bool:
    """Return whether a pattern means the host: itself, or a domain around it."""
    name = pattern.partition(":")[0].lstrip("*").lstrip(".")
    return pattern == "*" or (bool(name) and (host == name or host.endswith(f".{name}")))


def _parse_host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""
