"""Decide who may read: whoever has the address that the command printed, from this machine.

Other users of the machine and other pages in the same browser reach loopback as well. So an address
has a random token, which the first visit changes for a cookie. Browsers send the cookies of a host
to every port of it: this one is bound to a random path, which pages on other ports don't know. The
name in `Host` is checked because a foreign name may lead here (DNS rebinding), and `Origin` and
`Sec-Fetch-Site` because a foreign page may ask.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from enum import Enum

from response_store.errors import ResponseStoreError

_BYTES = 32  # of what has to be unknown
_PATH_BYTES = 9

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Headers of every answer, refusals included."""


class NotLoopbackError(ResponseStoreError):
    """An address that others could reach was asked for."""


class AccessVerdict(Enum):
    """What becomes of a request. `WELCOME` has a token: it gets the cookie."""

    ALLOWED = "allowed"
    WELCOME = "welcome"
    NO_KEY = "no key"
    FOREIGN = "foreign"


class Access:
    """The keys of one server. For its event loop alone."""

    def __init__(self, host: str, port: int) -> None:
        self.path = f"/{secrets.token_urlsafe(_PATH_BYTES)}/"
        """The path that all pages begin with."""
        self.cookie_name = "response_store"
        self.cookie = secrets.token_urlsafe(_BYTES)
        self._token = secrets.token_urlsafe(_BYTES)
        self._single_use: set[str] = set()
        self._names = list_names(host, port)

    @property
    def url(self) -> str:
        """Return the address to print; it stays good as long as the server runs."""
        return self._build_url(self._token)

    def issue_single_use_url(self) -> str:
        """Return an address that is good once: other users see what a browser is started with."""
        token = secrets.token_urlsafe(_BYTES)
        self._single_use.add(token)
        return self._build_url(token)

    def check_request(
        self, path: str, headers: Mapping[str, str], cookie: str, token: str
    ) -> AccessVerdict:
        """Return what becomes of a request; a token that is good once is used up by it."""
        if not self._is_from_here(headers):
            return AccessVerdict.FOREIGN
        if token:
            is_good = path == self.path and self._accept_token(token)
            return AccessVerdict.WELCOME if is_good else AccessVerdict.NO_KEY
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return AccessVerdict.FOREIGN
        is_ours = path.startswith(self.path) and _are_equal(cookie, self.cookie)
        return AccessVerdict.ALLOWED if is_ours else AccessVerdict.NO_KEY

    def _is_from_here(self, headers: Mapping[str, str]) -> bool:
        host, origin = headers.get("Host", "").lower(), headers.get("Origin")
        return host in self._names and origin in (None, f"http://{host}")

    def _accept_token(self, token: str) -> bool:
        for single in self._single_use:
            if _are_equal(token, single):
                self._single_use.remove(single)
                return True
        return _are_equal(token, self._token)

    def _build_url(self, token: str) -> str:
        return f"http://{self._names[0]}{self.path}?token={token}"


def require_loopback(host: str) -> str:
    """Return the address to listen at. Raises NotLoopbackError where others could reach it."""
    if host.lower() == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise NotLoopbackError(
            f"--listen-host {host!r}: this is no address of this machine alone. Prompts and answers"
            " are shown to whoever has the page's address, so only loopback is listened to:"
            " 127.0.0.1 or ::1. From another machine, forward the port:"
            " ssh -L PORT:127.0.0.1:PORT HOST"
        )
    return str(address)


def list_names(host: str, port: int) -> list[str]:
    """Return what a browser may call the server in `Host`, the name to print first."""
    shown = f"[{host}]" if ":" in host else host
    names = [f"{shown}:{port}", f"localhost:{port}"]
    return [*names, shown, "localhost"] if port == 80 else names


def _are_equal(candidate: str, secret: str) -> bool:
    return hmac.compare_digest(candidate.encode("utf-8", "replace"), secret.encode())
