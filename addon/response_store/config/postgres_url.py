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

from .addresses import HostPolicy
from .host_faults import find_host_problem, find_hostaddr_problem
from .hosts import HostForm, classify_host
from .postgres_parameters import find_duplicates, find_parameter_problems, find_value_problems
from .problems import Problem
from .tls import find_socket_problems, find_tls_problems

SCHEMES = ("postgresql://", "postgres://")

Parameters: TypeAlias = dict[str, str]

_MAX_LENGTH = 8_192
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORM = "Write postgres://user:password@address:5432/database."
_ENCODE = "In a user name or password, write @ as %40, / as %2F, ? as %3F, # as %23, : as %3A."


class _PostgresUrlParts(NamedTuple):
    """A URL cut where libpq cuts it. `user` ends before the @; `head` is all but the parameters."""

    user: str
    place: str
    query: str
    head: str


def find_postgres_problems(
    url: str, host_policy: HostPolicy, ssl_mode: str | None = None, ssl_root_cert: str | None = None
) -> Iterator[tuple[str, Problem]]:
    """Yield what is wrong with a URL and its TLS settings, by all rules, with the key to blame."""
    problems = [("database_url", problem) for problem in find_url_problems(url, host_policy)]
    given = _read_given(url)
    problems += find_tls_problems(given, ssl_mode, ssl_root_cert)
    if leads_to_socket(given):
        problems += find_socket_problems(given, ssl_mode, ssl_root_cert)
    yield from dict.fromkeys(problems)


def find_url_problems(url: str, host_policy: HostPolicy) -> Iterator[Problem]:
    """Yield what is wrong with a URL by itself."""
    shape = list(_find_shape_problems(url))
    yield from shape or _find_part_problems(url, host_policy)


def parse_parameters(url: str) -> Parameters:
    """Return the parameters of a URL without faults, as libpq reads them."""
    return _parse_by_libpq(url) or {}


def leads_to_socket(given: Parameters) -> bool:
    """Return whether these parameters lead to a Unix socket."""
    return classify_host(given.get("host", "")).form is HostForm.SOCKET


def _find_shape_problems(url: str) -> Iterator[Problem]:
    if not url.startswith(SCHEMES):
        rule = "the URL's scheme is wrong: it must start with postgres:// or postgresql://"
        yield Problem(rule, _FORM)
    elif len(url) > _MAX_LENGTH:
        yield Problem(f"the URL exceeds {_MAX_LENGTH} characters", "Take out what isn't needed.")
    elif not url.isprintable() or any(map(str.isspace, url)):
        yield Problem("the URL has whitespace or an invalid character", "Percent-encode it.")
    elif _BROKEN_ESCAPE.search(url):
        yield Problem("the URL has an invalid percent escape", "Write % itself as %25.")
    elif "%00" in url:
        yield Problem("the URL has a NUL character (%00), which is invalid", "Take it away.")
    else:
        yield from _find_ambiguities(_split(url))


def _find_ambiguities(split: _PostgresUrlParts) -> Iterator[Problem]:
    if "?" in split.user or "@" in split.place or "@" in split.query:
        rule = "the URL is ambiguous: it has an '@' or '?' where one can't tell the host by it"
        yield Problem(rule, _ENCODE)
    if "#" in split.place or "#" in split.query:
        yield Problem("the URL has a '#': libpq knows no fragments", _ENCODE)


def _split(url: str) -> _PostgresUrlParts:
    scheme = next(scheme for scheme in SCHEMES if url.startswith(scheme))
    rest = url.removeprefix(scheme)
    user, at, after = rest.partition("@")
    if not at or "/" in user:
        user, after = "", rest
    place, _, query = after.partition("?")
    return _PostgresUrlParts(user, place, query, url[: len(url) - len(after) + len(place)])


def _find_part_problems(url: str, host_policy: HostPolicy) -> Iterator[Problem]:
    split = _split(url)
    pairs = _decode_pairs(split.query)
    authority = _parse_by_libpq(split.head)
    if pairs is None:
        yield Problem("the URL has an invalid or empty parameter", "Write name=value&name=value.")
    if authority is None:
        yield _UNREADABLE
        return
    problems = list(_find_problems_of_parts(authority, pairs or [], host_policy))
    yield from problems
    if not problems and pairs is not None and _parse_by_libpq(url) != authority | dict(pairs):
        yield _UNREADABLE


_UNREADABLE = Problem(
    "the URL is invalid: libpq can't read it, or not as it looks (a bracket, a host, no UTF-8)",
    _FORM,
)


def _find_problems_of_parts(
    authority: Parameters, pairs: list[tuple[str, str]], host_policy: HostPolicy
) -> Iterator[Problem]:
    for name, value in authority.items():
        yield from find_value_problems(name, value)
    yield from find_duplicates(list(authority), pairs)
    yield from find_parameter_problems(pairs)
    yield from _find_place_problems([*authority.items(), *pairs], host_policy)


def _find_place_problems(
    given: list[tuple[str, str]], host_policy: HostPolicy
) -> Iterator[Problem]:
    """Yield what is wrong with any host and address, even one that another overrides."""
    hosts = [value for name, value in given if name == "host"]
    addresses = [value for name, value in given if name == "hostaddr"]
    if not hosts and not addresses:
        yield Problem("an explicit host is missing", _FORM)
    for problem in (find_host_problem(host, host_policy) for host in hosts):
        if problem is not None:
            yield problem
    for problem in (find_hostaddr_problem(address, host_policy) for address in addresses):
        if problem is not None:
            yield problem
    if addresses and leads_to_socket(dict(given)):
        yield Problem("hostaddr goes with no Unix socket", "Give one of the two.")


def _decode_pairs(query: str) -> list[tuple[str, str]] | None:
    """Return the decoded parameters, or None where one is malformed."""
    pieces = [piece.split("=") for piece in query.split("&")] if query else []
    try:
        return [(_decode(name), _decode(value)) for name, value in pieces]
    except ValueError:  # no '=' or too many, or no UTF-8
        return None


def _decode(text: str) -> str:
    return unquote(text, errors="strict")


def _read_given(url: str) -> Parameters:
    """Return what a URL says about TLS and the host, as far as that can be read."""
    if any(_find_shape_problems(url)):
        return {}
    split = _split(url)
    return (_parse_by_libpq(split.head) or {}) | dict(_decode_pairs(split.query) or [])


def _parse_by_libpq(url: str) -> Parameters | None:
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except (Error, UnicodeError):
        return None
