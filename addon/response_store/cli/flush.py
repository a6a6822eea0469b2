"""`response-store flush`: wait until the database has all that proxies have acknowledged."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from response_store.cli import output
from response_store.cli.abandoned import apply_abandoned, log_as_notes, open_store
from response_store.cli.apply_journals import may_have_journals
from response_store.cli.journals import (
    CommandDatabase,
    PendingJournal,
    belongs_to,
    describe_target,
    find_journals,
    wait_for,
)
from response_store.cli.progress import ProgressDisplay, show_progress
from response_store.cli.source import (
    STORE_FAILED,
    FilePath,
    Source,
    config_option,
    database_option,
    find_source,
    handle_errors,
    json_option,
    note,
)
from response_store.diagnostics import Counters
from response_store.errors import StoreError
from response_store.ingest.earlier_journals import drain_earlier
from response_store.ingest.takeover import Fate
from response_store.journal.directory import JournalDirectory, build_target

STALLED = 30.0  # seconds without progress after which waiting has no end
_SLICE = 0.25  # seconds between looks at how far it is
HELP = """Wait until the database has everything that proxies have acknowledged so far.

Proxies write to a journal first, and their ingesters from there to the database. This command
applies the journals of proxies that were killed. It gives up after 30 seconds without progress;
then the status is 1, and each unfinished journal is named with the reason.

With --journal it is about one journal: "response-store status" lists those of other databases.
The configuration must name the same database as the journal. A journal of an earlier release is a
file, such as response-store-journal.db; it is applied only if it is named here, as anybody could
have put it into a folder.

\b
Examples:
  response-store flush
  response-store flush --timeout 5 --json
  response-store flush --config proxy.yaml
  response-store flush --journal journals/0e1c5a0e-8f43-5a51-9d0e-0b7f3f3c1d52
"""


@click.command("flush", help=HELP)
@config_option
@database_option
@click.option(
    "--journal", type=FilePath(), metavar="DIR",
    help="Only this journal, or a file of an earlier release; else all of the database.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="S",
    help="Give up after so many seconds, whatever happens.",
)  # fmt: skip
@json_option
def flush_command(
    *,
    config: Path | None,
    database: Path | None,
    journal: Path | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Wait until the database has everything that proxies have acknowledged so far."""
    with handle_errors():
        source = find_source(config, database)
        problems = _flush(source, journal, timeout)
    if as_json:
        output.write_json({"unfinished": [one._asdict() for one in problems]})
    for problem in problems:
        note(f"Error: {problem.describe()}")
    if problems:
        raise click.exceptions.Exit(STORE_FAILED)
    if not as_json:
        click.echo("All that was acknowledged so far is in the database.")


class UnfinishedJournal(NamedTuple):
    """A journal that the database lacks `frames` of, None where nobody knows, and the reason."""

    journal: str
    frames: int | None
    reason: str

    def describe(self) -> str:
        """Return a line for people."""
        if self.frames is None:
            return f"journal {self.journal}: {self.reason}"
        frames = "1 frame is" if self.frames == 1 else f"{self.frames} frames are"
        return f"journal {self.journal}: {frames} not in the database: {self.reason}"


def _flush(source: Source, journal: Path | None, timeout: float | None) -> list[UnfinishedJournal]:
    """Apply and wait; return the journals that are not in the database."""
    if source.target.is_in_memory:
        raise StoreError(
            "Only its proxy can see an in-memory database, so no other program can wait for it."
        )
    if journal is not None and journal.is_file():
        return _apply_earlier(source, journal)
    if journal is None and not may_have_journals(source.settings.journal.path, os.environ):
        return []
    with CommandDatabase(source) as database:
        flush = _Flush(database, _find_own(database, journal), timeout)
        with show_progress(flush.lag, "flushing frames") as shown:
            return flush.run(shown)


