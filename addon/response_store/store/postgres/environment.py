"""Removal of libpq's variables from the environment of this process.

A connection string can name every parameter, but not what a session begins with: PGTZ,
PGDATESTYLE and PGGEQO go to the server whatever it says, and a service that does not exist makes
libpq fail.
"""

from __future__ import annotations

import functools
import os

from psycopg import pq

# Those that are no parameters' own; source: the PostgreSQL manual, "Environment Variables".
_OTHERS = frozenset(
    {
        *("PGTZ", "PGDATESTYLE", "PGGEQO", "PGSERVICE", "PGSERVICEFILE", "PGSYSCONFDIR"),
        *("PGREQUIRESSL", "PGREALM", "PGLOCALEDIR", "PGSSLKEYLOGFILE"),
    }
)


def clear_environment() -> None:
    """Take libpq's variables out of this process's environment. Idempotent, from any thread."""
    for name in list_variables():
        os.environ.pop(name, None)


@functools.cache
def list_variables() -> frozenset[str]:
    """Return the names of all variables that libpq reads."""
    options = pq.Conninfo.parse(b"")
    return _OTHERS | {option.envvar.decode() for option in options if option.envvar}
