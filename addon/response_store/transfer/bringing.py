"""Bringing rows to a store: what is there already, with equal content, is not sent again."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from response_store.errors import RowRefusedError
from response_store.store.packed import DamagedFrameError, unpack
from response_store.transfer.digests import compute_digest, encode_canonical, read_digests
from response_store.transfer.paging import read_rows
from response_store.transfer.tables import ColumnKind, Key, Row, Table, TableColumn
from response_store.transfer.writing import is_stored_newer

if TYPE_CHECKING:
    from response_store.store.reading import Reading
    from response_store.transfer.writing import BulkWriter


@dataclass
class LoadCounts:
    """What became of the rows of a table. `told` names the first of those that went wrong."""

    rows: int = 0
    sent: int = 0
    there: int = 0  # with equal content
    further: int = 0  # in the store that they were brought to, which keeps its own
    different: int = 0
    refused_keys: set[Key] = field(default_factory=set)
    told: list[str] = field(default_factory=list)

    @property
    def refused(self) -> int:
        """Return how many rows the database will never take."""
        return len(self.refused_keys)

    @property
    def is_well(self) -> bool:
        """Return whether each row arrived."""
        return not (self.refused or self.different)

    def tell(self, what: str) -> None:
        """Keep what went wrong, but not for ever."""
        if len(self.told) < MAX_PROBLEMS:
            self.told.append(what)


MAX_PROBLEMS = 20


class RowLoader:
    """Brings rows to a database: `reading` looks what is there, `writing` writes."""

    def __init__(self, reading: Reading, writing: BulkWriter) -> None:
        self._reading = reading
        self._writing = writing

    def differing(self, table: Table, source: dict[Key, bytes]) -> list[Key]:
        """Return the keys whose rows are missing in the database, or differ from these digests."""
        there = read_digests(self._reading, table, list(source))
        return [key for key, made in source.items() if there.get(key) != made]

    def bring(self, table: Table, rows: Sequence[Row], tally: LoadCounts) -> None:
        """Send rows, but those that are there already."""
        wanted = {table.key_of(row): compute_digest(table, row) for row in rows}
        missing = set(self.differing(table, wanted))
        self.send(table, [row for row in rows if table.key_of(row) in missing], tally)
        tally.rows += len(rows)
        tally.there += sum(table.key_of(row) not in missing for row in rows)

    def send(self, table: Table, rows: Sequence[Row], tally: LoadCounts) -> None:
        """Send rows; where one is refused, the others of its batch go all the same."""
        if not rows:
            return
        try:
            self._writing.write(table, rows)
            tally.sent += len(rows)
        except RowRefusedError as error:
            if len(rows) == 1:
                key = table.key_of(rows[0])
                tally.refused_keys.add(key)
                tally.tell(f"{table.shown(key)}: {error}")
                return
            middle = len(rows) // 2
            self.send(table, rows[:middle], tally)
            self.send(table, rows[middle:], tally)

    def compare(self, table: Table, rows: Sequence[Row], tally: LoadCounts) -> None:
        """Count rows that were sent and still differ from what the database holds."""
        keys = [table.key_of(row) for row in rows]
        there = {table.key_of(row): row for row in read_rows(self._reading, table, keys)}
        for key, row in zip(keys, rows, strict=True):
            found = there.get(key)
            if found is not None and is_same(table, found, row):
                tally.there += 1
            elif found is not None and is_stored_newer(table, found, row):
                tally.further += 1
            else:
                tally.different += 1
                tally.tell(f"{table.shown(key)}: {_describe_difference(table, found, row)}")


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
        with suppress(DamagedFrameError):
            return unpack(bytes(value)), "unpacked"
    return encode_canonical(column.kind, value)


def _describe_difference(table: Table, found: Row | None, row: Row) -> str:
    if found is None:
        return "it is not there"
    return f"it differs in {', '.join(_list_differing_columns(table, found, row))}"