def _apply_earlier(source: Source, earlier: Path) -> list[UnfinishedJournal]:
    """Apply the journal of an earlier release; return it where it is not in the database."""
    with open_store(source) as store, log_as_notes():
        store.open()
        done = drain_earlier(earlier, store, Counters())
    reason = "it was not applied, see above"
    return [] if done else [UnfinishedJournal(str(earlier), None, reason)]


def _find_own(database: CommandDatabase, journal: Path | None) -> list[JournalDirectory]:
    """Return the journals to flush; name those that can't be used on standard error."""
    if journal is not None:
        return [_open_named(database, journal)]
    journals = find_journals(database)
    for directory in journals.unusable:
        note(f"Note: {directory.problem}")
    return journals.own


def _open_named(database: CommandDatabase, journal: Path) -> JournalDirectory:
    """Return the journal of a folder. Raises UsageError where it is of another database."""
    directory = JournalDirectory.open(journal)
    if not belongs_to(directory, database):
        theirs, ours = directory.header.target, build_target(database.source.config())
        raise click.UsageError(
            f"{directory.path} belongs to {describe_target(theirs)}, the configuration names"
            f" {describe_target(ours)}. Give the configuration of its proxy with --config"
            + (f", or --database {theirs.place}." if theirs.backend == "sqlite" else ".")
        )
    return directory


class _Flush:
    """Brings the database to where some journals are now, as far as they let it."""

    def __init__(
        self, database: CommandDatabase, own: Sequence[JournalDirectory], timeout: float | None
    ) -> None:
        self._database = database
        self._deadline = math.inf if timeout is None else time.monotonic() + timeout
        self._pending = [PendingJournal.of(directory) for directory in own]
        self._lags = self._wait(0.0)
        self._problems: dict[Path, str] = {}  # of journals that were not applied
        self._applied: set[Path] = set()  # those with which nothing is left to do

    @property
    def lag(self) -> int:
        """Return how many frames the database lacks."""
        return sum(self._lags.values())

    def run(self, shown: ProgressDisplay) -> list[UnfinishedJournal]:
        """Wait until nothing is lacking, or nothing moves; return what is lacking, and why."""
        least, moved_at = self.lag, time.monotonic()
        while True:
            self._apply_abandoned()
            left = max(0.0, min(_SLICE, self._deadline - time.monotonic()))
            self._lags = self._wait(left)
            if self._applied.issuperset({*self._lags, *self._problems}):
                return self._unfinished()
            now = time.monotonic()
            if self.lag < least:
                shown.advance(least - self.lag)
                least, moved_at = self.lag, now
            if now >= self._deadline or now - moved_at >= STALLED:
                return self._unfinished()

    def _wait(self, seconds: float) -> dict[Path, int]:
        """Return what the database lacks after a time; all where it can't be read."""
        try:
            return wait_for(self._pending, self._database, seconds)
        except StoreError:
            self._database.close()
            time.sleep(seconds)
            existing = [one for one in self._pending if one.directory.exists()]
            return {one.directory.path: one.last_seq for one in existing if one.last_seq}

    def _apply_abandoned(self) -> None:
        """Apply the journals that nobody has, each until that has succeeded."""
        for pending in self._pending:
            path = pending.directory.path
            if path in self._applied or not pending.is_abandoned:
                continue
            until = min(self._deadline, time.monotonic() + STALLED)
            for journal in apply_abandoned(
                self._database.source, path.parent, only=path, deadline=until
            ):
                self._problems.pop(path, None)
                if journal.problem is not None:
                    self._problems[path] = journal.problem
                if journal.fate not in {Fate.BUSY, Fate.UNFINISHED}:
                    self._applied.add(path)

    def _unfinished(self) -> list[UnfinishedJournal]:
        """Return the journals that the database lacks something of."""
        reason = str(
            self._database.problem() or "its ingester does not go on: see the log of its proxy"
        )
        paths = (pending.directory.path for pending in self._pending)
        return [
            UnfinishedJournal(str(path), self._lags.get(path, 0), self._problems.get(path, reason))
            for path in paths
            if path in self._lags or path in self._problems
        ]
