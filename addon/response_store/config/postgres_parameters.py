"""The parameters that a PostgreSQL URL may have, and the rules of their values.

An allow-list: many of libpq's parameters open files, redirect the connection or change the session
(`service`, `passfile`, `options`, `sslkeylogfile`, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from .postgres_refusals import find_refusal
from .problems import Problem
from .tls import find_ssl_parameter_problems
from .traversal import climbs

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
