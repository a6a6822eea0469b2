"""Which table names are too long for PostgreSQL, which cuts names at 63 bytes."""

from __future__ import annotations

from collections.abc import Iterator

from .problems import Fault
from .tables import TableNames

LONGEST_NAME = 63  # NAMEDATALEN - 1; checked names are ASCII

_TABLES = ("responses", "conversations", "exchanges")


def postgres_name_faults(names: TableNames) -> Iterator[tuple[str, Fault]]:
    """Yield the tables whose name, or one derived from it, is too long."""
    named = names.by_placeholder()
    for table in _TABLES:
        own = len(named[table])
        longest = max(len(name) for key, name in named.items() if key.startswith(table))
        if longest > LONGEST_NAME:
            most = LONGEST_NAME - (longest - own)
            rule = (
                f"the name is too long: with what is named after it, it exceeds "
                f"PostgreSQL's limit of {LONGEST_NAME} bytes"
            )
            yield f"{table}_table", Fault(rule, f"Take a name of at most {most} characters.")
