"""Checks that a database file holds nothing but our tables under our names: a file is input.

A trigger can forge or delete what is written, a view can run for ever, an index can refuse rows,
and a table can have rules of its own. None of ours needs more than the SQL files of `schemas/`.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Iterator

from response_store.config.tables import TableNames
from response_store.errors import PermanentStoreError
from response_store.store.schema_state import MIGRATIONS
from response_store.store.sqlite.statements import fill

_CATALOGUE = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_SCRIPTS = ("shared_tables.sql", *MIGRATIONS, "search_words.sql")
_MAX_PROBLEMS = 5
_MAX_CHARS = 60  # of a name that the file chose
_TOKEN = re.compile(
    r"""
    (?P<text> '(?:[^']|'')*' ) |
    (?P<quote> ["`]) (?P<name> \w+ ) (?P=quote) |
    (?P<odd> "(?:[^"]|"")*" | `[^`]*` | \[[^\]]*\] ) |
    (?P<blank> --[^\n]* | /\*.*?(?:\*/|\Z) | \s+ | ;\s*\Z )
    """,
    re.VERBOSE | re.DOTALL,
)
_RULES = re.compile(
    r"\b(CHECK|GENERATED|AS|REFERENCES|UNIQUE|COLLATE|ON\s+CONFLICT|VIRTUAL)\b|\bDEFAULT\s*\(",
    re.IGNORECASE,
)


def check_catalogue(connection: sqlite3.Connection, tables: TableNames, where: str) -> None:
    """See that only tables, triggers and indexes of ours stand under our names.

    Raises PermanentStoreError, which begins with `where`, or sqlite3.Error.
    """
    problems = list(_find_problems(connection.execute(_CATALOGUE).fetchall(), tables))
    if problems:
        more = len(problems) - _MAX_PROBLEMS
        shown = problems[:_MAX_PROBLEMS] + ([f"{more} more"] if more > 0 else [])
        raise PermanentStoreError(
            f"{where}: the file holds what this program did not make: {', '.join(shown)}. "
            "Nothing was read from it or written to it: name another file, or drop these if they "
            "are yours"
        )


def _find_problems(rows: list[tuple[object, ...]], tables: TableNames) -> Iterator[str]:
    ours, known = _list_our_tables(tables), _list_known_statements(tables)
    for kind, name, table, sql in rows:
        if str(table).lower() not in ours or sql is None:  # an index that a key needs has none
            continue
        text = str(sql)
        if _normalize(text) in known or (kind == "table" and not _has_rules(text)):
            continue
        described = f"{kind} {_escape_name(name)}"
        yield described if kind in ("table", "view") else f"{described} on {_escape_name(table)}"


@functools.lru_cache(maxsize=8)
def _list_known_statements(tables: TableNames) -> frozenset[str]:
    """Return every statement that may have made something under our names."""
    return frozenset(_normalize(text) for script in _SCRIPTS for text in fill(script, tables))


@functools.lru_cache(maxsize=8)
def _list_our_tables(tables: TableNames) -> frozenset[str]:
    """Return the names of our tables, in lower case, those of the full-text index among them."""
    words = tables.exchanges_search_words
    shadows = (f"{words}_{part}" for part in ("data", "idx", "content", "docsize", "config"))
    return frozenset(name.lower() for name in (*tables.by_placeholder().values(), *shadows))


def _normalize(sql: str) -> str:
    """Return a statement without blanks, comments and needless quotes, in lower case."""
    kept = _TOKEN.sub(lambda m: m["text"] or m["name"] or m["odd"] or "", sql)
    return kept.lower().replace("ifnotexists", "", 1)


def _has_rules(sql: str) -> bool:
    """Return whether a table's statement has more than columns, types and keys."""
    return _RULES.search(_TOKEN.sub(" ", sql)) is not None


def _escape_name(name: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(name)[:_MAX_CHARS])
