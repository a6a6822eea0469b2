"""The proxy that the environment names already: ours goes on through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from response_store.running.errors import NOT_CONFIGURED, RunError

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
    found = next((name for name in _VARIABLES if environ.get(name)), None)
    if found is None:
        return None
    url = environ[found]
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        raise _build_error(found) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _build_error(found)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    credentials = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return CompanyProxy(f"{parts.scheme}://{host}{port}", credentials)


def _build_error(variable: str) -> RunError:
    return RunError(
        f"{variable} names no HTTP proxy (http://host:port or https://host:port), and mitmproxy"
        f" goes on through no other kind. Name another, or leave it out:"
        f" env -u {variable} response-store run -- COMMAND",
        NOT_CONFIGURED,
    )
