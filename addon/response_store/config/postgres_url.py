"""The rules of PostgreSQL URLs.

What libpq would do is judged, not what a URL parser sees: it parses the URL without its parameters,
and the whole, which must agree with what was judged piece by piece. The text of the URL never
becomes part of a message; libpq's messages repeat it, and are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict

from .addresses import Reach
from .host_faults import host_fault, hostaddr_fault
from .hosts import HostForm, judge_host
from .postgres_parameters import given_twice_faults, parameter_faults, value_faults
from .problems import Fault
from .tls import socket_faults, tls_faults

SCHEMES = ("postgresql://", "postgres://")

Parameters: TypeAlias = dict[str, str]

_MAX_LENGTH = 8_192
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORM = "Write postgres://user:password@address:5432/database."
_ENCODE = "In a user name or password, write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A."


class _Split(NamedTuple):
    """A URL cut where libpq cuts it. `user` ends before the @; `head` is all but the parameters."""

    user: str
    place: str
    query: str
    head: str


def postgres_faults(
    url: str, reach: Reach, ssl_mode: str | None = None, ssl_root_cert: str | None = None
) -> Iterator[tuple[str, Fault]]:
    """Yield what is wrong with a URL and its TLS settings, by all rules, with the key to blame."""
    faults = [("database_url", fault) for fault in postgres_url_faults(url, reach)]
    given = _given(url)
    faults += tls_faults(given, ssl_mode, ssl_root_cert)
    if goes_to_socket(given):
        faults += socket_faults(given, ssl_mode, ssl_root_cert)
    yield from dict.fromkeys(faults)


def postgres_url_faults(url: str, reach: Reach) -> Iterator[Fault]:
    """Yield what is wrong with a URL by itself."""
    shape = list(_shape_faults(url))
    yield from shape or _part_faults(url, reach)


def url_parameters(url: str) -> Parameters:
    """Return the parameters of a URL without faults, as libpq reads them."""
    return _by_libpq(url) or {}


def goes_to_socket(given: Parameters) -> bool:
    """Return whether these parameters lead to a Unix socket."""
    return judge_host(given.get("host", "")).form is HostForm.SOCKET


def _shape_faults(url: str) -> Iterator[Fault]:
    if not url.startswith(SCHEMES):
        rule = "the URL's scheme is wrong: it must start with postgres:// or postgresql://"
        yield Fault(rule, _FORM)
    elif len(url) > _MAX_LENGTH:
        yield Fault(f"the URL exceeds {_MAX_LENGTH} characters", "Take out what isn't needed.")
    elif not url.isprintable() or any(map(str.isspace, url)):
        yield Fault("the URL has whitespace or an invalid character", "Percent-encode it.")
    elif _BROKEN_ESCAPE.search(url):
        yield Fault("the URL has an invalid percent escape", "Write % itself as %25.")
    elif "%00" in url:
        yield Fault("the URL has a NUL character (%00), which is invalid", "Take it away.")
    else:
        yield from _ambiguities(_split(url))


def _ambiguities(split: _Split) -> Iterator[Fault]:
    if "?" in split.user or "@" in split.place or "@" in split.query:
        rule = "the URL is ambiguous: it has an '@' or '?' where one can't tell the host by it"
        yield Fault(rule, _ENCODE)
    if "#" in split.place or "#" in split.query:
        yield Fault("the URL has a '#': libpq knows no fragments", _ENCODE)


def _split(url: str) -> _Split:
    scheme = next(scheme for scheme in SCHEMES if url.startswith(scheme))
    rest = url.removeprefix(scheme)
    user, at, after = rest.partition("@")
    if not at or "/" in user:
        user, after = "", rest
    place, _, query = after.partition("?")
    return _Split(user, place, query, url[: len(url) - len(after) + len(place)])


def _part_faults(url: str, reach: Reach) -> Iterator[Fault]:
    split = _split(url)
    pairs = _pairs(split.query)
    authority = _by_libpq(split.head)
    if pairs is None:
        yield Fault("the URL has an invalid or empty parameter", "Write name=value&name=value.")
    if authority is None:
        yield _UNREADABLE
        return
    faults = list(_known_faults(authority, pairs or [], reach))
    yield from faults
    if not faults and pairs is not None and _by_libpq(url) != authority | dict(pairs):
        yield _UNREADABLE


_UNREADABLE = Fault(
    "the URL is invalid: libpq can't read it, or not as it looks (a bracket, a host, no UTF-8)",
    _FORM,
)


def _known_faults(
    authority: Parameters, pairs: list[tuple[str, str]], reach: Reach
) -> Iterator[Fault]:
    for name, value in authority.items():
        yield from value_faults(name, value)
    yield from given_twice_faults(list(authority), pairs)
    yield from parameter_faults(pairs)
    yield from _place_faults([*authority.items(), *pairs], reach)


def _place_faults(given: list[tuple[str, str]], reach: Reach) -> Iterator[Fault]:
    """Yield what is wrong with any host and address, even one that another overrides."""
    hosts = [value for name, value in given if name == "host"]
    addresses = [value for name, value in given if name == "hostaddr"]
    if not hosts and not addresses:
        yield Fault("an explicit host is missing", _FORM)
    for fault in (host_fault(host, reach) for host in hosts):
        if fault is not None:
            yield fault
    for fault in (hostaddr_fault(address, reach) for address in addresses):
        if fault is not None:
            yield fault
    if addresses and goes_to_socket(dict(given)):
        yield Fault("hostaddr goes with no Unix socket", "Give one of the two.")


def _pairs(query: str) -> list[tuple[str, str]] | None:
    """Return the decoded parameters, or None where one is malformed."""
    pieces = [piece.split("=") for piece in query.split("&")] if query else []
    try:
        return [(_decoded(name), _decoded(value)) for name, value in pieces]
    except ValueError:  # no '=' or too many, or no UTF-8
        return None


def _decoded(text: str) -> str:
    return unquote(text, errors="strict")


def _given(url: str) -> Parameters:
    """Return what a URL says about TLS and the host, as far as that can be read."""
    if any(_shape_faults(url)):
        return {}
    split = _split(url)
    return (_by_libpq(split.head) or {}) | dict(_pairs(split.query) or [])


def _by_libpq(url: str) -> Parameters | None:
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (Error, UnicodeError):
        return None
