"""What a store is: a place that takes batches of changes, each batch whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from response_store.store.records import Change


class Store(Protocol):
    """A database. Its methods are called from the writer's thread, but for `interrupt`.

    `open` and `write` raise PassingStoreError where a later attempt may succeed and
    PermanentStoreError where somebody has to mend something first; `write` raises
    RowRefusedError where the database will never take one of the rows. After an error the
    batch has left no trace.
    """

    def open(self) -> None:
        """Connect, and make or check the schema. Again after an error; no-op when open."""

    def write(self, changes: Sequence[Change]) -> None:
        """Make all changes, in order, in one transaction; return when they are durable."""

    def after_acknowledge(self) -> None:
        """Do what can wait until the waiters have been told."""

    def interrupt(self) -> None:
        """Break off what runs, from any thread."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""

    def describe(self) -> str:
        """Say where this store is, in words that are safe to show."""
