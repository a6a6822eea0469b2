"""Make, check and migrate the schema of a SQLite file, in one transaction.

A trigger can forge or delete what is written, a view can run for ever, an index can refuse rows,
and a table can have rules of its own. None of ours needs more than the SQL files of `schemas/`.
"""

from __future__ import annotations

import functools
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator

from response_store.backends.sqlite.errors import begin_immediate
from response_store.config.table_names import TableNames
from response_store.errors import PermanentStoreError
from response_store.model.tables import quote_name
from response_store.queries import schema_state
from response_store.queries.schema_state import MIGRATIONS, SHARED_VERSION
from response_store.queries.statements import build_statements
from response_store.resources import read_schema


def fill(name: str, tables: TableNames) -> list[str]:
    """Read a file of `schemas/sqlite` with its placeholders filled, as single statements."""
    names = {key: quote_name(value) for key, value in tables.by_placeholder().items()}
    text = read_schema(f"sqlite/{name}").format(**names)
    lines = (line.partition("--")[0].rstrip() for line in text.splitlines())
    return _split("\n".join(line for line in lines if line))


def _split(text: str) -> list[str]:
    statements: list[str] = []
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        ends = "END;" if "CREATE TRIGGER" in pending else ";"
        if pending.rstrip().endswith(ends):
            statements.append(pending.strip())
            pending = ""
    return statements


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


def check_catalogue(connection: sqlite3.Connection, tables: TableNames, label: str) -> None:
    """Check that all tables, triggers and indexes with our names were made by this program.

    Raises PermanentStoreError, which begins with `label`, or sqlite3.Error.
    """
    problems = list(_find_problems(connection.execute(_CATALOGUE).fetchall(), tables))
    if problems:
        more = len(problems) - _MAX_PROBLEMS
        shown = problems[:_MAX_PROBLEMS] + ([f"{more} more"] if more > 0 else [])
        raise PermanentStoreError(
            f"{label}: the file holds what this program did not make: {', '.join(shown)}. "
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
    """Return the names of our tables, in lower case, those of the full-text index among them.

    What has the name of a view may be anybody's: nothing here reads it.
    """
    words = tables.exchanges_search_words
    shadows = (f"{words}_{part}" for part in ("data", "idx", "content", "docsize", "config"))
    names = [name for key, name in tables.by_placeholder().items() if not key.endswith("_view")]
    return frozenset(name.lower() for name in (*names, *shadows))


def _normalize(sql: str) -> str:
    """Return a statement without blanks, comments and needless quotes, in lower case."""
    kept = _TOKEN.sub(lambda m: m["text"] or m["name"] or m["odd"] or "", sql)
    return kept.lower().replace("ifnotexists", "", 1)


def _has_rules(sql: str) -> bool:
    """Return whether a table's statement has more than columns, types and keys."""
    return _RULES.search(_TOKEN.sub(" ", sql)) is not None


def _escape_name(name: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(name)[:_MAX_CHARS])


def prepare(connection: sqlite3.Connection, tables: TableNames, label: str) -> str:
    """Make, migrate or check the schema, and return the database's own id.

    Raises PermanentStoreError, with every problem at once, or the driver's errors.
    """
    catalogue = _SqliteCatalogue(connection)
    with begin_immediate(connection):
        schema_state.check_schema(catalogue, tables, label)
        _make_shared_tables(catalogue, tables)
        _migrate_own_tables(catalogue, tables, label)
        _update_search_words(connection, tables)
        return _get_or_set_database_id(connection, tables)


def has_fts5(connection: sqlite3.Connection) -> bool:
    """Return whether this SQLite was built with full-text search."""
    return bool(
        connection.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone()
    )


def require_fts5(connection: sqlite3.Connection, label: str) -> None:
    """Raise PermanentStoreError where it was not: all but search works without."""
    if not has_fts5(connection):
        raise PermanentStoreError(
            f"{label}: searching takes FTS5, which the SQLite of this Python was built without. "
            "Take another Python, such as that of python.org; all but search works with this one"
        )


def has_search_words(connection: sqlite3.Connection, tables: TableNames) -> bool:
    """Return whether there is a full-text table, kept in step by the trigger for deletions."""
    trigger = (tables.exchanges_search_words_trigger,)
    statement = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = ?"
    return connection.execute(statement, trigger).fetchone() is not None


class _SqliteCatalogue:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def columns(self, table: str) -> set[str]:
        rows = self.connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
        return {name.lower() for (name,) in rows}

    def highest(self, table: str) -> object:
        statement = f"SELECT max(version) FROM {quote_name(table)}"
        (stored,) = self.connection.execute(statement).fetchone()
        return stored

    def is_taken(self, name: str) -> bool:
        statement = "SELECT 1 FROM sqlite_master WHERE lower(name) = lower(?)"
        return self.connection.execute(statement, (name,)).fetchone() is not None


def _make_shared_tables(catalogue: _SqliteCatalogue, tables: TableNames) -> None:
    for statement in fill("shared_tables.sql", tables):
        catalogue.connection.execute(statement)
    if schema_state.read_version(catalogue, tables.responses_version) is None:
        _stamp(catalogue.connection, tables.responses_version, SHARED_VERSION)


def _migrate_own_tables(catalogue: _SqliteCatalogue, tables: TableNames, label: str) -> None:
    connection, version = catalogue.connection, tables.exchanges_version
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {quote_name(version)} (version BIGINT NOT NULL PRIMARY KEY)"
    )
    for number, name in schema_state.list_pending_migrations(catalogue, tables):
        for statement, _ in schema_state.list_possible(catalogue, fill(name, tables), label):
            connection.execute(statement)
        connection.execute(f"DELETE FROM {quote_name(version)}")
        _stamp(connection, version, number)


def _update_search_words(connection: sqlite3.Connection, tables: TableNames) -> None:
    """Make the full-text table, whose index is filled later.

    Without FTS5 it is neither made nor kept up: what fires at a deletion would fail, so it goes,
    and the index is made anew by who has FTS5.
    """
    has_table, can_make = has_search_words(connection, tables), has_fts5(connection)
    if has_table and not can_make:
        connection.execute(f"DROP TRIGGER {quote_name(tables.exchanges_search_words_trigger)}")
    elif can_make and not has_table:
        connection.execute(f"DELETE FROM {quote_name(tables.exchanges_search)}")
        connection.execute(f"DROP TABLE IF EXISTS {quote_name(tables.exchanges_search_words)}")
        for statement in fill("search_words.sql", tables):
            connection.execute(statement)


def _get_or_set_database_id(connection: sqlite3.Connection, tables: TableNames) -> str:
    """Return the id that the database has, or give it one."""
    statements = build_statements(tables, "?")
    row = connection.execute(statements.read_database_id).fetchone()
    if row is not None and row[0] is not None:
        return str(row[0])
    database_id = str(uuid.uuid4())
    connection.execute(statements.set_database_id, (time.time(), database_id))
    return database_id


def _stamp(connection: sqlite3.Connection, table: str, version: int) -> None:
    connection.execute(f"INSERT INTO {quote_name(table)} (version) VALUES (?)", (version,))
