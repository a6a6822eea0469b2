"""Read which database the settings name, and say what is wrong with that.

psycopg is imported only where PostgreSQL is named: it takes a fifth of a second.

Nothing of the text becomes part of a message: it may hold a password in any place. Only schemes
that are known are named.

`sqlite://relative.db`, `sqlite:///absolute.db`, `sqlite::memory:`. Two slashes or none begin a
relative path: there is no host in these URLs. The text of the URL never becomes part of a message.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes

from response_store.config.model import Backend, SqliteTarget
from response_store.config.problems import Problem, climbs
from response_store.config.rules import TABLE_KEYS
from response_store.config.schema import load_schema
from response_store.config.table_names import TableNames, find_long_names
from response_store.resources import find_user_folder

if TYPE_CHECKING:
    from response_store.config.ip_ranges import HostPolicy
    from response_store.config.postgres_target import PostgresTarget

_MEMORY = ":memory:"
_FORMS = "Write sqlite://relative.db, sqlite:///absolute.db or sqlite::memory:."
_VALUES = {"mode": ("rwc", "rw", "memory"), "cache": ("private", "shared")}
_MAX_LENGTH = 4_096  # of a path, on most systems


class _SqliteUrlParts(NamedTuple):
    path: str  # as written, percent signs and all
    parameters: tuple[str, ...]

    @property
    def decoded(self) -> str:
        return unquote(self.path)


def find_sqlite_url_problems(url: str) -> Iterator[Problem]:
    """Yield what is wrong with a URL, by all rules at once."""
    if url != url.strip():
        yield Problem("the URL has whitespace around it", "Take it away.")
    elif len(url) > _MAX_LENGTH:
        yield Problem(f"the URL exceeds {_MAX_LENGTH} characters", "Take a shorter path.")
    elif not url.startswith("sqlite:"):
        yield Problem("the URL's scheme is not sqlite", _FORMS)
    else:
        parts = _split(url)
        yield from _find_path_problems(parts)
        yield from _find_parameter_problems(parts.parameters)


def build_sqlite_target(url: str, directory: Path = Path()) -> SqliteTarget:
    """Return what a URL without faults names; a relative path is in `directory`."""
    parts = _split(url)
    parameters = dict(parameter.split("=", 1) for parameter in parts.parameters)
    in_memory = parts.decoded == _MEMORY or parameters.get("mode") == "memory"
    mode: Literal["rw", "rwc"] = "rw" if parameters.get("mode") == "rw" else "rwc"
    path = None if in_memory else directory / parts.decoded
    return SqliteTarget(path, mode)


def _split(url: str) -> _SqliteUrlParts:
    path, _, query = url.removeprefix("sqlite:").removeprefix("//").partition("?")
    return _SqliteUrlParts(path, tuple(query.split("&")) if query else ())


def _find_path_problems(parts: _SqliteUrlParts) -> Iterator[Problem]:
    path = parts.decoded
    if not path:
        yield Problem("the path is empty", _FORMS)
    elif not path.isprintable() or not _is_utf8(parts.path):
        yield Problem("the path has invalid characters", "Keep to printable UTF-8 characters.")
    elif path.startswith(("sqlite:", "file:")):
        yield Problem("the URL has a second scheme: sqlite: or file:", _FORMS)
    elif (problem := _find_misplaced_path(path)) is not None:
        yield problem
    elif path.endswith("/") or path.rpartition("/")[2] == ".":
        yield Problem("the path names a folder", "Name a file in it.")
    if climbs(parts.path):
        yield Problem(
            "the path has a '..' segment (path traversal)", "Write the path without '..'."
        )


def _find_misplaced_path(path: str) -> Problem | None:
    """Return why a path names no file of this system, or not the
    one that is meant; None if it does.
    """
    if path != _MEMORY and path.rpartition("/")[2] == _MEMORY:
        return Problem(
            "the URL names a file called :memory:, not an in-memory database", _WRITE_IN_MEMORY
        )
    if _WINDOWS.match(path):
        return Problem("the path is one of Windows, which is not supported", _FORMS)
    if (device := _DEVICE.match(path)) is not None:
        return Problem(f"the path is in /{device[1]}, where no database can be", _ELSEWHERE)
    if (unfilled := _UNFILLED.match(path)) is not None:
        return Problem(f"'{unfilled[1]}' at the beginning of the path is not filled in", _FILLED)
    return None


_WRITE_IN_MEMORY = "Write sqlite::memory:."
_WINDOWS = re.compile(r"/?[A-Za-z]:[\\/]|\\\\")
_DEVICE = re.compile(r"/+(dev|proc|sys)/(?!shm/)")
_ELSEWHERE = "Name a file. To keep nothing: sqlite::memory:."
_UNFILLED = re.compile(r"/?([$%](?=\w)|~(?=/))")
_FILLED = "Write ${HOME}/... or sqlite://~/... for the home folder, with two slashes before it."


def _is_utf8(path: str) -> bool:
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeError:  # encoding too: a lone surrogate
        return False
    return True


def _find_parameter_problems(parameters: tuple[str, ...]) -> Iterator[Problem]:
    names = [parameter.partition("=")[0] for parameter in parameters]
    for name in _VALUES:
        if names.count(name) > 1:
            yield Problem(f"the parameter {name} is repeated", "Give it once.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name not in _VALUES:
            # Not named: what is misplaced there may be a piece of a password.
            yield Problem("the URL has a parameter that is unknown or not allowed", _PARAMETERS)
        elif value not in _VALUES[name]:
            hint = (
                f"It is one of {', '.join(_VALUES[name])}; a read-only store can't keep anything."
            )
            yield Problem(f"the parameter {name} has a value that is not allowed", hint)


_PARAMETERS = "Keep to mode and cache, written as name=value."

_NEITHER = "the scheme is neither sqlite nor postgres"
_URL_FORMS = (
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
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
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
        return Problem(f"{_NEITHER}, but {scheme}", _URL_FORMS)
    return Problem(_NEITHER, _URL_FORMS)


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
            f"Write them as a URL. {_URL_FORMS}",
        ),
    ),
    (
        lambda text: _SCHEME.match(text) is None and _PAIR.search(text) is not None,
        Problem(
            f"{_NEITHER}: these are key=value pairs, as libpq has them",
            f"Write them as a URL. {_URL_FORMS}",
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
        lambda text: _WINDOWS_PATH.match(text) is not None,
        Problem(f"{_NEITHER}: this is a path of Windows, which is not supported", _URL_FORMS),
    ),
    (
        lambda text: _PATH.match(text) is not None and "://" not in text,
        Problem(
            f"{_NEITHER}: this is a path",
            "Write sqlite:// before it; an absolute path then has three slashes.",
        ),
    ),
    (lambda text: not text, Problem(f"{_NEITHER}: the URL is empty", _URL_FORMS)),
)

_POSTGRES_SCHEME = re.compile(r"\s*postgres(ql)?:", re.IGNORECASE)
_SQLITE_SCHEME = re.compile(r"\s*sqlite:", re.IGNORECASE)
_POSTGRES_ONLY = (
    "allow_dns_database_url",
    "allow_private_database_url",
    "ssl_mode",
    "ssl_root_cert",
)


def choose_backend(settings: Mapping[str, Any]) -> Backend:
    """Return the backend that the settings name, by key or else by the URL's scheme."""
    if settings["backend"] is not None:
        return Backend(settings["backend"])
    named = _POSTGRES_SCHEME.match(settings["database_url"])
    return Backend.POSTGRES if named else Backend.SQLITE


