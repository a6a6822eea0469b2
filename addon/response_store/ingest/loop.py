"""The thread of the ingester that works: apply, then answer reads, then index, then prune.

What comes first never waits long for what comes later: chores call `yield_if_due` now and then,
outside of transactions, and frames and reads that wait are seen to within it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from response_store.backends.base import Health, StorePhase
from response_store.backends.registry import build_store
from response_store.backoff import Backoff
from response_store.config import Acknowledge, Config
from response_store.errors import PermanentStoreError, StoppedError, StoreError, TransientStoreError
from response_store.ingest.applier import Applier
from response_store.ingest.channel import ChannelError, Hello, Message, Rotate, Verdict, Written
from response_store.ingest.chores import Chores
from response_store.ingest.delivery import Gaps, PendingChange, list_written_rows
from response_store.ingest.questions import Answers, Questions
from response_store.journal.directory import JournalDirectory
from response_store.journal.errors import JournalError

if TYPE_CHECKING:
    from response_store.diagnostics import Counters, ErrorReporter
    from response_store.ingest.cleaning import SharedCleaned

logger = logging.getLogger(__name__)
COMMIT_EVERY = 0.01
"""Seconds at least between two commits while nobody waits for one: each has more to write then."""
QUIET = 0.25
"""Seconds without frames after which chores are done: they take time from what passes."""
CHORES_EVERY = 0.5
"""Seconds after which some of them, 10 ms long, is done in any case: streams are never quiet."""
YIELD_AFTER = 0.01  # seconds that a chore may work while a frame or a read waits
PERSIST_AFTER = 0.2  # seconds after which the position is written without a row
REST_AFTER = 1.0  # seconds of rest after which the journal and the database are tidied up
_COMPACT_EVERY = 0.2  # seconds at least
_OWNER_WAIT = 2.0  # seconds that a proxy that left the channel may take to let go of the journal
_OWNER_POLL_INTERVAL = 0.05  # seconds between looks whether a proxy that left the channel has ended
_HOPELESS = 10.0  # seconds without progress, once the proxy has left, after which the rest stays


class Worker:
    """Applies one journal, answers reads, and does chores. `post` sends a message to the proxy.

    The methods up to `interrupt`, and the attributes, are for any thread.
    """

    def __init__(
        self,
        config: Config,
        directory: JournalDirectory,
        cleaned: SharedCleaned,
        hello: Hello,
        *,
        questions: Questions,
        answers: Answers,
        counters: Counters,
        errors: ErrorReporter,
        post: Callable[[Message], None],
        poke: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.announces = hello.announces
        self.applied = 0
        self.committed = 0
        self.bytes_on_disk = 0
        self.crash: BaseException | None = None
        self.health = Health(clock, "the database")
        self._config = config
        self._directory = directory
        self._questions = questions
        self._answers = answers
        self._counters = counters
        self._errors = errors
        self._post = post
        self._poke = poke
        self._clock = clock
        self._gaps = Gaps(hello.last_seq, hello.outstanding)
        self._store = build_store(config, before_reopening=self._release)
        self._applier = Applier(
            directory,
            config,
            self._store,
            cleaned,
            counters=counters,
            errors=errors,
            health=self.health,
            is_outstanding=self._gaps.is_outstanding,
            marks_key=hello.marks_key,
            on_written=self._note_written,
        )
        self.dead_letters = self._applier.dead_letters
        self._chores = Chores(
            config,
            directory,
            self._store,
            yield_if_due=self._yield_if_due,
            counters=counters,
            errors=errors,
            clock=clock,
        )
        self._backoff = Backoff()
        self._wake = threading.Event()
        self._behind_since: float | None = clock()
        self._rotated = 0
        self._left_at: float | None = None  # when the proxy left the channel
        self._has_owner = True
        self._has_ended = False
        self._was_opened = False
        self._has_verdict = False
        self._has_more = False
        self._is_prompt = config.acknowledge is Acknowledge.DATABASE
        self._active_at = self._unwritten_since = clock()
        self._rested_since = 0.0  # the quiet that was used to tidy up
        self._compact_at = 0.0
        self._is_compact = True  # nothing was written since segments were looked at
        self._worked_since = self._chores_at = clock()
        self._thread = threading.Thread(target=self._run, name="response-store-worker", daemon=True)

    # By any thread

    def start(self) -> None:
        """Start the thread, which opens the database first."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Return whether the thread has not ended."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Have the thread look for frames and questions."""
        if self._behind_since is None:
            self._behind_since = self._clock()
        self._wake.set()

    def void(self, seq: int) -> None:
        """Note that no frame of this seq will come."""
        self._gaps.void(seq)
        self.wake()

    def rotated(self, seq: int) -> None:
        """Note that the main segments up to now end with a seq."""
        self._rotated = seq
        self._wake.set()

    def leave(self) -> None:
        """Note that the proxy is gone, or wants no more: finish, and end."""
        self._left_at = self._clock()
        self._wake.set()

    def lag_seconds(self) -> float:
        """Return how long the oldest frame has been waiting."""
        since = self._behind_since
        return self._clock() - since if since is not None else 0.0

    def measure(self) -> int:
        """Return the bytes of the journal's segments, also while the worker is held up."""
        return self._directory.bytes_on_disk()

    def busy_for(self) -> float | None:
        """Return how long a statement has been running; None where none does."""
        since = self.health.busy_since
        return self._clock() - since if since is not None else None

    @property
    def has_work(self) -> bool:
        """Return whether frames wait, as far as is known."""
        return self._behind_since is not None

    def interrupt(self) -> None:
        """Break off a statement that hangs."""
        self._store.interrupt()
        self._chores.interrupt()

    # In the thread

    def _run(self) -> None:
        try:
            while not self._has_ended:
                self._take_turn()
        except BaseException as error:  # noqa: BLE001 - the process must end with it
            self.crash = error
        finally:
            for close in (self._chores.stop, self._answers.close, self._applier.close):
                with contextlib.suppress(Exception):
                    close()
            with contextlib.suppress(Exception):
                self._store.close()
            self._poke()

    def _take_turn(self) -> None:
        """Do what there is to do, or wait until there may be something."""
        self._gather()
        self._wake.clear()
        self._has_more = self._see_to_frames()
        if self._left_at is not None:
            self._has_more = self._has_more or self._finish(self._left_at)
        elif not self._has_more:
            self._has_more = self._do_chore()
        if not self._has_more and not self._has_ended:
            self._wake.wait(self._idle_seconds())

    def _gather(self) -> None:
        """Wait a moment, right behind a commit: a commit costs as much as some ten rows."""
        soon = self._active_at + COMMIT_EVERY - self._clock()
        if soon > 0 and not (self._is_prompt or self._has_more or self._questions):
            time.sleep(soon)

    def _see_to_frames(self) -> bool:
        """Apply a batch and answer reads; return whether there may be more frames."""
        has_more = False
        if self._clock() >= self._backoff.next_at:
            behind_since = self._behind_since
            has_more = self._guarded(self._apply)
            if not has_more and self.health.ready and self._behind_since == behind_since:
                self._behind_since = None
        self._questions.answer_ready(self._answers, self.committed)
        self._poke()
        return has_more

    def _apply(self) -> bool:
        self._open()
        before = self._applier.applied, self._applier.committed
        had_unwritten = self._applier.has_unwritten
        has_more = self._applier.apply()
        self._note_success()
        if not had_unwritten or before[1] != self._applier.committed:
            self._unwritten_since = self._clock()
        if before != (self._applier.applied, self._applier.committed):
            self._active_at, self._is_compact = self._clock(), False
        self._store.maintain()
        self._look()
        if not has_more:
            self._rest()
        return has_more

    def _open(self) -> None:
        """Open the database, unless it is open; the first time say how that went."""
        if self.health.phase is StorePhase.NEW:
            self.health.opening()
        self.health.busy()
        try:
            self._store.open()
        finally:
            self.health.idle()
        if not self._was_opened:
            self._was_opened = True
            self.health.opened()
            self._give_verdict(Verdict())
            self._chores.bind_journal()
            self._store.close_abandoned()

    def _note_success(self) -> None:
        self._backoff.succeeded()
        self.health.opened()

    def _look(self) -> None:
        """Bring up to date what others see."""
        self.applied = self._gaps.reach(self._applier.applied)
        is_level = self._applier.applied == self._applier.committed
        self.committed = self.applied if is_level else self._applier.committed
        if self._applier.has_unwritten:  # nothing may be dropped before that is
            return
        if not self._is_compact and self._clock() >= self._compact_at:
            self._is_compact = True
            self._compact_at = self._clock() + _COMPACT_EVERY
            self._applier.compact()
            self.bytes_on_disk = self._directory.bytes_on_disk()

    def _rest(self) -> None:
        """Do what is due after a time without anything new."""
        if self._applier.has_unwritten and self._clock() >= self._unwritten_since + PERSIST_AFTER:
            self._applier.persist()
            self._look()
        if self._rotated and not self._applier.has_unwritten:
            rotated, self._rotated = self._rotated, 0
            self._applier.drop_main(rotated)
            self.bytes_on_disk = self._directory.bytes_on_disk()
        if self._rested_since != self._quiet_since <= self._clock() - REST_AFTER:
            self._rested_since = self._quiet_since
            self._store.rest()
            self._clear_journal()

    @property
    def _quiet_since(self) -> float:
        """Return when something was written last, a row or what chores make of rows."""
        return max(self._active_at, self._chores.worked_at)

    def _clear_journal(self) -> None:
        """Empty the journal's folder as far as all in it is in the database."""
        self._applier.compact()
        self._applier.drop_cleaned()
        if self._has_owner and self._applier.is_main_idle():
            self._post(Rotate(self.applied))
        self.bytes_on_disk = self._directory.bytes_on_disk()

    def _note_written(self, items: Sequence[PendingChange]) -> None:
        """Say what was committed. Called between two transactions."""
        self._chores.note_written(items)
        if self.announces and (rows := list_written_rows(items)):
            self._post(Written(rows))

    def _release(self) -> None:
        """Close what else is open in the database: other files stand in its place."""
        self._chores.release()
        self._answers.close()

    # Errors

    def _guarded(self, work: Callable[[], bool]) -> bool:
        """Return what some work returns; False, and try again later, where the database fails."""
        try:
            return work()
        except StoreError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - the next attempt may succeed
            self._errors.report("ingester", error)
            self._fail(TransientStoreError(f"applying failed ({type(error).__name__})"))
        return False

    def _fail(self, error: StoreError) -> None:
        now = self._clock()
        pause = self._backoff.failed(now)
        is_permanent = isinstance(error, PermanentStoreError)
        self._counters.add("store.failed")
        self.health.failed(error, not is_permanent, now + pause)
        self._give_verdict(Verdict(str(error), is_permanent) if is_permanent else Verdict())
        self._poke()

    def _give_verdict(self, verdict: Verdict) -> None:
        if not self._has_verdict:
            self._has_verdict = True
            self._post(verdict)

    # Chores

    def _do_chore(self) -> bool:
        """Do some of what is less urgent; return whether there is more of it to do now."""
        now = self._clock()
        if not self.health.ready or now < self._chore_at():
            return False
        self._worked_since = self._chores_at = now
        try:
            return self._chores.do_some()
        except StoppedError:
            return False

    def _chore_at(self) -> float:
        """Return when chores may be done: they wait for quiet, but not for ever."""
        if self._chores.is_urgent:
            return 0.0
        return min(self._active_at + QUIET, self._chores_at + CHORES_EVERY)

    def _yield_if_due(self) -> None:
        """See to frames and reads that wait. Raises StoppedError where the work is to end."""
        if self._left_at is not None:
            raise StoppedError
        now = self._clock()
        if now - self._worked_since < YIELD_AFTER:
            return
        while self._is_awaited():
            self._wake.clear()
            while self._see_to_frames():
                pass
            if self._left_at is not None:
                raise StoppedError
        self._worked_since = self._clock()

    def _is_awaited(self) -> bool:
        return self._wake.is_set() and (
            self._clock() >= self._backoff.next_at or self._questions.has_ready(self.committed)
        )

    def _idle_seconds(self) -> float | None:
        """Return how long nothing will be due; None where that is for good."""
        now = self._clock()
        due: list[float] = []
        if not self.health.ready:
            due.append(self._backoff.next_at)
        elif self._applier.has_unwritten:
            due.append(self._unwritten_since + PERSIST_AFTER)
        elif not self._is_compact:
            due.append(self._compact_at)
        elif self._quiet_since != self._rested_since:
            due.append(self._quiet_since + REST_AFTER)
        if self._left_at is not None:
            due.append(now + _OWNER_POLL_INTERVAL)
        elif self.health.ready and (chore_at := self._chores.due_at()) is not None:
            due.append(max(chore_at, self._chore_at()))
        return max(0.0, min(due) - now) if due else None

    # The end

    def _finish(self, left_at: float) -> bool:
        """Finish without the proxy; return whether there may be more frames.

        Raises ChannelError where the proxy lives on: it starts another ingester then.
        """
        self._chores.stop()
        if self._has_owner:
            self._has_owner = self._directory.is_owned()
            if not self._has_owner:
                self._applier.lose_owner()
                self._active_at = self._clock()
                return True
            if self._clock() - left_at > _OWNER_WAIT:
                raise ChannelError("the channel has broken, and the proxy lives on")
            return False
        if not self.health.ready:
            is_permanent = isinstance(self.health.error, PermanentStoreError)
            self._has_ended = self._is_removed() or is_permanent or self._is_hopeless(left_at)
            return False
        has_more = self._guarded(self._empty)
        # Reading may succeed where writing fails, and then each attempt begins with a database
        # that is there.
        self._has_ended = self._has_ended or (not has_more and self._is_hopeless(left_at))
        return has_more

    def _is_hopeless(self, left_at: float) -> bool:
        """Return whether nothing has been written for long, since the proxy has left."""
        return self._clock() - max(left_at, self._active_at) >= _HOPELESS

    def _is_removed(self) -> bool:
        """Remove the journal if there is nothing in it; return whether it is gone."""
        try:
            return self._directory.remove_if_empty()
        except (OSError, JournalError) as error:
            self._errors.report("remove", error)
            return False

    def _empty(self) -> bool:
        """Interrupt what is open, write that, and remove the journal."""
        if self._applier.has_open:
            self._applier.interrupt_open()
            return True
        self._applier.persist()
        if self._applier.has_unwritten:
            return True
        self._applier.finish()
        self._store.close_abandoned()
        self._has_ended = True
        return False
