"""The journals on this machine, as commands see them: which are of a database, and what it lacks.

A journal is of a database if its header names that, or the database's own id: a file that was moved
keeps its journals. What needs the ingester's code stands in `abandoned`, as that is slow to load.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from response_store.cli.source import Source, note
from response_store.errors import StoreError, TransientStoreError
from response_store.format.text import put_on_one_line
from response_store.journal.directory import (
    JournalDirectory,
    Target,
    build_target,
    is_bound_to,
    list_journals,
)
from response_store.journal.errors import JournalError
from response_store.journal.private_files import prepare_folder
from response_store.journal.reader import JournalReader
from response_store.queries.reader import Closes

if TYPE_CHECKING:
    from response_store.queries.exchanges import Query

WAIT = 1.0  # seconds that a command waits for proxies that run
LOOK = 0.02  # seconds between looks at the database
POSITION = "SELECT position FROM {exchanges_journals} WHERE journal_id = ?"
DATABASE_ID = "SELECT database_id FROM {exchanges_journals} WHERE journal_id = ''"


class CommandDatabase(Closes):
    """The database of a command, opened for reading when it is needed. A context manager."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._query: Query | None = None

    def position(self, journal_id: str) -> int:
        """Return the last frame of a journal that is in the database; 0 for none.

        Raises StoreError where the database can't be read, or was not made yet.
        """
        row = self._open().reader.row(POSITION, (journal_id,))
        return int(row[0]) if row else 0

    def own_id(self) -> str | None:
        """Return the id that the database has given itself; None where it can't be read."""
        with suppress(StoreError):
            row = self._open().reader.row(DATABASE_ID)
            return row[0] if row else None
        return None

    def problem(self) -> StoreError | None:
        """Return why the database can't be read now."""
        self.close()
        try:
            self._open()
        except StoreError as error:
            return error
        return None

    def close(self) -> None:
        """Close the database, if it is open. Idempotent."""
        query, self._query = self._query, None
        if query is not None:
            query.close()

    def _open(self) -> Query:
        if self._query is None:
            self._query = self.source.open()
        return self._query


@dataclass(frozen=True)
class PendingJournal:
    """A journal, and the last frame that it had when the command began."""

    directory: JournalDirectory
    last_seq: int

    @classmethod
    def of(cls, directory: JournalDirectory) -> Self:
        """Look at a journal. Raises OSError, JournalError."""
        return cls(directory, JournalReader(directory).last_seq())

    def lag(self, database: CommandDatabase) -> int:
        """Return how many frames the database lacks. Raises StoreError."""
        if not self.last_seq or not self.directory.exists():
            return 0
        position = database.position(self.directory.journal_id)
        # One that was applied to its end, and stays for its dead letters, has no position.
        if position >= self.last_seq or (not position and self.directory.is_empty()):
            return 0
        return self.last_seq - position

    @property
    def is_abandoned(self) -> bool:
        """Return whether neither a proxy nor an ingester has the journal any more."""
        directory = self.directory
        return directory.exists() and not directory.is_owned() and not directory.is_read()


@dataclass
class FoundJournals:
    """The journals of a folder: those of a database, those of others, those of no use."""

    own: list[JournalDirectory] = field(default_factory=list)
    others: list[JournalDirectory] = field(default_factory=list)
    unusable: list[JournalDirectory] = field(default_factory=list)


def find_journals(database: CommandDatabase) -> FoundJournals:
    """Return the journals on this machine. Raises JournalError where their folder is not safe."""
    configured = database.source.settings.journal.path
    result = FoundJournals()
    for directory in list_journals(prepare_folder(configured, os.environ, create=False)):
        if directory.problem is not None:
            result.unusable.append(directory)
        elif belongs_to(directory, database):
            result.own.append(directory)
        else:
            result.others.append(directory)
    return result


def belongs_to(directory: JournalDirectory, database: CommandDatabase) -> bool:
    """Return whether a journal is of a database: by its place, or else by its own id."""
    if database.source.target.is_in_memory:
        return False
    target = build_target(database.source.config())
    return is_bound_to(directory.header, target, database.own_id)


def bring_up_to_date(source: Source) -> None:
    """Apply abandoned journals, and wait for the others at most `WAIT` seconds.

    Notes say what the database lacks then. Raises TransientStoreError where it is away.
    """
    with CommandDatabase(source) as database:
        try:
            pending = [PendingJournal.of(directory) for directory in find_journals(database).own]
        except (JournalError, OSError) as error:
            note(f"Note: the journals of proxies can't be looked at: {error}")
            return
        if pending and isinstance(away := database.problem(), TransientStoreError):
            raise away
        abandoned = [one for one in pending if one.is_abandoned]
        if abandoned:
            from response_store.cli.abandoned import apply_and_note  # noqa: PLC0415 (slow to load)

            apply_and_note(source, [one.directory for one in abandoned])
        _wait_for_running([one for one in pending if one not in abandoned], database)


def wait_for(
    pending: Sequence[PendingJournal], database: CommandDatabase, seconds: float
) -> dict[Path, int]:
    """Wait until the database has what journals had; return how many frames it lacks of which.

    Raises StoreError where that can't be seen.
    """
    deadline = time.monotonic() + seconds
    left = list(pending)
    while left:
        lags = {one.directory.path: one.lag(database) for one in left}
        left = [one for one in left if lags[one.directory.path]]
        if not left or time.monotonic() >= deadline:
            return {path: lag for path, lag in lags.items() if lag}
        time.sleep(LOOK)
    return {}


def _wait_for_running(pending: Sequence[PendingJournal], database: CommandDatabase) -> None:
    """Wait for proxies that run, and say what the database lacks then."""
    try:
        lag = sum(wait_for(pending, database, WAIT).values())
    except StoreError as error:
        if database.problem() is None:  # else the command itself says what is wrong
            note(f"Note: how much of what proxies keep is in the database can't be seen: {error}")
        return
    if lag:
        frames = "newest frame" if lag == 1 else f"newest {lag} frames"
        are = "is" if lag == 1 else "are"
        note(f"Note: the {frames} of a running proxy {are} not in the database yet.")


def describe_target(target: Target) -> str:
    """Return a database as messages name it, without user and password."""
    kind = {"sqlite": "SQLite", "postgres": "PostgreSQL"}.get(target.backend, target.backend)
    return put_on_one_line(f"{kind} {target.place} (tables {', '.join(target.tables.values())})")
