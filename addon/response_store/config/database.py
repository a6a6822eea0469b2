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
from .postgres_names import postgres_name_faults
from .problems import Fault
from .rules import TABLE_KEYS
from .schema import schema
from .sqlite_url import sqlite_target, sqlite_url_faults
from .tables import TableNames
from .url_forms import url_form_fault

if TYPE_CHECKING:
    from .addresses import Reach
    from .postgres_target import PostgresTarget

_POSTGRES_SCHEME = re.compile(r"\s*postgres(ql)?:", re.IGNORECASE)
_SQLITE_SCHEME = re.compile(r"\s*sqlite:", re.IGNORECASE)
_POSTGRES_ONLY = (
    "allow_dns_database_url",
    "allow_private_database_url",
    "ssl_mode",
    "ssl_root_cert",
)


def backend_of(settings: Mapping[str, Any]) -> Backend:
    """Return the backend that the settings name, by key or else by the URL's scheme."""
    if settings["backend"] is not None:
        return Backend(settings["backend"])
    named = _POSTGRES_SCHEME.match(settings["database_url"])
    return Backend.POSTGRES if named else Backend.SQLITE


def database_faults(settings: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    """Yield what is wrong with backend, URL and TLS together, with the key that is to blame."""
    form = url_form_fault(settings["database_url"])
    if form is not None:
        yield "database_url", form
    elif backend_of(settings) is Backend.POSTGRES:
        yield from _postgres_faults(settings)
    else:
        yield from _sqlite_faults(settings)


def database_target(
    settings: Mapping[str, Any], directory: Path = Path()
) -> SqliteTarget | PostgresTarget:
    """Return the database that settings without faults name; relative paths are in `directory`."""
    if backend_of(settings) is Backend.SQLITE:
        return sqlite_target(settings["database_url"], directory)
    from .postgres_target import postgres_target  # noqa: PLC0415 (see above)

    return postgres_target(
        settings["database_url"],
        _reach(settings),
        settings["ssl_mode"],
        settings["ssl_root_cert"],
        directory,
    )


def _sqlite_faults(settings: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    url = settings["database_url"]
    if _POSTGRES_SCHEME.match(url):
        mismatch = "backend is sqlite, but the URL's scheme is that of PostgreSQL"
        yield "database_url", Fault(mismatch, "Write a sqlite:// URL, or backend: postgres.")
    else:
        faults = list(sqlite_url_faults(url))
        for fault in faults:
            yield "database_url", fault
        if not faults and settings["serve"] in _SERVING and sqlite_target(url).path is None:
            yield "serve", _IN_MEMORY
        if not faults and _retains(settings) and sqlite_target(url).path is None:
            yield "retention", _NOTHING_TO_RETAIN
    for key in _POSTGRES_ONLY:
        if settings[key] != schema()["properties"][key]["default"]:
            rule = f"{key} is only valid with backend: postgres"
            yield key, Fault(rule, "Take the key out.")


_SERVING = ("prefer", "only")
_IN_MEMORY = Fault(
    "what is in memory can't be served: only the connection that writes it sees it",
    "Name a file in database_url, or take serve out.",
)

_NOTHING_TO_RETAIN = Fault(
    "what is in memory goes with the proxy: nobody else can remove anything from it",
    "Name a file in database_url, or take retention out.",
)


def _retains(settings: Mapping[str, Any]) -> bool:
    return any(value is not None for value in settings["retention"].values())


def _postgres_faults(settings: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    from .postgres_url import postgres_faults  # noqa: PLC0415 (see above)

    url = settings["database_url"]
    if url == schema()["properties"]["database_url"]["default"]:
        missing = "backend is postgres, but there is no URL of a PostgreSQL database"
        yield "database_url", Fault(missing, _WRITE_URL)
    elif _SQLITE_SCHEME.match(url):
        mismatch = "backend is postgres, but the URL's scheme is that of SQLite"
        yield "database_url", Fault(mismatch, _WRITE_URL)
    else:
        yield from postgres_faults(
            url, _reach(settings), settings["ssl_mode"], settings["ssl_root_cert"]
        )
    with contextlib.suppress(ValueError):  # names that break another rule are told already
        names = (settings[key] for key in TABLE_KEYS)
        yield from postgres_name_faults(TableNames(*names))


_WRITE_URL = "Write postgres://user:password@address:5432/database, or backend: sqlite."


def _reach(settings: Mapping[str, Any]) -> Reach:
    from .addresses import reach_of  # noqa: PLC0415 (it is of use with PostgreSQL alone)

    return reach_of(
        allow_dns=settings["allow_dns_database_url"],
        allow_private=settings["allow_private_database_url"],
    )