def find_database_problems(settings: Mapping[str, Any]) -> Iterator[tuple[str, Problem]]:
    """Yield what is wrong with backend, URL and TLS together, with the key that is to blame."""
    form = find_url_form_problem(settings["database_url"])
    if form is not None:
        yield "database_url", form
    elif choose_backend(settings) is Backend.POSTGRES:
        yield from _find_postgres_problems(settings)
    else:
        yield from _find_sqlite_problems(settings)


def build_target(
    settings: Mapping[str, Any], directory: Path = Path()
) -> SqliteTarget | PostgresTarget:
    """Return the database that settings without faults name; relative paths are in `directory`."""
    if choose_backend(settings) is Backend.SQLITE:
        return build_sqlite_target(settings["database_url"], directory)
    from response_store.config.postgres_target import build_postgres_target  # noqa: PLC0415

    return build_postgres_target(
        settings["database_url"],
        _choose_host_policy(settings),
        settings["ssl_mode"],
        settings["ssl_root_cert"],
        directory,
    )


def _find_sqlite_problems(settings: Mapping[str, Any]) -> Iterator[tuple[str, Problem]]:
    url = settings["database_url"]
    if _POSTGRES_SCHEME.match(url):
        mismatch = "backend is sqlite, but the URL's scheme is that of PostgreSQL"
        yield "database_url", Problem(mismatch, "Write a sqlite:// URL, or backend: postgres.")
    else:
        problems = list(find_sqlite_url_problems(url))
        for problem in problems:
            yield "database_url", problem
        if not problems and settings["serve"] in _SERVING and build_sqlite_target(url).path is None:
            yield "serve", _IN_MEMORY
        if not problems and _retains(settings) and build_sqlite_target(url).path is None:
            yield "retention", _NOTHING_TO_RETAIN
    for key in _POSTGRES_ONLY:
        if settings[key] != load_schema()["properties"][key]["default"]:
            rule = f"{key} is only valid with backend: postgres"
            yield key, Problem(rule, "Take the key out.")


