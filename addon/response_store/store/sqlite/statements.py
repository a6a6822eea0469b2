"""The SQL files for SQLite, as statements."""

from __future__ import annotations

from response_store.config import TableNames
from response_store.resources import read_schema
from response_store.store.columns import quote_name


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
