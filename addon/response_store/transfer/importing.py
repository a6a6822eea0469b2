"""Import of lines in small batches, each checked before it is written.

A file is one export or several, one after the other. Where it breaks off, or a line is bad, what
came before is there; importing once more passes over what is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from response_store.transfer.bringing import LoadCounts, RowLoader
from response_store.transfer.checking import BadLineError, ExportLine
from response_store.transfer.lines import decode_row
from response_store.transfer.tables import TABLES, Row, Table

if TYPE_CHECKING:
    from response_store.store.reading import Reader
    from response_store.transfer.writing import BulkWriter

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
        self._bringer = RowLoader(reader, writing)
        self._waiting: dict[Table, dict[Any, Row]] = {table: {} for table in TABLES}
        self._rows = self._bytes = 0
        self._counted: dict[str, int] | None = None  # since the header; None before one
        self._begun = False

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
        if not (self._begun or self.result.bad_lines):
            self.result.flaws.append("it is empty, and even an export of no rows is not.")
        if self._counted is not None:
            self.result.flaws.append(
                "its end is missing, so it was cut off, or is still being written."
            )

    def _take(self, line: bytes) -> None:
        parsed = ExportLine(line)
        if parsed.row == "header":
            self._begun = True
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
                self._bringer.load(table, waiting, self.result.counts_by_table[table])
        self._rows = self._bytes = 0
