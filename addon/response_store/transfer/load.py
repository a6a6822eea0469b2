"""Load rows into a store, from a file or another store: what is there with equal content is not
sent again.

A file is one export or several, one after the other. Where it breaks off, or a line is bad, what
came before is there; importing once more passes over what is there already.

Nothing is kept about how far a copy has come: what is there already with equal content is not sent
again, so one that was broken off goes on when it is started once more. Rows that change at the
source meanwhile are brought again by the second look, and judged as they were read then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from response_store.errors import RowRefusedError
from response_store.model.tables import TABLES, ColumnKind, Key, Row, Table, TableColumn
from response_store.model.zstd import DamagedZstdError, unpack
from response_store.transfer.bulk_writer import BulkWriter, is_stored_newer
from response_store.transfer.jsonl import BadLineError, ExportLine, decode_row
from response_store.transfer.pages import (
    compute_digest,
    encode_canonical,
    list_key_pages,
    read_digests,
    read_rows,
    split_by_weight,
)

if TYPE_CHECKING:
    from response_store.model.selection import Selection
    from response_store.queries.reader import Reader


@dataclass
class LoadCounts:
    """What became of the rows of a table. `problems` names the first rows that did not arrive."""

    rows: int = 0
    sent: int = 0
    unchanged: int = 0  # with equal content
    newer: int = 0  # in the target, which keeps its own
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
        counts.unchanged += sum(table.key_of(row) not in missing for row in rows)

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
                counts.unchanged += 1
            elif stored_row is not None and is_stored_newer(table, stored_row, row):
                counts.newer += 1
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


MAX_ROWS = 200
MAX_BYTES = 8 << 20


@dataclass
class Imported:
    """The result of an import. `flaws` are about the whole file."""

    counts_by_table: dict[Table, LoadCounts] = field(
        default_factory=lambda: {table: LoadCounts() for table in TABLES}
    )
    bad_lines: int = 0
    flaws: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Return whether each line arrived, and none was missing."""
        return not (self.bad_lines or self.flaws) and all(
            counts.is_complete for counts in self.counts_by_table.values()
        )


class Import:
    """Takes an export's lines to a database."""

    def __init__(self, reader: Reader, writing: BulkWriter) -> None:
        self.result = Imported()
        self._loader = RowLoader(reader, writing)
        self._waiting: dict[Table, dict[Any, Row]] = {table: {} for table in TABLES}
        self._rows = self._bytes = 0
        self._counted: dict[str, int] | None = None  # since the header; None before one
        self._has_begun = False

    def take(
        self,
        lines: Iterable[bytes],
        advance: Callable[[int], object],
        on_bad: Callable[[int, BadLineError], object],
    ) -> None:
        """Read to the end. `on_bad` gets the number of a bad line, and may raise what ends it.

        Raises StoreError, and what `lines` raises; whole lines before that are written.
        """
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        self._take(line)
                    except BadLineError as error:
                        self.result.bad_lines += 1
                        on_bad(number, error)
                advance(1)
        finally:
            self._flush()
        if not (self._has_begun or self.result.bad_lines):
            self.result.flaws.append("it is empty, and even an export of no rows is not.")
        if self._counted is not None:
            self.result.flaws.append(
                "its end is missing, so it was cut off, or is still being written."
            )

    def _take(self, line: bytes) -> None:
        parsed = ExportLine(line)
        if parsed.row == "header":
            self._has_begun = True
            self._counted = dict.fromkeys((table.word for table in TABLES), 0)
        elif self._counted is None:
            raise BadLineError(
                "a header must come first, as an export begins. Name a file that"
                " `response-store export` has made, whole."
            )
        elif parsed.table is None:
            self._end(parsed.decoded)
        else:
            self._counted[parsed.table.word] += 1
            self._keep(
                parsed.table, decode_row(parsed.table, parsed.members, parsed.decoded), len(line)
            )

    def _end(self, end: dict[str, Any]) -> None:
        for word, count in (self._counted or {}).items():
            if end[word] != count and not self.result.bad_lines:
                self.result.flaws.append(
                    f"its end tells of {end[word]} {word}, but there are {count}."
                )
        self._counted = None

    def _keep(self, table: Table, row: Row, size: int) -> None:
        key = table.key_of(row)
        if key in self._waiting[table] or self._rows >= MAX_ROWS or self._bytes >= MAX_BYTES:
            self._flush()
        self._waiting[table][key] = row
        self._rows += 1
        self._bytes += size

    def _flush(self) -> None:
        for table, rows in self._waiting.items():
            if rows:
                waiting, self._waiting[table] = list(rows.values()), {}
                self._loader.load(table, waiting, self.result.counts_by_table[table])
        self._rows = self._bytes = 0


Advance: TypeAlias = Callable[[int], object]
"""Called with how many rows more are done."""
CountsByTable: TypeAlias = dict[Table, LoadCounts]


class Copy:
    """A copy from one database to another."""

    def __init__(
        self, source: Reader, target: Reader, writing: BulkWriter, selection: Selection
    ) -> None:
        self._source = source
        self._loader = RowLoader(target, writing)
        self._selection = selection

    def load(self, advance: Advance) -> CountsByTable:
        """Send what is not there yet."""
        counts_by_table: CountsByTable = {table: LoadCounts() for table in TABLES}
        for table, counts in counts_by_table.items():
            for keys in list_key_pages(self._source, table, self._selection):
                source_digests = read_digests(self._source, table, keys)
                missing = self._loader.find_differing(table, source_digests)
                for rows in split_by_weight(read_rows(self._source, table, missing)):
                    self._loader.send(table, rows, counts)
                counts.rows += len(source_digests)
                counts.unchanged += len(source_digests) - len(missing)
                advance(len(keys))
        return counts_by_table

    def verify(self, advance: Advance) -> CountsByTable:
        """Look at every row on both sides; bring what has changed, and judge what stays unlike."""
        counts_by_table: CountsByTable = {table: LoadCounts() for table in TABLES}
        for table, counts in counts_by_table.items():
            for keys in list_key_pages(self._source, table, self._selection):
                source_digests = read_digests(self._source, table, keys)
                unlike = self._loader.find_differing(table, source_digests)
                counts.rows += len(source_digests)
                counts.unchanged += len(source_digests) - len(unlike)
                counts.rows -= len(unlike)
                for rows in split_by_weight(read_rows(self._source, table, unlike)):
                    counts.rows += len(rows)  # the others were deleted at this moment
                    self._send_again(table, rows, counts)
                advance(len(keys))
        return counts_by_table

    def _send_again(self, table: Table, rows: Sequence[Row], counts: LoadCounts) -> None:
        again = LoadCounts()
        self._loader.send(table, rows, again)
        counts.refused_keys |= again.refused_keys
        for problem in again.problems:
            counts.note_problem(problem)
        taken = [row for row in rows if table.key_of(row) not in again.refused_keys]
        self._loader.compare(table, taken, counts)
