"""Tell what state a database's schema is in, whether this program can work with it, and what a
check has found.

The shared tables keep praxis-proxy/ai's version; ours has its own, with ordered migrations.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from response_store.config import TableNames
from response_store.errors import PermanentStoreError
from response_store.model.tables import (
    CONVERSATION_COLUMNS,
    RESPONSE_COLUMNS,
    STORED_EXCHANGE_COLUMNS,
)
from response_store.resources import find_schema, read_schema

logger = logging.getLogger(__name__)
SHARED_VERSION = 1
MIGRATIONS = tuple(
    sorted(path.name for path in find_schema("sqlite").glob("exchanges_[0-9][0-9][0-9].sql"))
)
_added_columns = re.compile(r"ALTER TABLE \{exchanges\} ADD COLUMN (\w+)").findall
_JOURNAL_COLUMNS = ("journal_id", "position", "changed_at", "database_id")

Version: TypeAlias = int | str | None


class Catalogue(Protocol):
    """The tables of a database, as far as checks need them."""

    def columns(self, table: str) -> set[str]:
        """Return the names of a table's columns, in lower case;
        none where there is no such table.
        """

    def highest(self, table: str) -> object:
        """Return the highest `version` in a table that is there; None where it is empty."""

    def is_taken(self, name: str) -> bool:
        """Return whether something has a name, in whatever letters, that a view would have."""


def read_version(catalogue: Catalogue, table: str) -> Version:
    """Return the version in a table; None where there is no such table, or nothing in it."""
    columns = catalogue.columns(table)
    if not columns:
        return None
    if "version" not in columns:
        return "nothing"
    stored = catalogue.highest(table)
    return stored if stored is None or isinstance(stored, int) else str(stored)


def check_schema(catalogue: Catalogue, tables: TableNames, label: str) -> None:
    """Raise PermanentStoreError, with every problem at once, where this schema is not ours."""
    problems = _find_version_problems(catalogue, tables) + _find_column_problems(catalogue, tables)
    if problems:
        raise PermanentStoreError(
            f"{label}: {'; '.join(problems)}. Name other tables in the configuration, or fix these"
        )


def list_pending_migrations(catalogue: Catalogue, tables: TableNames) -> Iterator[tuple[int, str]]:
    """Return the migrations that are still to be made, as version and file, in order."""
    stored = int(read_version(catalogue, tables.exchanges_version) or 0)
    return enumerate(MIGRATIONS[stored:], start=stored + 1)


_read_view = re.compile(r'CREATE VIEW "(\w+)"').match


def list_possible(
    catalogue: Catalogue, statements: Iterable[str], label: str
) -> Iterator[tuple[str, str | None]]:
    """Yield the statements of a migration, each with the name of the view that it makes, if any.

    A view whose name something else has is left out, with a warning: nothing of ours needs it.
    """
    for statement in statements:
        match = _read_view(statement)
        view = match[1] if match else None
        if view is not None and catalogue.is_taken(view):
            logger.warning(
                "response_store: %s: something is called %s already, so the view of that name is"
                " left out, which is there for people alone",
                label,
                view,
            )
        else:
            yield statement, view


def _find_version_problems(catalogue: Catalogue, tables: TableNames) -> list[str]:
    shared = read_version(catalogue, tables.responses_version)
    own = read_version(catalogue, tables.exchanges_version)
    problems = []
    if shared not in (None, SHARED_VERSION):
        problems.append(
            _describe_version_mismatch(tables.responses_version, shared, SHARED_VERSION)
        )
    if own is not None and not (isinstance(own, int) and 0 <= own <= len(MIGRATIONS)):
        problems.append(_describe_version_mismatch(tables.exchanges_version, own, len(MIGRATIONS)))
    return problems


def _describe_version_mismatch(table: str, stored: Version, known: int) -> str:
    return (
        f"{table} says version {stored}, this program knows {known}: use the release that made it"
    )


def _find_column_problems(catalogue: Catalogue, tables: TableNames) -> list[str]:
    """Return what is wrong with the tables that exist; those that do not will be created."""
    problems = []
    for table, expected in (
        (tables.responses, RESPONSE_COLUMNS),
        (tables.conversations, CONVERSATION_COLUMNS),
    ):
        columns = catalogue.columns(table)
        if columns and (missing := [name for name in expected if name not in columns]):
            problems.append(f"table {table} lacks {', '.join(missing)}")
    return problems + _find_problems_of_own_tables(catalogue, tables)


def _find_problems_of_own_tables(catalogue: Catalogue, tables: TableNames) -> list[str]:
    known = read_version(catalogue, tables.exchanges_version) or 0
    if not isinstance(known, int) or known < 0:
        return []  # told already
    problems = []
    for table, expected, since in (
        (tables.exchanges, STORED_EXCHANGE_COLUMNS, 1),
        (tables.exchanges_journals, _JOURNAL_COLUMNS, 3),
    ):
        columns = catalogue.columns(table)
        later = _list_columns_added_after(known) if table == tables.exchanges else set()
        missing = [name for name in expected if name not in columns and name not in later]
        if known < since and columns:
            rule = f"{tables.exchanges_version} knows nothing of it"
            problems.append(f"table {table} is not ours: {rule}")
        elif known >= since and not columns:
            rule = f"{tables.exchanges_version} says that it is here"
            problems.append(f"table {table} is missing, though {rule}")
        elif known >= since and missing:
            problems.append(f"table {table} lacks {', '.join(missing)}")
    return problems


def _list_columns_added_after(version: int) -> set[str]:
    """Return the columns that migrations after a version add to the table of exchanges."""
    texts = (read_schema(f"sqlite/{name}") for name in MIGRATIONS[version:])
    return {name for text in texts for name in _added_columns(text)}


PRESENT = f"present, version {SHARED_VERSION} of the shared tables, {len(MIGRATIONS)} of our own"


@dataclass(slots=True)
class Findings:
    """Facts, as names and values in order, and problems that keep a store from working there.

    Both may be shown once control characters are made visible: a server may say anything.
    """

    facts: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def note(self, name: str, value: str) -> None:
        """Add a fact."""
        self.facts.append((name, value))

    def object_to(self, problem: str) -> None:
        """Add a problem: where, which rule, how to fix it."""
        self.problems.append(problem)
