"""Take secrets out of rows that are stored, page by page, beside proxies that write.

Each table is read in pages, by its key. What a row holds is searched outside of any transaction, as
that may take seconds; a row that holds something is written only where it is still as it was read,
else it is read again. The entry of its exchange in the search index goes in the same transaction,
and is made anew of what is left.

A body that is packed against another one stands alone once it is changed. What is packed against it
is packed anew before.

What can't be searched is not kept, as when it is captured: bodies that can't be unpacked, that take
too long, and answers that nobody could decode. Exchanges that are open are still written, and stay.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import msgspec

from response_store.model import zstd
from response_store.model.records import ExchangeRow, ResponseRow, State
from response_store.model.selection import Selection
from response_store.model.tables import (
    CONVERSATIONS,
    EXCHANGES,
    RESPONSES,
    STORED_EXCHANGE_COLUMNS,
    ColumnKind,
    Key,
    Row,
    Table,
)
from response_store.pruning.batch import build_placeholders, retry_while_busy
from response_store.pruning.rebase import Execute, release_base
from response_store.queries.bodies import complete_exchange
from response_store.queries.reader import Reader
from response_store.redaction.redactor import Redactor
from response_store.transfer.pages import count_selected, list_key_pages, read_stored_rows

_BATCH_ROWS = 20  # that others may wait for
_READ_AGAIN = 3  # times, where a row changes meanwhile
_TIMES = "event_times"
_PACKED = tuple(column.name for column in EXCHANGES.columns if column.kind is ColumnKind.PACKED)


_BODY, _BASE = "request_body", "request_base_id"


class RowChange(NamedTuple):
    """Columns of a stored row as they were read, and as they shall be."""

    table: Table
    key: Key
    before: dict[str, Any]
    after: dict[str, Any]


class Rewriter(Protocol):
    """A connection that writes rows anew. For one thread; all methods raise StoreError."""

    def rewrite(self, changes: Sequence[RowChange]) -> tuple[list[RowChange], list[str]]:
        """Write rows that are as they were read, in one transaction.

        Return those that are not, and the exchanges that the search index lacks now.
        """

    def purge_words(self) -> None:
        """Have nothing left of words that were taken out of the search index."""

    def close(self) -> None:
        """Close the connection; closing twice is fine."""


def rewrite_rows(
    execute: Execute, changes: Sequence[RowChange]
) -> tuple[list[RowChange], list[str]]:
    """Write rows as `Rewriter.rewrite` does, in a transaction of the caller's."""
    missed: list[RowChange] = []
    unindexed: list[str] = []
    for change in changes:
        condition = " AND ".join(f"{name} = ?" for name in change.table.key)
        columns, table = ", ".join(change.before), f"{{{change.table.word}}}"
        rows, _ = execute(f"SELECT {columns} FROM {table} WHERE {condition} {{lock}}", change.key)
        if not rows or tuple(rows[0]) != tuple(change.before.values()):
            missed.append(change)
            continue
        if _BODY in change.after and not release_base(execute, change.key[0]):
            missed.append(change)
            continue
        places = ", ".join(f"{name} = ?" for name in change.after)
        execute(
            f"UPDATE {table} SET {places} WHERE {condition}", (*change.after.values(), *change.key)
        )
        unindexed += _list_exchanges(execute, change)
    if unindexed:
        ids = build_placeholders(unindexed)
        execute(f"DELETE FROM {{exchanges_search}} WHERE exchange_id IN ({ids})", unindexed)
        _clear_digests(execute, unindexed)
    return missed, unindexed


def _clear_digests(execute: Execute, exchange_ids: Sequence[str]) -> None:
    """Clear the digests of what these exchanges have, by which a short secret could be guessed.

    Those of their sessions go as well: what follows in one is digested with what came before.
    """
    ids = build_placeholders(exchange_ids)
    clear = (
        "UPDATE {exchanges} SET context_digest = NULL, answer_digest = NULL"
        " WHERE (context_digest IS NOT NULL OR answer_digest IS NOT NULL) AND"
    )
    execute(f"{clear} exchange_id IN ({ids})", exchange_ids)
    sessions = (
        f"SELECT DISTINCT session_id, tenant_id FROM {{exchanges}} WHERE exchange_id IN ({ids})"
    )
    for session in execute(sessions, exchange_ids)[0]:
        execute(f"{clear} session_id = ? AND tenant_id = ?", session)


def _list_exchanges(execute: Execute, change: RowChange) -> list[str]:
    """Return the exchanges whose words come from a row."""
    if change.table is EXCHANGES:
        return list(change.key)
    if change.table is not RESPONSES:
        return []
    statement = "SELECT exchange_id FROM {exchanges} WHERE response_id = ? AND tenant_id || '' = ?"
    tenant, name = change.key
    return [exchange_id for (exchange_id,) in execute(statement, (name, tenant))[0]]


