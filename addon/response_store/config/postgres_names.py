"""Which table names are too long for PostgreSQL, which cuts names at 63 bytes."""

from __future__ import annotations

from collections.abc import Iterator

from .problems import Problem
from .tables import TableNames

MAX_NAME_LENGTH = 63  # NAMEDATALEN - 1; checked names are ASCII

_TABLES = ("responses", "conversations", "exchanges")


def find_long_names(names: TableNames) -> Iterator[tuple[str, Problem]]:
    """Yield the tables whose name, or one derived from it, is too long."""
    named = names.by_placeholder()
    for table in _TABLES:
        own = len(named[table])
        max_length = max(len(name) for key, name in named.items() if key.startswith(table))
        if max_length > MAX_NAME_LENGTH:
            limit = MAX_NAME_LENGTH - (max_length - own)
            rule = (
                f"the name is too long: with what is named after it, it exceeds "
                f"PostgreSQL's limit of {MAX_NAME_LENGTH} bytes"
            )
            yield f"{table}_table", Problem(rule, f"Take a name of at most {limit} characters.")
