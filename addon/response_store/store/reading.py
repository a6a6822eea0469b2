"""The reader protocol: SQL for either database, over a connection that only reads.

Statements are SQL that SQLite and PostgreSQL both understand, with a `?` for each value and words
in braces for the rest:

- `{exchanges}`, `{responses}` and the like: the tables;
- `{begins[id]}`: that the column `id` begins with a text; takes the values of `bind_prefix`;
- `{bytewise}`: the name of the collation that compares texts by their bytes;
- `{by_state}`: what keeps SQLite's planner with the index on states;
- `{floor_of} ... {floor_end}`: the largest whole number that is not above one that is not negative;
- `{p50[duration_ms]}`, `{p95[duration_ms]}`: what half of the column's values do not exceed, and
  what 95 % of them do not;
- `{client}`: the product that the column `user_agent` names first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from response_store.store.columns import quote_name
from response_store.store.reading_errors import build_version_error
from response_store.store.schema_state import MIGRATIONS, SHARED_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from response_store.config.tables import TableNames

Row: TypeAlias = tuple[Any, ...]
Dialect: TypeAlias = Literal["sqlite", "postgresql"]

ID_COLUMNS = ("exchange_id", "response_id", "id")
MEASURES = ("first_event_ms", "duration_ms")
CLIENT = "^([^ /]+(/[^0-9 /][^ /]*|))"
"""A regular expression whose first group is the client that a user agent begins with: `codex` of
`codex/0.36 (linux)`, `OpenAI/Python` of `OpenAI/Python 2.6.1`. PostgreSQL reads it as Python does.
"""


class SqliteLocation(msgspec.Struct, frozen=True, kw_only=True):
    """A SQLite file and its size."""

    database: str
    database_bytes: int
    wal_bytes: int


class PostgresLocation(msgspec.Struct, frozen=True, kw_only=True):
    """A PostgreSQL database, and the size of each table with its indexes."""

    database: str
    server_version: str
    table_bytes: dict[str, int]


DatabaseLocation: TypeAlias = SqliteLocation | PostgresLocation


class Reader(Protocol):
    """An open connection that changes nothing. For one thread; all methods raise StoreError."""

    @property
    def name(self) -> str:
        """Return what errors call the database; safe to show."""

    @property
    def dialect(self) -> Dialect:
        """Return which SQL it speaks, where the words in braces are not enough."""

    @property
    def versions(self) -> dict[str, int]:
        """Return the version of each part of the schema."""

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Return every row of a statement."""

    def row(self, statement: str, values: Sequence[object] = ()) -> Row | None:
        """Return the first row of a statement, if any."""

    def bind_prefix(self, text: str) -> tuple[object, ...] | None:
        """Return the values of `{begins[...]}`; None where no text can begin so."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Have several statements see one state of the database."""

    def place(self) -> DatabaseLocation:
        """Return where the rows are, and how much room they take."""

    def close(self) -> None:
        """Close the connection; closing twice is fine."""


def name_tables(names: TableNames) -> dict[str, str]:
    """Return the words that stand for tables and indexes."""
    return {key: quote_name(name) for key, name in names.by_placeholder().items()}


def list_required_tables(names: TableNames) -> tuple[str, ...]:
    """Return the tables that a reader can't do without."""
    return names.responses, names.exchanges, names.responses_version, names.exchanges_version


def read_versions(reader: Reader, names: TableNames) -> dict[str, int]:
    """Return the versions of the schema. Raises PermanentStoreError
    where they are not those we read.
    """
    known = {"responses": SHARED_VERSION, "exchanges": len(MIGRATIONS)}
    tables = {"responses": names.responses_version, "exchanges": names.exchanges_version}
    for what, table in tables.items():
        row = reader.row(f"SELECT max(version) FROM {{{what}_version}}")
        stored = row[0] if row else None
        if stored != known[what]:
            raise build_version_error(reader.name, table, stored, known[what])
    return known
