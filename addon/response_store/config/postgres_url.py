"""Check PostgreSQL URLs: their parts, and the parameters that they may have, each by its rule.

What libpq would do is judged, not what a URL parser sees: it parses the URL without its parameters,
and the whole, which must agree with what was judged piece by piece. The text of the URL never
becomes part of a message; libpq's messages repeat it, and are dropped.

An allow-list: many of libpq's parameters open files, redirect the connection or change the session
(`service`, `passfile`, `options`, `sslkeylogfile`, ...).

Names of libpq, of hosters and of other drivers. A name that is not among them is never shown:
what is misplaced there may be a piece of a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote

from psycopg import Error
from psycopg.conninfo import conninfo_to_dict

from response_store.config.host_policy import (
    HostForm,
    classify_host,
    find_host_problem,
    find_hostaddr_problem,
)
from response_store.config.ip_ranges import HostPolicy
from response_store.config.problems import Problem, climbs
from response_store.config.tls import (
    find_socket_problems,
    find_ssl_parameter_problems,
    find_tls_problems,
)

_ROLE = "Take it out. For the role of this URL, once, as SQL: ALTER ROLE name SET setting = value"
_SEARCH_PATH = (
    "Take it out, and say it once to the server, as SQL: ALTER ROLE name SET search_path = schema"
)
_POOL = "Take it out: pool.max_connections and its neighbours in the configuration say it."
_PREPARED = "Take it out: poolers in transaction mode work without it."
_TIMES = "Take it out: connect_timeout is the one that a URL may have."
_ANYWAY = "Take it out: nothing here depends on it."
_SERVICE = "Take it out, and write host, user and database themselves."

_KINDS = {
    "it is Prisma's": (
        "connection_limit pool_timeout socket_timeout statement_cache_size sslidentity sslaccept"
        " single_use_connections"
    ),
    "it is for a driver of Node": "uselibpqcompat max idleTimeoutMillis query_timeout",
    "it is for a driver of Go": (
        "pool_max_conns pool_min_conns pool_max_conn_lifetime pool_max_conn_idle_time"
        " pool_health_check_period pool_max_conn_lifetime_jitter default_query_exec_mode"
        " statement_cache_capacity description_cache_capacity binary_parameters"
    ),
    "it is for a driver of Java": (
        "ApplicationName prepareThreshold reWriteBatchedInserts loginTimeout socketTimeout"
        " targetServerType stringtype sslfactory tcpKeepAlive"
    ),
    "it is for a driver of Python": (
        "prepared_statement_cache_size prepared_statement_name_func command_timeout"
        " conn_max_age conn_health_checks async_fallback"
    ),
    "it is for Rails": "pool reaping_frequency prepared_statements variables encoding timeout",
    "it is for a pooler": "pgbouncer supa workaround pool_mode pooler",
    "it is a setting of the server, not of a connection": (
        "search_path currentSchema schema statement_timeout lock_timeout TimeZone timezone role"
        " idle_in_transaction_session_timeout work_mem datestyle default_transaction_isolation"
    ),
    "it is for YugabyteDB": "load_balance topology_keys yb_servers_refresh_interval",
    "it could change what was checked": (
        "service servicefile passfile options sslkeylogfile requirepeer replication"
    ),
    "it is libpq's, and set already": (
        "channel_binding gssencmode sslnegotiation sslsni sslcompression client_encoding"
        " ssl_min_protocol_version ssl_max_protocol_version load_balance_hosts sslcertmode"
        " sslcrl sslcrldir sslpassword krbsrvname gsslib gssdelegation require_auth require_oauth"
        " min_protocol_version max_protocol_version fallback_application_name authtype tty"
        " scram_client_key scram_server_key oauth_issuer oauth_client_id oauth_client_secret"
        " oauth_scope"
    ),
}
_WHY = {name: why for why, names in _KINDS.items() for name in names.split()}
_FIXES = {
    "connection_limit": _POOL,
    "pool": _POOL,
    "max": _POOL,
    "pool_max_conns": _POOL,
    "pool_min_conns": _POOL,
    "pool_timeout": _POOL,
    "ApplicationName": "Write application_name.",
    "targetServerType": "Write target_session_attrs=read-write.",
    "schema": _SEARCH_PATH,
    "currentSchema": _SEARCH_PATH,
    "search_path": _SEARCH_PATH,
    "service": _SERVICE,
    "servicefile": _SERVICE,
    "passfile": "Take it out, and write the password into the URL or RESPONSE_STORE_DATABASE_URL.",
}
_FIX_BY_WHY = {
    "it is a setting of the server, not of a connection": _ROLE,
    "it is for a pooler": _PREPARED,
}
_TIMEOUT = re.compile(r"timeout|_age|lifetime", re.IGNORECASE)
_PREPARES = re.compile(r"prepare|statement", re.IGNORECASE)


def find_refusal(name: str, value: str) -> Problem | None:
    """Return why a parameter of a known name is refused, and the fix; None for other names."""
    why = _WHY.get(name)
    if why is None:
        return None
    fix = _choose_options_fix(value) if name == "options" else _choose_fix(name, why)
    return Problem(f"the parameter {name} is not allowed: {why}", fix)


def _choose_fix(name: str, why: str) -> str:
    if name in _FIXES or why in _FIX_BY_WHY:
        return _FIXES.get(name) or _FIX_BY_WHY[why]
    if _PREPARES.search(name):
        return _PREPARED
    return _TIMES if _TIMEOUT.search(name) else _ANYWAY


def _choose_options_fix(value: str) -> str:
    """Return what to do instead of `options`, by what hosters write there."""
    if "endpoint" in value or "project" in value or "--cluster" in value:
        return (
            "Take it out: the server's name is sent with TLS (SNI), by which the hoster finds"
            " the database."
        )
    return _SEARCH_PATH if "search_path" in value else _ROLE


Pairs: TypeAlias = Sequence[tuple[str, str]]

# Whole numbers, each with the least and the most. libpq hands the keepalive times to the system,
# which refuses 0.
NUMBERS = {
    "connect_timeout": (0, 2**31 - 1),
    "keepalives": (0, 1),
    "keepalives_idle": (1, 32_767),
    "keepalives_interval": (1, 32_767),
    "keepalives_count": (1, 127),
    "tcp_user_timeout": (0, 2**31 - 1),
    "port": (1, 65_535),
}
ALLOWED = (
    *("host", "hostaddr", "dbname", "user", "password"),
    *("sslmode", "sslrootcert", "sslcert", "sslkey"),
    *("application_name", "target_session_attrs"),
    *NUMBERS,
)

# Spellings of other drivers, and libpq's obsolete ones.
_OTHER_SPELLINGS = {
    "ssl": "sslmode",
    "ssl-mode": "sslmode",
    "requiressl": "sslmode",
    "ssl-ca": "sslrootcert",
    "ssl-root-cert": "sslrootcert",
    "ssl-cert": "sslcert",
    "ssl-key": "sslkey",
    "database": "dbname",
    "username": "user",
    "application-name": "application_name",
    "applicationName": "application_name",
    "connectTimeout": "connect_timeout",
    "connectionTimeout": "connect_timeout",
}
# What only tightens, or is done anyway: libpq's names with the values that are taken.
HARMLESS = {
    "channel_binding": ("prefer", "require"),
    "gssencmode": ("disable",),
    "sslnegotiation": ("postgres", "direct"),
    "sslsni": ("1",),
    "sslcompression": ("0",),
    "client_encoding": ("utf8", "utf-8", "unicode"),
    "ssl_min_protocol_version": ("tlsv1.2", "tlsv1.3"),
    "load_balance_hosts": ("disable",),
}
TIGHTENING = ("channel_binding", "sslnegotiation", "ssl_min_protocol_version")
"""Those of them that libpq is given."""
_WRITABLE = ("any", "read-write", "primary")
_MAY_OVERRIDE = ("host", "port")  # what stands in the authority, as libpq does

_KEEP_TO = f"Keep to {', '.join(ALLOWED)}."
_CONNINFO = re.compile(r"=|^postgres(ql)?://")
_DIGITS = re.compile(r"[0-9]{1,10}")


def find_parameter_problems(pairs: Pairs) -> Iterator[Problem]:
    """Yield what is wrong with the parameters of a URL, each occurrence checked."""
    names = [name for name, _ in pairs]
    for name in (*ALLOWED, *HARMLESS):
        if names.count(name) > 1:
            yield Problem(f"the parameter {name} is repeated", "Give it once.")
    for name, value in pairs:
        if value.lower() not in HARMLESS.get(name, ()):
            yield from (
                find_value_problems(name, value) if name in ALLOWED else _find_refused(name, value)
            )


def find_duplicates(authority: Sequence[str], pairs: Pairs) -> Iterator[Problem]:
    """Yield what is given before the parameters and in them: only
    host and port may be overridden.
    """
    for name, _ in pairs:
        if name in authority and name not in _MAY_OVERRIDE:
            yield Problem(f"{name} is repeated: once as a parameter", "Give it once.")


def find_value_problems(name: str, value: str) -> Iterator[Problem]:
    """Yield what is wrong with the value of an allowed parameter. Hosts are checked elsewhere."""
    if name in ("host", "hostaddr"):
        return
    if not value:
        yield Problem(f"the parameter {name} is empty", "Give it a value, or take it out.")
    elif name != "password" and not value.isprintable():
        yield Problem(f"{name} has a control or other invalid character", "Take it away.")
    elif name == "dbname" and _CONNINFO.search(value):
        rule = "the database name (dbname) is itself a connection string"
        yield Problem(rule, "Write the name alone, without '='.")
    elif name in NUMBERS and not _is_number(value, *NUMBERS[name]):
        least, maximum = NUMBERS[name]
        rule = f"the parameter {name} is not one whole number from {least} to {maximum}"
        yield Problem(rule, _PORT if name == "port" else "Write digits alone.")
    elif name == "target_session_attrs" and value not in _WRITABLE:
        rule = "target_session_attrs has a value that is not allowed: this store writes"
        yield Problem(rule, f"It is one of {', '.join(_WRITABLE)}.")
    else:
        yield from find_ssl_parameter_problems(name, value)


_PORT = "Write one port, in digits alone; an IPv6 address as host stands in brackets."


def _find_refused(name: str, value: str) -> Iterator[Problem]:
    if name in _OTHER_SPELLINGS:
        rule = f"the parameter {name} is unknown to libpq or obsolete, and not allowed"
        yield Problem(rule, f"Write {_OTHER_SPELLINGS[name]}. {_KEEP_TO}")
    elif name in HARMLESS:
        rule = f"the parameter {name} has a value that weakens what is done anyway, or is unknown"
        yield Problem(rule, f"Take it out, or write {' or '.join(HARMLESS[name])}.")
    elif (problem := find_refusal(name, value)) is not None:
        yield problem
    else:
        yield Problem("the URL has a parameter that is unknown or not allowed", _KEEP_TO)
    if climbs(value):
        yield Problem(
            "the value of a parameter has a '..' segment (path traversal)",
            "Write paths without '..'.",
        )


def _is_number(text: str, least: int, maximum: int) -> bool:
    return _DIGITS.fullmatch(text) is not None and least <= int(text) <= maximum


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
    parameters = _read_given(url)
    problems += find_tls_problems(parameters, ssl_mode, ssl_root_cert)
    if leads_to_socket(parameters):
        problems += find_socket_problems(parameters, ssl_mode, ssl_root_cert)
    yield from dict.fromkeys(problems)


def find_url_problems(url: str, host_policy: HostPolicy) -> Iterator[Problem]:
    """Yield what is wrong with a URL by itself."""
    shape = list(_find_shape_problems(url))
    yield from shape or _find_part_problems(url, host_policy)


def parse_parameters(url: str) -> Parameters:
    """Return the parameters of a URL without faults, as libpq reads them."""
    return _parse_by_libpq(url) or {}


def leads_to_socket(parameters: Parameters) -> bool:
    """Return whether these parameters lead to a Unix socket."""
    return classify_host(parameters.get("host", "")).form is HostForm.SOCKET


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
    parameters: list[tuple[str, str]], host_policy: HostPolicy
) -> Iterator[Problem]:
    """Yield what is wrong with any host and address, even one that another overrides."""
    hosts = [value for name, value in parameters if name == "host"]
    addresses = [value for name, value in parameters if name == "hostaddr"]
    if not hosts and not addresses:
        yield Problem("an explicit host is missing", _FORM)
    for problem in (find_host_problem(host, host_policy) for host in hosts):
        if problem is not None:
            yield problem
    for problem in (find_hostaddr_problem(address, host_policy) for address in addresses):
        if problem is not None:
            yield problem
    if addresses and leads_to_socket(dict(parameters)):
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
