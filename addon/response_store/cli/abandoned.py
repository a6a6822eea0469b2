"""Apply the journals whose proxy and ingester have both ended, in the process of a command."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from response_store.backends.registry import build_store
from response_store.cli.source import Source, note
from response_store.diagnostics import Counters, ErrorReporter
from response_store.ingest.takeover import Fate, FoundJournal, take_over
from response_store.journal.directory import JournalDirectory, build_target

if TYPE_CHECKING:
    from response_store.backends.base import Store


def apply_and_note(source: Source, abandoned: Sequence[JournalDirectory]) -> None:
    """Apply abandoned journals, all in one folder, and say which could not be applied, and why."""
    ours = {directory.path for directory in abandoned}
    for journal in apply_abandoned(source, abandoned[0].path.parent):
        if journal.fate is Fate.UNFINISHED and journal.path in ours:
            note(
                f"Note: the journal {journal.path} of a proxy that has ended is not applied:"
                f" {journal.problem}"
            )


def apply_abandoned(
    source: Source, folder: Path, *, only: Path | None = None, deadline: float | None = None
) -> list[FoundJournal]:
    """Apply the journals of a database that nobody has; return what became of each that was found.

    A database that fails is tried again until `deadline`, by the monotonic clock; None: once.
    """
    config, counters = source.config(), Counters()
    with open_store(source) as store, log_as_notes():
        return take_over(
            folder,
            config,
            store,
            build_target(config),
            counters=counters,
            errors=ErrorReporter(counters),
            only=only,
            deadline=deadline,
        )


@contextmanager
def open_store(source: Source) -> Iterator[Store]:
    """Lend the database for writing; whoever uses it opens it."""
    store = build_store(source.config())
    try:
        yield store
    finally:
        store.close()


@contextmanager
def log_as_notes() -> Iterator[None]:
    """Show what the ingester's code logs as notes."""
    logger, handler = logging.getLogger("response_store"), _NoteHandler(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _NoteHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"Note: {record.getMessage().removeprefix('response_store: ')}")
