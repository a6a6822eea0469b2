"""Take over journals that nobody owns any more: their proxy and its ingester have both ended.

Their frames are applied with the settings that they were written with, what is open is interrupted,
and they are removed. Who finds one of its database does that: the next proxy's ingester, in between
its own work, and every command.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from response_store.backends.base import Health, Store
from response_store.backoff import Backoff
from response_store.config import Config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import ConfigError, StoreError, TransientStoreError
from response_store.ingest.applier import Applier, OnWritten
from response_store.ingest.cleaning import SharedCleaned
from response_store.ingest.delivery import PendingChange
from response_store.journal.directory import JournalDirectory, Target, is_bound_to, list_journals
from response_store.journal.errors import JournalError, make_refusal

logger = logging.getLogger(__name__)
_SHAPING = ("capture", "tenant", "serve", "redact")  # of a header's settings
_FIRST_PAUSE, _MAX_PAUSE = 0.05, 0.5  # seconds


class Fate(StrEnum):
    """What became of a journal that was found."""

    APPLIED = "applied"  # all of it is in the database, and it is gone
    DEAD_LETTERS = "dead_letters"  # all but what the database refuses, which stays
    BUSY = "busy"  # somebody owns it, or is at applying it
    FOREIGN = "foreign"  # it belongs to another database
    UNUSABLE = "unusable"  # of a newer release, or not safe to use; the problem says it
    UNFINISHED = "unfinished"  # the problem says why; what is left is done next time


@dataclass(frozen=True, slots=True)
class FoundJournal:
    """A journal that was found, and what became of it. `records` were written now."""

    path: Path
    fate: Fate
    records: int = 0
    problem: str | None = None


class Takeover:
    """Takes over journals one batch at a time, so that other work goes on in between.

    `folder` is that of the journals, `target` the database of `config`, which `store` is. With
    `only` all journals but that one are left alone. For one thread.
    """

    def __init__(
        self,
        folder: Path,
        config: Config,
        store: Store,
        target: Target,
        *,
        counters: Counters,
        errors: ErrorReporter,
        health: Health,
        only: Path | None = None,
        on_written: OnWritten = lambda _: None,
    ) -> None:
        self._folder = folder
        self._config = config
        self._store = store
        self._target = target
        self._counters = counters
        self._errors = errors
        self._health = health
        self._only = only
        self._on_written = on_written
        self._waiting: list[JournalDirectory] | None = None
        self._applier: Applier | None = None
        self._records = 0
        self.journals: list[FoundJournal] = []

    def step(self) -> bool:
        """Do a little; return whether there is more to do.

        Raises StoreError where the database fails: call it again later, or `give_up`.
        """
        if self._waiting is None:
            self._waiting = self._find()
        elif self._applier is not None:
            self._advance(self._applier)
        elif self._waiting:
            self._begin(self._waiting.pop(0))
        else:
            return False
        return True

    def give_up(self, problem: str) -> None:
        """Leave what is not done for the next time. Idempotent."""
        if self._applier is not None:
            self._end(self._applier, Fate.UNFINISHED, problem)
        for directory in self._find() if self._waiting is None else self._waiting:
            if directory.is_owned():
                self._note(directory, Fate.BUSY)
            else:
                self._note(directory, Fate.UNFINISHED, problem)
        self._waiting = []

    def _find(self) -> list[JournalDirectory]:
        directories = list_journals(self._folder)
        if self._only is None:
            return directories
        only = self._only.absolute()
        directories = [directory for directory in directories if directory.path == only]
        if not directories:
            problem = str(make_refusal(only, "is no journal", "name the folder of one, see status"))
            self.journals.append(FoundJournal(only, Fate.UNUSABLE, problem=problem))
        return directories

    def _begin(self, directory: JournalDirectory) -> None:
        """Lock a journal and get ready to apply it, if it is one for us."""
        try:
            fate = self._lock_if_ours(directory)
            if fate is None:
                self._records = 0
                self._applier = self._prepare(directory)
            else:
                self._note(directory, fate)
        except (JournalError, OSError) as error:
            directory.close()
            if directory.exists():  # else another one has just removed it
                self._note(directory, Fate.UNUSABLE, _describe_problem(error))

    def _lock_if_ours(self, directory: JournalDirectory) -> Fate | None:
        """Return why a journal is left alone; None where it is locked, and ours to apply."""
        if directory.is_owned():
            return Fate.BUSY
        if directory.problem is not None:
            raise directory.problem
        header = directory.header
        if header.target.place == ":memory:":
            return Fate.APPLIED if directory.remove() else Fate.BUSY
        if not is_bound_to(header, self._target, lambda: self._store.database_id):
            directory.remove_if_empty()
            return Fate.FOREIGN
        return None if directory.lock_reader() else Fate.BUSY

    def _prepare(self, directory: JournalDirectory) -> Applier:
        config = _apply_settings(self._config, directory)
        return Applier(
            directory,
            config,
            self._store,
            SharedCleaned(directory, config.durability),
            counters=self._counters,
            errors=self._errors,
            health=self._health,
            on_written=self._count,
        )

    def _advance(self, applier: Applier) -> None:
        """Apply a batch of a journal, or what comes behind the last one."""
        try:
            if applier.apply():
                return
            if applier.has_open:
                applier.interrupt_open()
            elif applier.has_unwritten:
                applier.persist()
            else:
                is_gone = applier.finish()
                self._store.close_abandoned()
                self._end(applier, Fate.APPLIED if is_gone else Fate.DEAD_LETTERS)
        except JournalError as error:
            self._end(applier, Fate.UNUSABLE, _describe_problem(error))

    def _count(self, items: Sequence[PendingChange]) -> None:
        self._records += len(items)
        self._on_written(items)

    def _end(self, applier: Applier, fate: Fate, problem: str | None = None) -> None:
        self._applier = None
        applier.close()
        applier.directory.close()
        self._note(applier.directory, fate, problem, self._records)

    def _note(
        self, directory: JournalDirectory, fate: Fate, problem: str | None = None, records: int = 0
    ) -> None:
        self.journals.append(FoundJournal(directory.path, fate, records, problem))
        if records:
            logger.warning(
                "response_store: %d records of a proxy that has ended were applied from journal %s",
                records,
                directory.path,
            )
        if problem is not None and fate is Fate.UNUSABLE:
            logger.warning("response_store: a journal is left alone: %s", problem)


def take_over(
    folder: Path,
    config: Config,
    store: Store,
    target: Target,
    *,
    counters: Counters,
    errors: ErrorReporter,
    only: Path | None = None,
    deadline: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[FoundJournal]:
    """Take over all journals of a database that nobody owns; return what became of each found.

    Opens the store and leaves it open. A database that fails is tried again until `deadline`, by
    the clock; None: once. Never raises StoreError: a problem says why something is left.
    """
    takeover = Takeover(
        folder, config, store, target, counters=counters, errors=errors,
        health=Health(clock, "the database"), only=only,
    )  # fmt: skip
    backoff = Backoff(first=_FIRST_PAUSE, cap=_MAX_PAUSE)
    problem: str | None = None
    while problem is None:
        try:
            store.open()
            if not takeover.step():
                break
            backoff.succeeded()
            if deadline is not None and clock() >= deadline:
                problem = "there was no time for more"
        except TransientStoreError as error:
            pause = backoff.failed(clock())
            if deadline is None or clock() + pause >= deadline:
                problem = str(error)
            else:
                time.sleep(pause)
        except StoreError as error:
            problem = str(error)
    if problem is not None:
        takeover.give_up(problem)
    return takeover.journals


def _apply_settings(config: Config, directory: JournalDirectory) -> Config:
    """Return a configuration with the settings that a journal was written with.

    Raises JournalError where its header has none that can be used.
    """
    settings = {**config.settings, "database_url": config.database_url.reveal()}
    try:
        settings |= {key: directory.header.settings[key] for key in _SHAPING}
        return Config.from_settings(settings, config.source, config.directory)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError, re.error):
        raise make_refusal(
            directory.path, "has settings that can't be read", "restore or remove the folder"
        ) from None


def _describe_problem(error: JournalError | OSError) -> str:
    if isinstance(error, JournalError):
        return str(error)
    return f"a journal can't be used ({error.strerror or type(error).__name__})"
