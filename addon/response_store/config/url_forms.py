"""What stands where a database URL is wanted and is none: told as what it is.

Nothing of the text becomes part of a message: it may hold a password in any place. Only schemes
that are known are named.
"""

from __future__ import annotations

import re

from .problems import Problem

_NEITHER = "the scheme is neither sqlite nor postgres"
_FORMS = (
    "Write postgres://user:password@host:5432/database, sqlite://relative.db or"
    " sqlite:///absolute.db."
)
_QUOTES = "\"'`\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u00ab\u00bb"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(\+[A-Za-z0-9_.+-]*)?:(?!\\)")
_OURS = re.compile(r"(postgres|postgresql|sqlite|cockroachdb)", re.IGNORECASE)
_FOREIGN = frozenset(
    """
    cockroachdb db2 duckdb file ftp http https libsql mariadb mongodb mssql mysql oracle prisma
    redis rediss redshift s3 snowflake sqlserver ssh tcp unix ws wss
    """.split()
)
_NAMED = re.compile(r"(export\s+|set\s+|env\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*\W{0,2}[A-Za-z]+[+:]")
_PAIR = re.compile(
    r"(^|\s)(host|hostaddr|port|dbname|database|user|password|sslmode|service)\s*=", re.IGNORECASE
)
_SEMICOLON_PAIR = re.compile(
    r"(^|;)\s*(server|host|data source|datasource|addr|address|username|user id|uid|database)\s*=",
    re.IGNORECASE,
)
_TEMPLATE = re.compile(r"\{\{|\$\(|\$[A-Za-z_]|%[A-Za-z_]+%|<[^>]*>$|\[[A-Z _-]+\]$")
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_PATH = re.compile(r"(/|\./|\.\./|~)|[^:=\s]+\.(db|sqlite3?|s3db)$", re.IGNORECASE)


def find_url_form_problem(url: str) -> Problem | None:
    """Return what a text is that begins as no URL of ours; None where it begins as one."""
    text = url.strip()
    if text != url and url.rstrip("\r\n") != url:
        return _LINE_BREAK
    if _has_our_scheme(text):
        return None
    return next((problem for applies, problem in _KINDS if applies(text)), None) or _find_by_scheme(
        text
    )


def _has_our_scheme(text: str) -> bool:
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match and not match[2] else ""
    return scheme in ("postgres", "postgresql", "sqlite")


def _find_by_scheme(text: str) -> Problem:
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else ""
    if scheme == "cockroachdb" or (match and match[2] and _OURS.fullmatch(scheme)):
        name = "sqlite" if scheme == "sqlite" else "postgresql"
        rule = f"{_NEITHER}: a +driver, or another name of it, is for SQLAlchemy"
        return Problem(rule, f"Begin the URL with {name}:// alone.")
    if scheme in _FOREIGN:
        return Problem(f"{_NEITHER}, but {scheme}", _FORMS)
    return Problem(_NEITHER, _FORMS)


_LINE_BREAK = Problem(
    "the URL ends with a line break",
    "Take it away: in YAML write the URL beside the key, without |; for a secret use printf, not"
    " echo.",
)
_KINDS = (
    (
        lambda text: text[:1] in _QUOTES and text[:1] != "",
        Problem(
            f"{_NEITHER}: the URL stands in quotes, which are part of it here",
            "Take the quotes away: docker's --env-file and systemd's credentials keep them.",
        ),
    ),
    (
        lambda text: re.match(r"psql\b|pgcli\b|sqlite3\b", text) is not None and " " in text,
        Problem(f"{_NEITHER}: this is a command line", "Write the URL alone, without the program."),
    ),
    (
        lambda text: (
            re.match(r"r?2?jdbc:", text, re.IGNORECASE) is not None
            or text.lower().startswith("r2dbc:")
        ),
        Problem(
            f"{_NEITHER}: this is a URL of Java (jdbc:)",
            "Write postgres://user:password@host:5432/database: without jdbc:, and with user and"
            " password before the host.",
        ),
    ),
    (
        lambda text: _NAMED.match(text) is not None and _PAIR.match(text) is None,
        Problem(
            f"{_NEITHER}: the name of a variable and = stand before the URL",
            "Write only what comes after the =.",
        ),
    ),
    (
        lambda text: _SEMICOLON_PAIR.search(text) is not None and ";" in text,
        Problem(
            f"{_NEITHER}: these are key=value pairs, as .NET or ODBC has them",
            f"Write them as a URL. {_FORMS}",
        ),
    ),
    (
        lambda text: _SCHEME.match(text) is None and _PAIR.search(text) is not None,
        Problem(
            f"{_NEITHER}: these are key=value pairs, as libpq has them",
            f"Write them as a URL. {_FORMS}",
        ),
    ),
    (
        lambda text: _TEMPLATE.match(text) is not None,
        Problem(
            f"{_NEITHER}: this reads like a variable or a place to fill in",
            "Write ${NAME}, which is filled in from the environment, or set"
            " RESPONSE_STORE_DATABASE_URL.",
        ),
    ),
    (
        lambda text: _WINDOWS.match(text) is not None,
        Problem(f"{_NEITHER}: this is a path of Windows, which is not supported", _FORMS),
    ),
    (
        lambda text: _PATH.match(text) is not None and "://" not in text,
        Problem(
            f"{_NEITHER}: this is a path",
            "Write sqlite:// before it; an absolute path then has three slashes.",
        ),
    ),
    (lambda text: not text, Problem(f"{_NEITHER}: the URL is empty", _FORMS)),
)
