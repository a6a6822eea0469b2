"""Define what queries ask a database through, whichever it is: one read-only look at a store.

Statements are SQL that SQLite and PostgreSQL both understand, with a `?` for each value and words
in braces for the rest:

- `{exchanges}`, `{responses}` and the like: the tables;
- `{begins[id]}`: that the column `id` begins with a text; takes the values of `bind_prefix`;
- `{bytewise}`: the name of the collation that compares texts by their bytes;
- `{by_state}`: what keeps SQLite's planner with the index on states;
- `{floor_of} ... {floor_end}`: the largest whole number that is not above one that is not negative;
- `{quantiles[duration_ms]}`: what half of the column's values do not exceed, and what 95 % of them
  do not, for `join_quantiles`;
- `{computed_once}`: at the end of a subquery, has SQLite compute its columns once a row;
- `{undated[model]}`: the column without a date at the end of a model's name;
- `{client}`: the product that the column `user_agent` names first.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import accumulate, repeat
from math import ceil
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeAlias

import msgspec

from response_store.errors import PermanentStoreError, StoppedError, StoreError, TransientStoreError
from response_store.model.tables import quote_name
from response_store.queries.schema_state import MIGRATIONS, SHARED_VERSION

if TYPE_CHECKING:
    from response_store.config.table_names import TableNames


class Closes(ABC):
    """A context manager that calls `close` at the end of its block."""

    @abstractmethod
    def close(self) -> None:
        """Release what is held. Idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_CORRUPT = {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT"}
_BUSY = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"}
_NO_ACCESS = {"SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH", "SQLITE_READONLY"}


@contextmanager
def translate_read_errors(label: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
            raise KeyboardInterrupt from None  # a signal; `cancel` is seen by the reader itself
        raise _translate(label, error) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PermanentStoreError(f"{label}: {reason}. Check the path and its folder.") from None
    except UnicodeEncodeError:
        raise build_not_stored_error(label) from None


def build_no_file_error(label: str, *, something: bool) -> StoreError:
    """Return the error where there is no file, or with `something` what is not a file."""
    if something:
        return PermanentStoreError(f"{label}: this is no file. Name the database file itself.")
    return PermanentStoreError(
        f"{label}: there is no database. Either nothing has been captured yet, which this does:"
        " response-store run -- COMMAND; or the proxy runs in another folder or with another"
        " configuration: name the file with --database, or the proxy's configuration with --config."
    )


def build_cancelled_error(label: str) -> StoppedError:
    """Return the error where a reader was cancelled."""
    return StoppedError(f"{label}: reading was broken off.")


def build_not_stored_error(label: str) -> StoreError:
    """Return the error where a search is for a value that no database can hold."""
    return StoreError(f"{label}: what was asked for is no text, so it is not stored.")


def build_no_tables_error(label: str, missing: Sequence[str], why: str | None = None) -> StoreError:
    """Return the error where tables are missing; `why` replaces the general advice."""
    reason = why or (
        "Either no proxy has written to this database yet, which this does: response-store run --"
        " COMMAND; or it is one of a proxy that names its tables otherwise: give its configuration"
        " with --config."
    )
    return PermanentStoreError(f"{label}: tables are missing: {', '.join(missing)}. {reason}")


def explain_missing_tables(
    tables: Sequence[str], *, in_wal_mode: bool, has_wal: bool
) -> str | None:
    """Return why a SQLite file lacks our tables, by what else is in it and beside it."""
    others = [table for table in tables if not table.startswith("sqlite_")]
    if in_wal_mode and not has_wal and not others:
        return (
            "The file was written with a -wal beside it, which is not there: a copy of the file"
            " alone lacks what the -wal held. Copy both while no proxy runs, or make a copy that is"
            " whole: response-store backup FILE"
        )
    if others:
        return (
            "It is another program's database, with tables of other names. Name the file that the"
            " proxy writes; where it names its tables otherwise, give its configuration with"
            " --config."
        )
    return None


def build_version_error(label: str, table: str, stored: object, known: int) -> StoreError:
    """Return the error where a table's schema is not the one that this program reads."""
    problem = f"{label}: table {table} says version {stored}, this program reads version {known}."
    if isinstance(stored, int) and stored > known:
        return PermanentStoreError(
            f"{problem} A newer program has written the database. Upgrade this one:"
            " pip install --upgrade mitmproxy-response-store"
        )
    return PermanentStoreError(
        f"{problem} Start a proxy of this version on the database once, which brings the tables up"
        " to date: response-store run -- true"
    )


def _translate(label: str, error: sqlite3.Error) -> StoreError:
    full_name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    kind = "_".join(full_name.split("_")[:2])
    if kind in _BUSY:
        return TransientStoreError(
            f"{label}: the database is locked by another program. Try again in a moment."
        )
    if kind in _CORRUPT:
        return PermanentStoreError(
            f"{label}: this is no SQLite database, or a damaged one ({full_name}). Check the path;"
            ' what a damaged file still holds comes out with: sqlite3 FILE ".recover"'
        )
    if kind in _NO_ACCESS:
        return PermanentStoreError(
            f"{label}: the database can't be opened for reading ({full_name}). Check the"
            " permissions of the file and its folder; a folder that can't be written needs the"
            " proxy to be running, or a copy of the file (and its -wal) elsewhere."
        )
    if kind == "SQLITE_ERROR":
        return PermanentStoreError(
            f"{label}: the tables are not as this program knows them ({error}). Check the table"
            " names in the configuration."
        )
    return TransientStoreError(
        f"{label}: reading failed ({full_name}). Check the disk and try again."
    )


Row: TypeAlias = tuple[Any, ...]
Dialect: TypeAlias = Literal["sqlite", "postgresql"]

ID_COLUMNS = ("exchange_id", "response_id", "id", "session_id")
MEASURES = ("first_event_ms", "duration_ms")
QUANTILES = (0.5, 0.95)
MODELS = ("model", "requested_model")
CLIENT = "^([^ /]+(/[^0-9 /][^ /]*|))"
"""A regular expression whose first group is the client that a user agent begins with: `codex` of
`codex/0.36 (linux)`, `OpenAI/Python` of `OpenAI/Python 2.6.1`. PostgreSQL reads it as Python does.
"""


EACH_TENANT = """
WITH RECURSIVE tenant(id) AS (
    SELECT min(tenant_id) FROM {exchanges}
    UNION ALL
    SELECT (SELECT min(tenant_id) FROM {exchanges} WHERE tenant_id > tenant.id)
    FROM tenant WHERE tenant.id IS NOT NULL
)"""
"""The beginning of a statement that takes from `tenant` the ids of all tenants, and one null.

It walks the index from tenant to tenant: there are few of them, and many rows.
"""


Quantiles: TypeAlias = tuple[float | None, float | None]
"""What half of some values do not exceed, and what 95 % of them do not; None for no value."""


def join_quantiles(values: Iterable[Any]) -> Quantiles | None:
    """Return both quantiles over what `{quantiles[...]}` gave for some groups; None for no value.

    SQLite gives all values, sorted, as other functions are no quicker there. Of several groups of
    PostgreSQL, which gives their quantiles, only it knows those of all: then there is no answer.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None, None
    if isinstance(known[0], bytes):
        runs = [memoryview(one).cast("d") for one in known]
        total = sum(map(len, runs))
        median, p95 = (_pick(runs, max(ceil(part * total), 1)) for part in QUANTILES)
        return median, p95
    return tuple(known[0]) if len(known) == 1 else None


def _pick(runs: Sequence[Sequence[float]], rank: int) -> float:
    """Return the value with a rank, from 1, among all that are in some sorted runs.

    A tenth of the time that sorting takes, as runs come in hundreds.
    """
    lows, highs = [0] * len(runs), [*map(len, runs)]
    while True:
        middles = sorted(
            (run[(low + high) // 2], high - low)
            for run, low, high in zip(runs, lows, highs, strict=True)
            if low < high
        )
        weights = [*accumulate(weight for _, weight in middles)]
        pivot = middles[bisect_left(weights, weights[-1] / 2)][0]
        below = [*map(bisect_left, runs, repeat(pivot), lows, highs)]
        through = [*map(bisect_right, runs, repeat(pivot), below, highs)]
        if sum(below) >= rank:
            highs = below
        elif sum(through) >= rank:
            return pivot
        else:
            lows = through


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
    """An open connection that changes nothing. For one thread, but for `cancel`.

    All methods raise StoreError, and after `cancel` StoppedError.
    """

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

    def cancel(self) -> None:
        """Break off what is read now, and refuse whatever comes after it. For any thread."""

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
