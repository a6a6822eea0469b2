"""The SQL that writes records, made of the tables' names and the rows' fields."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any

import msgspec

from response_store.config import TableNames
from response_store.resources import schema_text
from response_store.store.columns import (
    EXCHANGE_COLUMNS,
    RESPONSE_COLUMNS,
    quoted,
    response_values,
)
from response_store.store.ranks import rank
from response_store.store.records import Record

# In the view both rows stand side by side; names that both have are told apart.
_VIEW_RESPONSE = tuple(f"response_{name}_key" for name in RESPONSE_COLUMNS)
_NO_RESPONSE = (None,) * len(RESPONSE_COLUMNS)


def fill(name: str, tables: TableNames, **more: str) -> list[str]:
    """Read a file of `schemas/sqlite` with its placeholders filled, as single statements."""
    names = {key: quoted(value) for key, value in tables.by_placeholder().items()}
    text = schema_text(f"sqlite/{name}").format(**names, **more)
    lines = (line.partition("--")[0].rstrip() for line in text.splitlines())
    return _statements("\n".join(line for line in lines if line))


def record_view(tables: TableNames) -> list[str]:
    """The statements that make the view which takes records."""
    updates = (name for name in EXCHANGE_COLUMNS if name != "exchange_id")
    return fill(
        "record_view.sql",
        tables,
        view_columns=", ".join(f"NULL AS {name}" for name in _VIEW_RESPONSE + EXCHANGE_COLUMNS),
        response_columns=", ".join(RESPONSE_COLUMNS),
        new_response_values=", ".join(f"NEW.{name}" for name in _VIEW_RESPONSE),
        exchange_columns=", ".join(EXCHANGE_COLUMNS),
        new_exchange_values=", ".join(f"NEW.{name}" for name in EXCHANGE_COLUMNS),
        exchange_updates=", ".join(f"{name} = excluded.{name}" for name in updates),
        new_rank=rank("excluded.state"),
        old_rank=rank(f"{quoted(tables.exchanges)}.state"),
    )


@cache
@lru_cache(maxsize=64)
def insert_records(count: int) -> str:
    """One statement that hands `count` records to the view."""
    row = "(" + ", ".join("?" * (len(_VIEW_RESPONSE) + len(EXCHANGE_COLUMNS))) + ")"
    return "INSERT INTO record_view VALUES " + ", ".join([row] * count)


def delete_response(tables: TableNames) -> str:
    """The statement that removes a response, by tenant and id."""
    return f"DELETE FROM {quoted(tables.responses)} WHERE tenant_id = ? AND id = ?"


def parameters(records: Iterable[Record]) -> list[Any]:
    """The values of records, in the order of the view's columns."""
    values: list[Any] = []
    for record in records:
        values += response_values(record.response) if record.response else _NO_RESPONSE
        values += msgspec.structs.astuple(record.exchange)
    return values


def _statements(text: str) -> list[str]:
    found: list[str] = []
    pending = ""
    for line in text.splitlines(keepends=True):
        pending += line
        ends = "END;" if "TRIGGER" in pending else ";"
        if pending.rstrip().endswith(ends):
            found.append(pending.strip())
            pending = ""
    return found
