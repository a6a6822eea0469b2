"""Define the index of a database: what it lacks, how an exchange is put in, how it is brought up
to date.

An exchange that has ended has one entry. Unindexed are the exchanges without an entry, and those
that were indexed in a state that may change and has changed. An entry is written in one short
transaction or, where its text is long, in several; until the last of them its state begins with
`#`, so that one that was interrupted is found again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

from response_store.errors import RowRefusedError, TransientStoreError
from response_store.model.records import State
from response_store.search.texts import ROW, Row, extract_texts
from response_store.search.tokenizer import Chunk, build_chunks

Rows: TypeAlias = Callable[[str, Sequence[object]], list[tuple[Any, ...]]]
"""Runs a statement in the words of `queries/reader.py`."""

_CHANGED = """
FROM {exchanges_search} s JOIN {exchanges} e ON e.exchange_id = s.exchange_id
WHERE s.state NOT IN ('completed', 'incomplete', 'failed', 'cancelled', 'refused')
    AND e.state <> s.state"""
_COUNT_UNINDEXED = f"""
SELECT (SELECT count(*) FROM {{exchanges}})
    - (SELECT count(*) FROM {{exchanges}} WHERE state = '{State.OPEN.value}')
    - (SELECT count(*) FROM {{exchanges_search}}),
    (SELECT count(*) {_CHANGED})"""
_MISSING = """
SELECT e.exchange_id FROM {exchanges} e
WHERE e.exchange_id > ? AND e.exchange_id <= ? AND NOT EXISTS (
    SELECT 1 FROM {exchanges_search} s WHERE s.exchange_id = e.exchange_id)
ORDER BY e.exchange_id LIMIT ?"""
_CHANGED_FROM = f"""
SELECT s.exchange_id {_CHANGED} AND s.exchange_id > ? AND s.exchange_id <= ?
ORDER BY s.exchange_id LIMIT ?"""
_PAGE_END = """
SELECT exchange_id FROM {exchanges} WHERE exchange_id > ? ORDER BY exchange_id LIMIT 1 OFFSET ?"""
LAST_ID = chr(sys.maxunicode)
"""Stands behind every id."""


class Index(Protocol):
    """An open connection to an index. For one thread, but for `interrupt`; raises StoreError."""

    def is_good(self) -> bool:
        """Return whether this still is the database that its name means, as far as can be told."""

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return every row of a statement."""

    def put(self, entry: Entry, yield_if_due: Callable[[], None]) -> None:
        """Make or replace an entry; `yield_if_due` is called outside of transactions."""

    def interrupt(self) -> None:
        """Break off what runs, from any thread."""

    def close(self) -> None:
        """Close the connection; closing twice is fine."""


class Entry:
    """An exchange as it is indexed. Its chunks are built on demand."""

    def __init__(self, row: Row) -> None:
        bounded = extract_texts(row)
        self.exchange_id = row.exchange_id
        self.tenant_id = row.tenant_id
        self.started_at = row.started_at
        self.state = row.state
        self.characters = bounded.characters
        self.cut = bounded.cut
        self._texts = [text.text for text in bounded.texts]

    def chunks(self, yield_if_due: Callable[[], None]) -> Iterator[Chunk]:
        """Yield its chunks, each built on demand."""
        return build_chunks(self._texts, yield_if_due)


def count_unindexed(rows: Rows) -> int:
    """Return how many exchanges have ended and are not indexed as they are now."""
    without, differing = rows(_COUNT_UNINDEXED, ())[0]
    return max(0, int(without)) + int(differing)


def list_missing(rows: Rows, after: str, limit: int, until: str = LAST_ID) -> list[str]:
    """Return exchanges without an entry, in the order of ids; open ones are among them."""
    return [name for (name,) in rows(_MISSING, (after, until, limit))]


def list_changed(rows: Rows, after: str, limit: int, until: str = LAST_ID) -> list[str]:
    """Return exchanges that have changed since they were indexed."""
    return [name for (name,) in rows(_CHANGED_FROM, (after, until, limit))]


def find_page_end(rows: Rows, after: str, size: int) -> str | None:
    """Return the id of the last of the next `size` exchanges behind `after`; None where fewer are.

    With it as their `until`, `list_missing` and `list_changed` take milliseconds, however large the
    tables.
    """
    page = rows(_PAGE_END, (after, size - 1))
    return str(page[0][0]) if page else None


def read_row(rows: Rows, exchange_id: str) -> Row | None:
    """Return an exchange's texts; None where there is no such exchange."""
    found_rows = rows(ROW, (exchange_id,))
    return Row(*found_rows[0]) if found_rows else None


def index_exchange(index: Index, exchange_id: str, yield_if_due: Callable[[], None]) -> bool:
    """Index an exchange as it is now; return False where it is open or does not exist (any
    more).
    """
    row = read_row(index.rows, exchange_id)
    if row is None or row.state == State.OPEN:
        return False
    index.put(Entry(row), yield_if_due)
    return True


_BATCH_SIZE = 500
_MAX_ATTEMPTS = 5


def index_missing(index: Index) -> Iterator[int]:
    """Index what is missing; yield after each exchange how many are done. Raises StoreError."""
    done = 0
    for find in (list_missing, list_changed):
        after = ""
        while exchange_ids := find(index.rows, after, _BATCH_SIZE):
            for exchange_id in exchange_ids:
                if _retry(partial(index_exchange, index, exchange_id, _never_yield)):
                    done += 1
                    yield done
            after = exchange_ids[-1]


def _retry(index_one: Callable[[], bool]) -> bool:
    """Call `index_one` again while another writer is in the way; False for a row the database
    refuses.
    """
    for attempt in range(_MAX_ATTEMPTS):
        try:
            return index_one()
        except RowRefusedError:
            return False
        except TransientStoreError:
            if attempt == _MAX_ATTEMPTS - 1:
                raise
            time.sleep(0.1)
    return False


def _never_yield() -> None:
    """Do nothing: somebody waits for the result."""
