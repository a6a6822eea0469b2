"""Hand batches of changes to the database, each with the position that it brings the journal to.

A batch that the database refuses is halved until a row stands alone. Where the database would not
take any row the table is at fault, and all wait; else that row is buried, and the others go on.

It tells that an older copy of a database, or an empty one, was put in the place of the one that was
written last.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from response_store.backends.base import Checkpoint, Health, Store
from response_store.diagnostics import ErrorReporter
from response_store.errors import RowRefusedError, StoreError, TransientStoreError
from response_store.ingest.lineage import Lineage
from response_store.journal.directory import POSITION, JournalDirectory
from response_store.journal.private_files import open_private
from response_store.limits import shorten_name
from response_store.model.records import Change, Deletion, ExchangeRow, Record, State, WrittenRow

logger = logging.getLogger(__name__)
MAX_RECORDS = 256
MAX_BYTES = 8 * 1024 * 1024
MAX_FRAMES = 4096
"""Bounds of a batch."""
_SUSPECTED = 5  # attempts that a row gets which fails in a way that nobody thought of


class UnexpectedError(TransientStoreError):
    """A row failed in a way that nobody thought of: a smaller batch would not help."""


class PendingChange(msgspec.Struct, frozen=True):
    """A change, the frame that it came with, and the flow and turn that it came from."""

    seq: int
    change: Change
    flow_id: str
    turn: int


@dataclass(slots=True)
class Batch:
    """Changes that wait to be written, in order; `end` is the last frame that was read for them.

    It begins as the position before, None where there is none. `counters` is what is to be counted
    once all is written, `size` about the bytes that the changes hold.
    """

    end: int | None
    items: deque[PendingChange] = field(default_factory=deque)
    counters: dict[str, int] = field(default_factory=dict)
    frames: int = 0
    size: int = 0

    def add(self, item: PendingChange) -> None:
        """Add a change, behind the others."""
        self.items.append(item)
        if isinstance(item.change, Deletion):
            self.count("deleted")
        else:
            self.size += _estimate_size(item.change)

    def count(self, name: str, number: int = 1) -> None:
        """Count something once the batch is written."""
        self.counters[name] = self.counters.get(name, 0) + number

    @property
    def is_full(self) -> bool:
        """Return whether no more should be read for it."""
        return len(self.items) >= MAX_RECORDS or self.size >= MAX_BYTES or self.frames >= MAX_FRAMES


class Delivery:
    """Writes the changes of one journal. For one thread.

    `bury` keeps a row that the database refuses; `on_written` is called with what was committed.
    """

    def __init__(
        self,
        store: Store,
        journal_id: str,
        position: int | None,
        *,
        health: Health,
        errors: ErrorReporter,
        bury: Callable[[PendingChange, str], None],
        on_written: Callable[[Sequence[PendingChange]], None],
    ) -> None:
        self._store = store
        self._lineage = Lineage(store)
        self._journal_id = journal_id
        self._health = health
        self._errors = errors
        self._bury = bury
        self._on_written = on_written
        self._batch_size = MAX_RECORDS
        self._suspected = (0, 0)  # a seq, and how often it failed
        self._attempt: int | None = None  # the position of a write that ended in an error
        self.committed = position

    def deliver(self, batch: Batch) -> None:
        """Write a batch. Raises StoreError to be called again; what was written has left it then.

        Raises CheckpointMovedError where the database is at another position than it was.
        """
        while batch.items or batch.end != self.committed:
            number = min(len(batch.items), self._batch_size)
            try:
                self._write(batch, number)
            except RowRefusedError as error:
                self._narrow(batch, number, str(error))
            except UnexpectedError:
                raise
            except StoreError:
                self._batch_size = max(1, number // 2)  # a line may be slow
                raise
            except Exception as error:  # noqa: BLE001 - a row of a kind that nobody thought of
                self._errors.report("write", error)
                self._suspect_row(batch, number, type(error).__name__)

    def synchronize(self, batch: Batch | None) -> bool:
        """Compare with the position that the database has, after an error. Raises StoreError.

        Return False where it is neither that of the last commit nor that of the attempt that
        failed: everything has to be read again then.
        """
        position = self._store.position(self._journal_id)
        if position == self.committed:
            self._attempt = None
            return True
        if position is None or position != self._attempt or batch is None:
            return False
        self._note_written(batch, _count_up_to(batch, position), position)
        return True

    def _write(self, batch: Batch, number: int) -> None:
        """Write the first changes of a batch."""
        items = [batch.items[at] for at in range(number)]
        if number < len(batch.items):
            position = batch.items[number].seq - 1
        else:
            assert batch.end is not None, "a batch without frames needs no writing"
            position = batch.end
        checkpoint = Checkpoint(self._journal_id, position, self.committed)
        self._attempt = position
        self._health.busy()
        try:
            changes = self._lineage.link([item.change for item in items])
            conflicts = self._store.write(changes, checkpoint)
        finally:
            self._health.idle()
        if conflicts:
            batch.count("id_conflicts", conflicts)
        self._note_written(batch, number, position)

    def _note_written(self, batch: Batch, number: int, position: int) -> None:
        items = [batch.items.popleft() for _ in range(number)]
        self.committed = position
        self._attempt = None
        self._batch_size = min(2 * self._batch_size, MAX_RECORDS)
        self._health.committed()
        self._on_written(items)

    def _narrow(self, batch: Batch, number: int, reason: str) -> None:
        """Try with half of what was refused; what stands alone is judged."""
        if number > 1:
            self._batch_size = number // 2
            return
        if not batch.items:
            raise TransientStoreError(
                f"{self._store.describe()} refuses the journal's position ({reason})"
            )
        item = batch.items[0]
        if isinstance(item.change, Record) and not self._store.accepts(item.change):
            raise TransientStoreError(
                f"{self._store.describe()} refuses every row ({reason}): check that the tables "
                "are as Response Store made them"
            )
        self._bury(item, reason)
        batch.items.popleft()

    def _suspect_row(self, batch: Batch, number: int, kind: str) -> None:
        """Narrow as a refusal does, but a row alone may be innocent: it is tried again first."""
        if number <= 1:
            seq = batch.items[0].seq if batch.items else 0
            times = self._suspected[1] + 1 if seq == self._suspected[0] else 1
            self._suspected = seq, times
            if times < _SUSPECTED or not batch.items:
                raise UnexpectedError(f"writing failed unexpectedly ({kind})")
        self._narrow(batch, number, f"an error of its own ({kind})")


def _estimate_size(record: Record) -> int:
    """Return about how many bytes a record holds."""
    row, response = record.exchange, record.response
    values = [row.request_body, row.result, row.output_text, row.raw_response]
    if response is not None:
        values += [response.response_object, response.input, response.messages]
    return sum(len(value) for value in values if value)


def _count_up_to(batch: Batch, position: int) -> int:
    """Return how many changes a checkpoint at `position` covers."""
    if position == batch.end:
        return len(batch.items)
    return next(n for n, item in enumerate(batch.items) if item.seq > position)


def list_written_rows(items: Iterable[PendingChange]) -> tuple[WrittenRow, ...]:
    """Return the exchanges among committed changes that have ended, in order."""
    return tuple(
        _build_written_row(item, item.change.exchange)
        for item in items
        if isinstance(item.change, Record) and item.change.exchange.state != State.OPEN
    )


def format_log_line(row: ExchangeRow) -> str:
    """Return one line with state, model, tokens, time and id of an exchange, fit for any log."""
    parts = [f"{row.state} {shorten_name(row.model or row.requested_model or 'unknown model')}"]
    if row.input_tokens is not None or row.output_tokens is not None:
        parts.append(f"{row.input_tokens or 0}+{row.output_tokens or 0} tokens")
    if row.duration_ms is not None:
        parts.append(_format_time(row.duration_ms))
    parts.append(shorten_name(row.response_id or row.exchange_id))
    # Names and ids come from the upstream: they may not control the terminal.
    return "".join(c if c.isprintable() else "\ufffd" for c in ", ".join(parts))


def _build_written_row(item: PendingChange, row: ExchangeRow) -> WrittenRow:
    return WrittenRow(
        flow_id=item.flow_id,
        turn=item.turn,
        line=format_log_line(row),
        exchange_id=row.exchange_id,
        response_id=row.response_id,
        state=row.state,
        error_code=row.error_code,
        model=row.model,
        requested_model=row.requested_model,
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens,
        output_tokens=row.output_tokens,
        duration_ms=row.duration_ms,
        question=row.question,
    )


def _format_time(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.2f} s"


_DIGITS = 20


class PositionHint:
    """The file. For one thread; what the disk refuses is left out."""

    def __init__(self, directory: JournalDirectory) -> None:
        self._path = directory.path / POSITION
        self._fd = -1

    def read(self) -> int:
        """Return the position that was written last; 0 where there is none."""
        try:
            fd = open_private(self._path)
        except OSError:
            return 0
        try:
            text = os.read(fd, _DIGITS)
        finally:
            os.close(fd)
        return int(text) if len(text) == _DIGITS and text.isdigit() else 0

    def write(self, position: int) -> None:
        """Write a position."""
        with contextlib.suppress(OSError):
            if self._fd < 0:
                self._fd = open_private(self._path, os.O_WRONLY | os.O_CREAT)
            os.pwrite(self._fd, b"%0*d" % (_DIGITS, position), 0)

    def remove(self) -> None:
        """Remove the file: the journal is empty."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Gaps:
    """Up to `last_seq` only what is `outstanding` may come, beyond it everything but what is void.

    What was passed once does not come any more. `void` may be called by another thread.
    """

    def __init__(self, last_seq: int, outstanding: Collection[int]) -> None:
        self._last_seq = last_seq
        self._outstanding = frozenset(outstanding)
        self._voids: set[int] = set()
        self._passed = 0

    def void(self, seq: int) -> None:
        """Note that no frame of this seq will come."""
        self._voids.add(seq)

    def is_outstanding(self, seq: int) -> bool:
        """Return whether a frame that is not there may still come."""
        if seq <= self._passed or seq in self._voids:
            return False
        return seq > self._last_seq or seq in self._outstanding

    def reach(self, position: int) -> int:
        """Return the last frame up to which nothing can come any more, once `position` is read."""
        while position + 1 in self._voids:
            position += 1
        self._passed = max(self._passed, position)
        if self._voids:
            self._voids.difference_update([seq for seq in tuple(self._voids) if seq < position])
        return position
