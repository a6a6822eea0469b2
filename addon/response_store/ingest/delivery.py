"""Handing batches of changes to the database, each with the position that it brings the journal to.

A batch that the database refuses is halved until a row stands alone. Where the database would not
take any row the table is at fault, and all wait; else that row is buried, and the others go on.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from response_store.errors import RowRefusedError, StoreError, TransientStoreError
from response_store.faults import ErrorReporter
from response_store.store.base import Checkpoint, Store
from response_store.store.health import Health
from response_store.store.records import Change, Deletion, Record

logger = logging.getLogger(__name__)
MAX_RECORDS = 256
MAX_BYTES = 8 * 1024 * 1024
MAX_FRAMES = 4096
"""Bounds of a batch."""
_SUSPECTED = 5  # attempts that a row gets which fails in a way that nobody thought of


class UnexpectedError(TransientStoreError):
    """A row failed in a way that nobody thought of: a smaller batch would not help."""


class PendingChange(NamedTuple):
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
        self._journal_id = journal_id
        self._health = health
        self._errors = errors
        self._bury = bury
        self._on_written = on_written
        self._most = MAX_RECORDS
        self._suspect = (0, 0)  # a seq, and how often it failed
        self._attempt: int | None = None  # the position of a write that ended in an error
        self.committed = position

    def deliver(self, batch: Batch) -> None:
        """Write a batch. Raises StoreError to be called again; what was written has left it then.

        Raises CheckpointMovedError where the database is at another position than it was.
        """
        while batch.items or batch.end != self.committed:
            number = min(len(batch.items), self._most)
            try:
                self._write(batch, number)
            except RowRefusedError as error:
                self._narrow(batch, number, str(error))
            except UnexpectedError:
                raise
            except StoreError:
                self._most = max(1, number // 2)  # a line may be slow
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
            conflicts = self._store.write([item.change for item in items], checkpoint)
        finally:
            self._health.idle()
        if conflicts:
            batch.count("id_conflicts", conflicts)
        self._note_written(batch, number, position)

    def _note_written(self, batch: Batch, number: int, position: int) -> None:
        items = [batch.items.popleft() for _ in range(number)]
        self.committed = position
        self._attempt = None
        self._most = min(2 * self._most, MAX_RECORDS)
        self._health.committed()
        self._on_written(items)

    def _narrow(self, batch: Batch, number: int, reason: str) -> None:
        """Try with half of what was refused; what stands alone is judged."""
        if number > 1:
            self._most = number // 2
            return
        if not batch.items:
            raise TransientStoreError(f"{self._store.describe()} takes no position ({reason})")
        item = batch.items[0]
        if isinstance(item.change, Record) and not self._store.accepts(item.change):
            raise TransientStoreError(
                f"{self._store.describe()} takes no rows at all ({reason}): see that the tables "
                "are as Response Store made them"
            )
        self._bury(item, reason)
        batch.items.popleft()

    def _suspect_row(self, batch: Batch, number: int, kind: str) -> None:
        """Narrow as a refusal does, but a row alone may be innocent: it is tried again first."""
        if number <= 1:
            seq = batch.items[0].seq if batch.items else 0
            times = self._suspect[1] + 1 if seq == self._suspect[0] else 1
            self._suspect = seq, times
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