class StoredRedaction:
    """Takes secrets out of the rows of one database; counts by table what was changed.

    Nothing is written before `write_with`, and the counts say what would be. `pack` makes zstd
    frames; `redactor` packs nothing itself. `missed` rows were written by somebody else each time.
    """

    def __init__(
        self,
        reader: Reader,
        redactor: Redactor,
        pack: Callable[[bytes], bytes],
    ) -> None:
        self._reader = reader
        self._redactor = redactor
        self._pack = pack
        self._rewriter: Rewriter | None = None
        self._index: Callable[[str], None] = lambda _: None
        self.changed: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.missed = 0

    def write_with(self, rewriter: Rewriter, index: Callable[[str], None]) -> None:
        """Write from now on; `index` puts an exchange into the search index anew."""
        self._rewriter, self._index = rewriter, index

    def count(self, selection: Selection) -> int:
        """Return how many rows a selection has in all tables."""
        return sum(count_selected(self._reader, table, selection) for table in _TABLES)

    def run(self, selection: Selection) -> Iterator[int]:
        """Search every row of a selection; yield how many were searched at once."""
        for table in _TABLES:
            for keys in list_key_pages(self._reader, table, selection):
                self._redact_page(table, keys)
                yield len(keys)
        if self._rewriter is not None and self.changed.total():
            self._rewriter.purge_words()

    def _redact_page(self, table: Table, keys: Sequence[Key]) -> None:
        for _ in range(_READ_AGAIN):
            rows = read_stored_rows(self._reader, table, keys)
            changes = [change for row in rows if (change := self._build_change(table, row))]
            missed = self._write(changes)
            self.changed[table.word] += len(changes) - len(missed)
            if not missed:
                return
            keys = [change.key for change in missed]
        self.missed += len(keys)

    def _write(self, changes: Sequence[RowChange]) -> list[RowChange]:
        """Write changes some at a time, with pauses; return those whose rows have changed."""
        missed: list[RowChange] = []
        if self._rewriter is None:
            return missed
        for start in range(0, len(changes), _BATCH_ROWS):
            began = time.monotonic()
            more, unindexed = self._rewrite(changes[start : start + _BATCH_ROWS])
            missed += more
            time.sleep(time.monotonic() - began)  # in which others get at the database
            for exchange_id in dict.fromkeys(unindexed):
                self._index(exchange_id)
        return missed

    def _rewrite(self, changes: Sequence[RowChange]) -> tuple[list[RowChange], list[str]]:
        assert self._rewriter is not None
        steps = retry_while_busy(partial(self._rewriter.rewrite, changes))
        while True:
            try:
                time.sleep(next(steps))
            except StopIteration as end:
                written: tuple[list[RowChange], list[str]] = end.value
                return written

    def _build_change(self, table: Table, row: Row) -> RowChange | None:
        """Return what becomes of a stored row; None where it holds nothing."""
        names = STORED_EXCHANGE_COLUMNS if table is EXCHANGES else table.names
        columns = stored = dict(zip(names, row, strict=True))
        if table is EXCHANGES:
            completed = complete_exchange(self._reader, row)
            if completed is None:
                return None
            columns = dict(zip(table.names, completed, strict=True))
            redacted = self._redact_exchange(columns)
        elif table is RESPONSES:
            redacted = self._redactor.redact_stored_response(ResponseRow(**columns))
        else:
            redacted = self._redactor.redact_stored_texts(
                {name: columns[name] for name in ("metadata", "messages")}
            )
        after = {
            name: value
            for name, value in redacted.items()
            if value != columns[name] and name not in table.key
        }
        for name, value in after.items():
            if value is None:
                if name != _TIMES:  # which go with their stream
                    self.left_out[name] += 1
                after[name] = None if _is_nullable(table, name) else _EMPTY.get(name, "")
        if not after:
            return None
        if _BODY in after:
            after[_BASE] = None
        return RowChange(table, table.key_of(row), {name: stored[name] for name in after}, after)

    def _redact_exchange(self, columns: dict[str, Any]) -> dict[str, Any]:
        if columns["state"] == State.OPEN:
            return {}
        bodies = {name: _unpack(columns[name]) for name in _PACKED}
        row = ExchangeRow(**columns | bodies)
        if row.state == State.UNREADABLE and not _is_text(row.raw_response):
            row = msgspec.structs.replace(row, raw_response=None)
        redacted = self._redactor.redact_stored_exchange(row)
        for name in _PACKED:
            body = redacted.get(name, getattr(row, name))
            if body is None or body != bodies[name]:
                redacted[name] = None if body is None else self._pack(body)
        return redacted


_TABLES = (CONVERSATIONS, RESPONSES, EXCHANGES)
_EMPTY = {"response_object": "{}", "input": "[]", "messages": "[]", "metadata": "{}"}
"""What stands in the place of JSON that can't be searched, where a column has to have a value."""


def _is_nullable(table: Table, name: str) -> bool:
    return next(column.nullable for column in table.columns if column.name == name)


def _unpack(frame: bytes | None) -> bytes | None:
    """Return a body; None where there is none, or none that can be had."""
    try:
        return None if frame is None else zstd.unpack(frame)
    except zstd.DamagedZstdError:
        return None


def _is_text(body: bytes | None) -> bool:
    try:
        return body is None or bool(body.decode() or True)
    except UnicodeDecodeError:
        return False