_SERVING = ("prefer", "only")
_IN_MEMORY = Problem(
    "an in-memory database can't be served: only the connection that writes it sees it",
    "Name a file in database_url, or take serve out.",
)

_NOTHING_TO_RETAIN = Problem(
    "an in-memory database can't be pruned: only the connection that writes it sees it",
    "Name a file in database_url, or take retention out.",
)


def _retains(settings: Mapping[str, Any]) -> bool:
    return any(value is not None for value in settings["retention"].values())


def _find_postgres_problems(settings: Mapping[str, Any]) -> Iterator[tuple[str, Problem]]:
    from response_store.config.postgres_url import find_postgres_problems  # noqa: PLC0415

    url = settings["database_url"]
    if url == load_schema()["properties"]["database_url"]["default"]:
        missing = "backend is postgres, but there is no URL of a PostgreSQL database"
        yield "database_url", Problem(missing, _WRITE_URL)
    elif _SQLITE_SCHEME.match(url):
        mismatch = "backend is postgres, but the URL's scheme is that of SQLite"
        yield "database_url", Problem(mismatch, _WRITE_URL)
    else:
        yield from find_postgres_problems(
            url, _choose_host_policy(settings), settings["ssl_mode"], settings["ssl_root_cert"]
        )
    with contextlib.suppress(ValueError):  # names that break another rule are told already
        names = (settings[key] for key in TABLE_KEYS)
        yield from find_long_names(TableNames(*names))


_WRITE_URL = "Write postgres://user:password@address:5432/database, or backend: sqlite."


def _choose_host_policy(settings: Mapping[str, Any]) -> HostPolicy:
    from response_store.config.ip_ranges import choose_host_policy  # noqa: PLC0415

    return choose_host_policy(
        allow_dns=settings["allow_dns_database_url"],
        allow_private=settings["allow_private_database_url"],
    )


IN_WORKING_DIRECTORY = "responses.db"


def find_default_database(environ: Mapping[str, str]) -> Path:
    """Return the file in the user's data folder, for who names none; its folder may be missing.

    Raises RuntimeError where the user has no home.
    """
    return find_user_folder("data", environ) / IN_WORKING_DIRECTORY


def build_sqlite_url(path: Path) -> str:
    """Return the URL of a file by its absolute path."""
    return f"sqlite://{quote(os.fsencode(path.absolute()))}"
