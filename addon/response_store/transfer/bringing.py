"""Loading of rows into a database: rows that it has with equal content are not sent again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from response_store.errors import RowRefusedError
from response_store.store.packed import DamagedZstdError, unpack
from response_store.transfer.digests import compute_digest, encode_canonical, read_digests
from response_store.transfer.paging import read_rows
from response_store.transfer.tables import ColumnKind, Key, Row, Table, TableColumn
from response_store.transfer.writing import is_stored_newer

if TYPE_CHECKING:
    from response_store.store.reading import Reader
    from response_store.transfer.writing import BulkWriter


@dataclass
class LoadCounts:
    """What became of the rows of a table. `problems` names the first rows that did not arrive."""

    rows: int = 0
    sent: int = 0
    there: int = 0  # with equal content
    further: int = 0  # in the store that they were brought to, which keeps its own
    different: int = 0
    refused_keys: set[Key] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Return how many rows the database will never take."""
        return len(self.refused_keys)

    @property
    def is_complete(self) -> bool:
        """Return whether each row arrived."""
        return not (self.refused or self.different)

    def note_problem(self, problem: str) -> None:
        """Keep why a row did not arrive; after `MAX_PROBLEMS` only count."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)


MAX_PROBLEMS = 20


class RowLoader:
    """Loads rows into a database; `reader` and `writing` are connections to it."""

    def __init__(self, reader: Reader, writing: BulkWriter) -> None:
        self._reader = reader
        self._writing = writing

    def find_differing(self, table: Table, source: dict[Key, bytes]) -> list[Key]:
        """Return the keys whose rows are missing in the database, or differ from these digests."""
        stored = read_digests(self._reader, table, list(source))
        return [key for key, row_digest in source.items() if stored.get(key) != row_digest]

    def load(self, table: Table, rows: Sequence[Row], counts: LoadCounts) -> None:
        """Send rows, but those that are there already."""
        row_digests = {table.key_of(row): compute_digest(table, row) for row in rows}
        missing = set(self.find_differing(table, row_digests))
        self.send(table, [row for row in rows if table.key_of(row) in missing], counts)
        counts.rows += len(rows)
        counts.there += sum(table.key_of(row) not in missing for row in rows)

    def send(self, table: Table, rows: Sequence[Row], counts: LoadCounts) -> None:
        """Send rows; where one is refused, the others of its batch go all the same."""
        if not rows:
            return
        try:
            self._writing.write(table, rows)
            counts.sent += len(rows)
        except RowRefusedError as error:
            if len(rows) == 1:
                key = table.key_of(rows[0])
                counts.refused_keys.add(key)
                counts.note_problem(f"{table.shown(key)}: {error}")
                return
            middle = len(rows) // 2
            self.send(table, rows[:middle], counts)
            self.send(table, rows[middle:], counts)

    def compare(self, table: Table, rows: Sequence[Row], counts: LoadCounts) -> None:
        """Count rows that were sent and still differ from what the database holds."""
        keys = [table.key_of(row) for row in rows]
        stored = {table.key_of(row): row for row in read_rows(self._reader, table, keys)}
        for key, row in zip(keys, rows, strict=True):
            stored_row = stored.get(key)
            if stored_row is not None and is_same(table, stored_row, row):
                counts.there += 1
            elif stored_row is not None and is_stored_newer(table, stored_row, row):
                counts.further += 1
            else:
                counts.different += 1
                counts.note_problem(
                    f"{table.shown(key)}: {_describe_difference(table, stored_row, row)}"
                )


def is_same(table: Table, one: Row, other: Row) -> bool:
    """Return whether two rows hold the same; bodies may be compressed in different ways."""
    return not _list_differing_columns(table, one, other)


def _list_differing_columns(table: Table, one: Row, other: Row) -> list[str]:
    pairs = zip(table.columns, one, other, strict=True)
    return [
        column.name for column, *both in pairs if len({_normalize(column, v) for v in both}) > 1
    ]


def _normalize(column: TableColumn, value: Any) -> object:
    if value is None:
        return None
    if column.kind is ColumnKind.PACKED:
        with suppress(DamagedZstdError):
            return unpack(bytes(value)), "unpacked"
    return encode_canonical(column.kind, value)


def _describe_difference(table: Table, stored_row: Row | None, row: Row) -> str:
    if stored_row is None:
        return "it is not there"
    return f"it differs in {', '.join(_list_differing_columns(table, stored_row, row))}"
