"""Which database the settings name, and what is wrong with that.

psycopg is imported only where PostgreSQL is named: it takes a fifth of a second.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .model import Backend, SqliteTarget
from .postgres_names import find_long_names
from .problems import Problem
from .rules import TABLE_KEYS
from .schema import load_schema
from .sqlite_url import build_sqlite_target, find_sqlite_url_problems
from .tables import TableNames
from .url_forms import find_url_form_problem

if TYPE_CHECKING:
    from .addresses import HostPolicy
    from .postgres_target import PostgresTarget

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
    from .postgres_target import build_postgres_target  # noqa: PLC0415 (see above)

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
    "what is in memory can't be served: only the connection that writes it sees it",
    "Name a file in database_url, or take serve out.",
)

_NOTHING_TO_RETAIN = Problem(
    "what is in memory goes with the proxy: nobody else can remove anything from it",
    "Name a file in database_url, or take retention out.",
)


def _retains(settings: Mapping[str, Any]) -> bool:
    return any(value is not None for value in settings["retention"].values())


def _find_postgres_problems(settings: Mapping[str, Any]) -> Iterator[tuple[str, Problem]]:
    from .postgres_url import find_postgres_problems  # noqa: PLC0415 (see above)

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
    from .addresses import choose_host_policy  # noqa: PLC0415 (it is of use with PostgreSQL alone)

    return choose_host_policy(
        allow_dns=settings["allow_dns_database_url"],
        allow_private=settings["allow_private_database_url"],
    )
