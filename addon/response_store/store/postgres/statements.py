"""The SQL for PostgreSQL: a store's statements, and the files of the schema."""

from __future__ import annotations

from response_store.config import TableNames
from response_store.resources import read_schema
from response_store.store.columns import quote_name
from response_store.store.statements import Statements, build_statements


def fold_names(tables: TableNames) -> TableNames:
    """Return the names as PostgreSQL takes them where they are not quoted: in lower case."""
    return TableNames(
        tables.responses.lower(), tables.conversations.lower(), tables.exchanges.lower()
    )


def fill(name: str, tables: TableNames) -> list[str]:
    """Read a file of `schemas/postgres` with its placeholders filled, as single statements."""
    names = {key: quote_name(value) for key, value in tables.by_placeholder().items()}
    text = read_schema(f"postgres/{name}").format(**names)
    bare = "\n".join(line.partition("--")[0].rstrip() for line in text.splitlines())
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def build_postgres_statements(tables: TableNames) -> Statements:
    """Return the statements for these tables, whose names are folded."""
    return build_statements(tables, "%s")
