"""Which database the settings name, and what is wrong with that."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .model import Backend
from .problems import Fault
from .sqlite_url import sqlite_url_faults

_POSTGRES_SCHEME = re.compile(r"\s*postgres(ql)?:", re.IGNORECASE)
_NO_POSTGRES = Fault(
    "PostgreSQL is not supported by this version", "Use backend: sqlite and a sqlite:// URL."
)


def database_faults(backend: str | None, url: str) -> Iterator[tuple[str, Fault]]:
    """What is wrong with backend and URL together, with the key that is to blame."""
    if backend == Backend.POSTGRES:
        yield "backend", _NO_POSTGRES
    elif _POSTGRES_SCHEME.match(url):
        if backend == Backend.SQLITE:
            mismatch = "backend is sqlite, but the URL's scheme is that of PostgreSQL"
            yield "database_url", Fault(mismatch, "Write a sqlite:// URL.")
        else:
            yield "database_url", _NO_POSTGRES
    else:
        for fault in sqlite_url_faults(url):
            yield "database_url", fault
