"""One run of the recorder: a journal, its ingester and what is captured for them.

A session begins with a configuration and ends once nothing of it is in flight any more: a new
configuration gets a session of its own, and what began in the one before ends there. Everything
runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from response_store import __version__
from response_store.backends.base import StorePhase
from response_store.capture.acknowledgement import Acknowledgement
from response_store.capture.outbox import Outbox
from response_store.capture.recorder import Recorder
from response_store.capture.websockets import Sockets
from response_store.config import Config, Serve, promises
from response_store.ingest.channel import OK, IngesterReply, Report
from response_store.ingest.supervisor import Supervisor
from response_store.journal.directory import JournalDirectory, build_header
from response_store.journal.private_files import prepare_folder
from response_store.journal.writer import JournalWriter
from response_store.serving.service import Service

if TYPE_CHECKING:
    from response_store.diagnostics import Counters, ErrorReporter
    from response_store.model.records import WrittenRow

logger = logging.getLogger(__name__)
OPEN_WAIT = 3.0  # seconds that start-up waits for the database's verdict
CLOSE_WAIT = 5.0  # seconds that a stop waits for what is acknowledged to be applied
FILE_READ_WAIT = 10.0  # seconds without progress that the end of a flow file waits longer
HUNG_AFTER = 2.0  # seconds that one statement may take until the database counts as away
_LARGE_POLL_INTERVAL = 0.005  # seconds
_CLOSE_POLL_INTERVAL = 0.1  # seconds between looks whether a retired session may be closed
_LARGE_WAIT = 1.0  # seconds that a stop waits for frames of megabytes
Watch = Callable[["WrittenRow"], None]
"""What is called, on the event loop, with every exchange that has ended and is written."""


@dataclass(frozen=True, slots=True)
class Closing:
    """How a session stopped. `remaining` says what waits for the next start, if anything."""

    written: int
    lost: int
    interrupted: int
    remaining: str | None
    counters: dict[str, int]


class Session:
    """One session. `recorder_id` is in every row that it writes."""

    def __init__(
        self,
        config: Config,
        counters: Counters,
        errors: ErrorReporter,
        loop: asyncio.AbstractEventLoop,
        *,
        announces: Callable[[], bool] = lambda: True,
        watch: Watch | None = None,
    ) -> None:
        """Make the journal. Raises StoreError where that can't be: it names `journal.path`."""
        self.config = config
        self.counters = counters
        self.loop = loop
        self._errors = errors
        self._announces = announces
        self._watch = watch
        self._is_retired = False
        self._is_closed = False
        self._closes: asyncio.TimerHandle | None = None
        _move_earlier_journal(config.journal.path)
        folder = prepare_folder(config.journal.path, os.environ)
        self.directory = JournalDirectory.create(folder, build_header(config))
        self.recorder_id = self.directory.journal_id
        self.writer = JournalWriter(
            self.directory,
            max_bytes=config.journal.max_bytes,
            durability=config.durability,
            counters=counters,
            call_soon=loop.call_soon_threadsafe,
            call_later=self._call_later,
            at_turn_end=loop.call_soon,
            on_void=self._void,
        )
        self.ingester = Supervisor(
            self.directory,
            config,
            loop=loop,
            counters=counters,
            errors=errors,
            sequence=lambda: (self.writer.last_seq, self.writer.outstanding),
            announces=watch is not None or announces(),
            on_written=self._written,
            on_rotate=self._rotate,
            on_report=self._reported,
        )
        outbox = Outbox(self.writer, self.ingester, loop=loop, errors=errors, counters=counters)
        self._outbox = outbox
        self.acknowledgement = Acknowledgement(
            config, self, counters, find_dependency=outbox.find_dependency, clock=time.monotonic
        )
        self.recorder = Recorder(
            config, outbox, self, self.acknowledgement, counters=counters, errors=errors, loop=loop
        )
        self.sockets = Sockets(config, self.recorder, counters)
        self.serving = (
            Service(config.serve, self, counters) if config.serve is not Serve.OFF else None
        )

    # Life

    def start(self) -> None:
        """Start the ingester."""
        self.ingester.start()

    def wait_for_verdict(self, seconds: float = OPEN_WAIT) -> str | None:
        """Block until the database was opened or has failed; return what has to be fixed."""
        self.ingester.pump(seconds, lambda: self.ingester.verdict is not None)
        return self.verdict

    def log_verdicts(self) -> None:
        """Log from now on why the database can't be used: nobody waits to show it any more."""
        self.ingester.logs_verdicts = True

    @property
    def verdict(self) -> str | None:
        """Return why this can't work until somebody fixes it, as far as is known."""
        verdict = self.ingester.verdict
        return verdict.error if verdict is not None and verdict.permanent else None

    def stop(self, seconds: float = CLOSE_WAIT, patience: float = 0.0) -> Closing:
        """Have all that is acknowledged applied; return how it went. Live traffic may go on.

        At most `seconds`; with `patience` longer, as long as something is applied within that many
        seconds.
        """
        interrupted = self.recorder.stop()
        self._outbox.close(_LARGE_WAIT)
        self._finish_large()
        self._apply(seconds, patience)
        remaining = self._remaining()
        counters = self.counters.snapshot()
        lost = sum(number for name, number in counters.items() if name.startswith("dropped."))
        written = counters.get("written", 0)
        return Closing(written, lost, interrupted, remaining, counters)

    def retire(self) -> None:
        """Take nothing new; close once all that is in flight has ended."""
        self._is_retired = True
        self.close_if_done()

    def close(self) -> None:
        """Release the journal: the ingester applies what is in it, and ends. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._outbox.close(_LARGE_WAIT)
        self.writer.close()
        self.ingester.close()
        self.directory.close()

    @property
    def is_closed(self) -> bool:
        """Return whether it is closed."""
        return self._is_closed

    @property
    def has_verdict(self) -> bool:
        """Return whether the database was opened, or has failed to, for the first time."""
        return self.ingester.verdict is not None

    def close_if_done(self) -> None:
        """Close where nothing new is taken and nothing is in flight any more.

        What waits in memory is looked at again and again: nobody says when it has gone.
        """
        if not self._is_retired or self._is_closed:
            return
        if self.recorder.open_exchanges or self.sockets.open_sockets:
            return
        if self._outbox.at_work or self.writer.outstanding or self.waiting_in_memory:
            if self._closes is None:
                self._closes = self.loop.call_later(_CLOSE_POLL_INTERVAL, self._look_again)
            return
        self.close()

    def _look_again(self) -> None:
        self._closes = None
        self.close_if_done()

    # What others ask

    def ask(
        self, kind: str, arguments: bytes, seconds: float, *, after_captured: bool = True
    ) -> asyncio.Future[IngesterReply]:
        """Ask the ingester, unless told otherwise behind all that was captured so far."""
        future: asyncio.Future[IngesterReply] = self.loop.create_future()
        self.ingester.ask(
            kind,
            arguments,
            after=self.writer.last_seq if after_captured else 0,
            seconds=seconds,
            then=lambda answered: None if future.done() else future.set_result(answered),
        )
        return future

    def flushed(self) -> asyncio.Future[IngesterReply]:
        """Return what is done once all that was captured so far is in the database."""
        future: asyncio.Future[IngesterReply] = self.loop.create_future()
        self.ingester.flush(
            self.writer.last_seq,
            lambda answered: None if future.done() else future.set_result(answered),
        )
        return future

    async def delete(self, tenant: str, response_id: str, seconds: float) -> bool:
        """Write that a response is deleted; return whether it is in the database in time."""
        receipt = self.recorder.delete(tenant, response_id)
        try:
            answered = await asyncio.wait_for(self.flushed(), seconds)
        except TimeoutError:
            return False
        in_journal = receipt.seq is not None and not receipt.lost  # not in memory alone
        return answered.status == OK and in_journal

    @property
    def committed(self) -> int:
        """Return the last frame whose rows are in the database."""
        return self.ingester.committed

    @property
    def is_failing(self) -> bool:
        """Return whether the journal can't be written at the moment."""
        return self.writer.failing is not None

    @property
    def database_answers(self) -> bool:
        """Return whether commits are to be expected."""
        return self._database_pause() is None

    @property
    def lag(self) -> tuple[int, int]:
        """Return how many frames, and about how many bytes, are not in the database yet."""
        frames = self.writer.last_seq - self.ingester.committed
        report = self.ingester.report
        size = self.writer.held_bytes if frames > 0 or report is None else 0
        return max(0, frames) + self.writer.waiting, size

    def unavailable_for(self) -> float | None:
        """Return the seconds until what fails is tried again; None where records are kept."""
        if self.writer.failing is not None:
            return max(self.writer.retry_in, 0.1)
        return self._database_pause()

    def describe(self) -> str:
        """Return the settings in use, in a line."""
        return (
            f"response_store {__version__}: writing to {self._target()} "
            f"({promises(self.config)}), configuration: {self.config.source}"
        )

    def status(self) -> str:
        """Return the state of the journal, the ingester and the database, a line each."""
        report, writer = self.ingester.report, self.writer
        frames, held = self.ingester.held
        lines = [
            f"store: {self._target()}, {self._phase()}",
            f"last error: {(report.error if report else None) or 'none'}",
            f"attempts: {self._attempts()}",
            f"ingester: {self._ingester_state()}",
            f"journal: {self.directory.path}, {writer.failing.text if writer.failing else 'ready'}",
            f"journal holds: {writer.held_bytes} bytes, at most {self.config.journal.max_bytes}",
            f"not in the database yet: {self._not_written()}",
            f"waiting for the journal: {writer.waiting} frames",
            f"waiting to be cleaned: {frames} frames, {held} bytes",
            f"dead letters: {self._dead_letters()}",
            f"open exchanges: {self.recorder.open_exchanges}",
            f"held in memory: {self.recorder.budget.held} bytes",
        ]
        lines += [f"{name}: {number}" for name, number in self.counters.snapshot().items()]
        return "\n".join(lines)

    @property
    def waiting_in_memory(self) -> int:
        """Return how many frames would be lost with this process."""
        return self._outbox.at_work + self.writer.waiting + self.ingester.held[0]

    def announce(self) -> None:
        """Let the ingester know whether rows are to be announced: options may have changed."""
        self.ingester.announce(self._watch is not None or self._announces())

    def is_written(self) -> bool:
        """Return whether all that was captured so far is in the database."""
        return not self.waiting_in_memory and self.ingester.committed >= self.writer.last_seq

    def waiting(self) -> int:
        """Return how many frames are not in the database yet."""
        return self.lag[0] + self._outbox.at_work

    # What happens

    def _written(self, rows: Sequence[WrittenRow]) -> None:
        announces = self._announces()
        for row in rows:
            if announces:
                logger.info("response_store: %s", row.line)
            if self._watch is not None:
                self._errors.guard("watch", self._watch, row)

    def _void(self, seq: int) -> None:
        self.ingester.void(seq)

    def _rotate(self, seq: int) -> None:
        if self.writer.last_seq == seq:
            self.writer.rotate()
            self.ingester.rotated(seq)

    def _reported(self, report: Report) -> None:
        self.writer.released(report.bytes_on_disk)
        self.acknowledgement.progressed()
        if report.phase != StorePhase.READY.value:
            self.acknowledgement.release()

    def _call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Have the journal try again what waits in memory, and the ingester read it."""

        def again() -> None:
            function()
            self._outbox.send_deferred()
            self.ingester.wake()
            self.acknowledgement.progressed()

        self.loop.call_later(seconds, again)

    def _finish_large(self) -> None:
        """Wait a moment for frames of megabytes, and for what waits in memory."""
        self.writer.retry()
        deadline = time.monotonic() + _LARGE_WAIT
        while self.writer.outstanding and time.monotonic() < deadline:
            time.sleep(_LARGE_POLL_INTERVAL)

    def _apply(self, seconds: float, patience: float) -> None:
        """Wait until the database has everything, `seconds` long, or as long as it takes things."""
        answers: list[IngesterReply] = []
        last = self.writer.last_seq
        self.ingester.flush(last, answers.append)

        def is_applied() -> bool:  # the report that comes behind the answer has the counts
            return self.ingester.committed >= last or bool(answers and answers[0].status != OK)

        if self.ingester.pump(seconds, is_applied) or not patience:
            return
        before = -1
        while self.ingester.committed > before:
            before = self.ingester.committed
            if self.ingester.pump(patience, is_applied):
                return

    def _remaining(self) -> str | None:
        """Return what is not in the database, and what becomes of it."""
        if self.is_written():
            return None
        in_memory, size = self.waiting_in_memory, self.lag[1]
        in_journal = max(0, self.waiting() - in_memory)
        remaining = []
        if in_journal:
            remaining.append(
                f"{in_journal} frames, {size} bytes stay in the journal for the next start"
            )
        if in_memory:
            remaining.append(f"{in_memory} frames are in memory alone, and lost with this process")
        return ", ".join(remaining)

    # Words

    def _target(self) -> str:
        kind = "SQLite" if self.config.backend.value == "sqlite" else "PostgreSQL"
        return f"{kind} {self.config.database.describe()}"

    def _database_pause(self) -> float | None:
        """Return the seconds until the database is tried again; None where it answers."""
        report = self.ingester.report
        if report is None:
            return None if self.ingester.verdict is None else 0.1
        if report.phase == StorePhase.READY.value:
            busy = report.busy_for
            since = time.monotonic() - self.ingester.reported_at
            hangs = busy is not None and busy + since > HUNG_AFTER
            return 0.1 if hangs else None
        return report.retry_in

    def _phase(self) -> str:
        report = self.ingester.report
        if report is None:
            return StorePhase.OPENING.value
        hangs = report.phase == StorePhase.READY.value and self._database_pause() is not None
        return report.phase + (f", no answer for over {HUNG_AFTER:.0f} s" if hangs else "")

    def _attempts(self) -> str:
        report = self.ingester.report
        failures = report.failures if report else 0
        pause = f", the next in {report.retry_in:.1f} s" if report and failures else ""
        return f"{failures} failed in a row{pause}"

    def _ingester_state(self) -> str:
        state = "running" if self.ingester.is_running else "not running"
        if self.ingester.restarts:
            state += f", started again {self.ingester.restarts} times, it {self.ingester.last_exit}"
        return state

    def _dead_letters(self) -> str:
        report = self.ingester.report
        return f"{report.dead_letters} records, {report.dead_letter_bytes} bytes" if report else "?"

    def _not_written(self) -> str:
        number, report = self.lag[0], self.ingester.report
        if not number:
            return "0 frames"
        since = time.monotonic() - self.ingester.reported_at
        oldest = f"{report.lag_seconds + since:.1f} s" if report else "an unknown time"
        return f"{number} frames, the oldest for {oldest}"


def _move_earlier_journal(configured: Path | None) -> None:
    """Put a journal of earlier versions, a file, aside where the folder of journals is to be."""
    if configured is not None and configured.is_file():
        from response_store.ingest.earlier_journals import move_aside  # noqa: PLC0415

        move_aside(configured)
