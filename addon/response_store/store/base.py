"""The protocol of a store: a database that takes batches of changes with their checkpoints.

A journal's *position* is the sequence number of its last frame that is applied. It is a row of the
same database, written in the batch's own transaction, so that every frame counts exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from response_store.errors import TransientStoreError
from response_store.store.records import Change


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a journal stands after a batch: at `position`, if it stood at `expected` before.

    `expected` is None where the database knows nothing of the journal yet.
    """

    journal_id: str
    position: int
    expected: int | None


class CheckpointMovedError(TransientStoreError):
    """A journal does not stand where its reader thinks: look at `position` and go on from there.

    Another process has applied frames of it, or another copy of the database was put in place.
    """

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where}: the journal's position is not the expected one: another process has applied "
            "some of it, or another copy of the database was put in place"
        )


class Store(Protocol):
    """A database. For one thread, but for `interrupt`.

    Every method opens the database where it is not open, or was replaced meanwhile. They raise
    TransientStoreError where a later attempt may succeed and PermanentStoreError where somebody has
    to fix something first. After an error in `write` the batch has left no trace, or its commit
    went through and only the answer was lost: `position` tells which.
    """

    @property
    def database_id(self) -> str:
        """Return the database's own id; known after `open`."""

    def open(self) -> None:
        """Connect, and make, migrate or check the schema. Do nothing where all is as it was."""

    def position(self, journal_id: str) -> int | None:
        """Return where a journal stands; None where this database knows nothing of it."""

    def write(self, changes: Sequence[Change], checkpoint: Checkpoint | None = None) -> int:
        """Make all changes, in order, and move the journal, in one transaction; both are durable.

        Return how many final responses have the id of another one, which stays as it is stored.
        Raises RowRefusedError where the database will never take one of the rows, and
        CheckpointMovedError where the journal does not stand at `expected`.
        """

    def sync(self) -> None:
        """Have the disk keep all that was committed, also with `durability: process`."""

    def finish(self, journal_id: str) -> None:
        """Forget a journal whose frames are all gone. Harmless where it is not known."""

    def close_abandoned(self) -> int:
        """Make open rows whose journal is not known `interrupted`; return how many there were."""

    def accepts(self, change: Change) -> bool:
        """Return whether a change of the same kind with short plain texts would be taken.

        True: what was refused is the fault of its own values. False: of its table. Nothing stays.
        """

    def maintain(self) -> None:
        """Do the database's housekeeping that is due, between two batches. Raises nothing."""

    def rest(self) -> None:
        """Make the database's file whole, after a second without writes. Raises nothing."""

    def interrupt(self) -> None:
        """Break off what runs, from any thread."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""

    def describe(self) -> str:
        """Return where this store is, in words that are safe to show."""
