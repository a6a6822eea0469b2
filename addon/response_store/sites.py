"""Say which web pages may use the proxy, against CSRF and DNS rebinding.

Every page of a browser reaches a listener on loopback: a page of any site can send requests to
127.0.0.1, and one whose name is made to resolve to it (DNS rebinding) can read the answers. What
tells: the name in Host, which such a page can't choose freely, and the headers in which browsers
say where a request comes from. Other programs send none of these, and are never refused for it.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

TOKEN_NAME = "x-response-store-token"  # noqa: S105 - a header's name
_ORIGIN, _SITE, _TYPE, _KEY = b"origin", b"sec-fetch-site", b"content-type", b"authorization"
_TOKEN = TOKEN_NAME.encode()
_OF_BROWSERS = frozenset({_ORIGIN, _SITE})
_SEEN = frozenset({_ORIGIN, _SITE, _TYPE, _KEY, _TOKEN})
_BEARER = b"bearer "
# What a page may send to another site without asking it first, beside no type at all.
_SIMPLE_TYPES = (b"", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data")

Fields = Collection[tuple[bytes, bytes]]
"""The headers of a request."""


class RefusalReason(StrEnum):
    """Why a request is refused; also the end of its counter's name."""

    HOST = "host"
    SITE = "cross_site"
    TOKEN = "token"  # noqa: S105 - a reason


class _Headers(NamedTuple):
    origin: bytes | None
    site: bytes
    content_type: bytes
    tokens: tuple[bytes, ...]


class Sites:
    """The names under which clients reach the proxy, and the token that they need, if any.

    `names` are host names and addresses besides `localhost` and the addresses of loopback.
    """

    def __init__(self, names: Iterable[str] = (), token: str | None = None) -> None:
        self._names = frozenset({"localhost", *(name.lower().rstrip(".") for name in names)})
        self._token = token.encode() if token else None
        self._admits = lru_cache(maxsize=256)(self._admits_name)

    def refuse_read(
        self, fields: Fields, host: str | None, reached_at: str
    ) -> RefusalReason | None:
        """Return why what is stored is not for this client.

        `host` is what it wrote into Host, None where that can't be known; `reached_at` the address
        of the proxy that it has connected to.
        """
        headers = _read_headers(fields)
        if host and not self.admits(host, reached_at):
            return RefusalReason.HOST
        if self._is_foreign(headers, reached_at):
            return RefusalReason.SITE
        return None if self._has_token(headers) else RefusalReason.TOKEN

    def refuse_create(
        self, fields: Fields, host: str | None, reached_at: str
    ) -> RefusalReason | None:
        """Return why a request that creates a response is a page's, and not to be captured.

        A type that a browser asks the server about first is left to the server. A page that takes
        the proxy for its own site, under a name that nobody gave to it, is not.
        """
        if _OF_BROWSERS.isdisjoint([name.lower() for name, _ in fields]):
            return None
        headers = _read_headers(fields)
        if headers.origin is None and not headers.site:
            return None
        if host and not self.admits(host, reached_at):
            return RefusalReason.HOST
        if not self._is_foreign(headers, reached_at):
            return None
        is_own = headers.site == b"same-origin" and self._admits(reached_at)
        return RefusalReason.SITE if is_own or headers.content_type in _SIMPLE_TYPES else None

    def refuse_socket(self, fields: Fields, reached_at: str) -> RefusalReason | None:
        """Return why a WebSocket is a page's: browsers ask no server before they open one."""
        return RefusalReason.SITE if self._is_foreign(_read_headers(fields), reached_at) else None

    def admits(self, host: str, reached_at: str) -> bool:
        """Return whether a Host or the host of an Origin means this proxy."""
        name = _strip_port(host)
        return name == reached_at or self._admits(name)

    def _admits_name(self, name: str) -> bool:
        if name.lower().removesuffix(".") in self._names:
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False

    def _is_foreign(self, headers: _Headers, reached_at: str) -> bool:
        """Return whether a page of another site has sent this, as far as a browser says it."""
        if headers.origin is None:
            return headers.site == b"cross-site"
        _, separator, host = headers.origin.decode("latin-1").partition("://")
        return not (separator and self.admits(host, reached_at))

    def _has_token(self, headers: _Headers) -> bool:
        token = self._token
        return token is None or any(hmac.compare_digest(token, each) for each in headers.tokens)


def _read_headers(fields: Fields) -> _Headers:
    values: dict[bytes, bytes] = {}
    for key, value in fields:
        if (name := key.lower()) in _SEEN:
            # Of several origins one is enough to be another site's.
            values[name] = b"null" if name == _ORIGIN and name in values else value
    key = values.get(_KEY, b"")
    tokens = [values[_TOKEN].strip()] if _TOKEN in values else []
    if key[: len(_BEARER)].lower() == _BEARER:
        tokens.append(key[len(_BEARER) :].strip())
    return _Headers(
        values.get(_ORIGIN),
        values.get(_SITE, b"").strip().lower(),
        values.get(_TYPE, b"").partition(b";")[0].strip().lower(),
        tuple(tokens),
    )


def _strip_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() else host
