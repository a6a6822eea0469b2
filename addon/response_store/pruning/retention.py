"""Apply the rules for what is kept, now and then, a batch a step, while the clock can be trusted.

It is driven by the ingester's loop: between two batches that writes and answers, and others get at
the database.

A clock that is set wrong makes everything look old, and what was removed does not come back. So the
progress of the clock is compared with a clock that nobody sets, and its time with the newest
exchange that was there before.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

from response_store.config import Config
from response_store.diagnostics import Counters, ErrorReporter
from response_store.errors import StoreError, TransientStoreError
from response_store.model.selection import Selection
from response_store.pruning import batch as measures
from response_store.pruning.batch import PrunedBatch, PruneTarget
from response_store.pruning.prune import Pruner
from response_store.queries.reader import Reader

_DAY = 86_400.0
# Goes on while the machine sleeps: CLOCK_BOOTTIME on Linux, CLOCK_MONOTONIC on macOS.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def read_elapsed_seconds() -> float:
    """Return the seconds since some moment, with those that the machine has slept."""
    return time.clock_gettime(_ELAPSED)


class Trust(Enum):
    """How far the clock can be trusted, as the last check found."""

    FULL = auto()
    LATER = auto()  # nothing is wrong, but nothing vouches for it yet
    NONE = auto()  # it has jumped


class _Sample(NamedTuple):
    wall: float
    elapsed: float

    def agrees_with(self, earlier: _Sample) -> bool:
        drift = (self.wall - earlier.wall) - (self.elapsed - earlier.elapsed)
        return abs(drift) <= _DAY


Newest: TypeAlias = Callable[[float | None], float | None]
"""Returns when the newest exchange began, of those before a time where one is given."""


class ClockGuard:
    """Check a clock now and then.

    One that has jumped is trusted again at the second look that finds it back where it should be;
    or once it has run steadily for a day, as that of a machine does that was stopped from outside.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = read_elapsed_seconds,
    ) -> None:
        self._wall = wall
        self._elapsed = elapsed
        self._start = self._previous = self._sample()
        self._trusted: _Sample | None = self._start  # what a clock that is right agrees with
        self._steady_since = self._start.elapsed
        self._has_looked = False

    def look(self, newest: Newest) -> Trust:
        """Return how far the clock can be trusted. What `newest` raises is raised."""
        now = self._sample()
        trust = self._compared(now)
        if trust is Trust.FULL and not self._has_looked:
            trust = self._vouched(now, newest)
        self._previous, self._has_looked = now, True
        if trust is Trust.FULL:
            self._trusted = now
        return trust

    def _compared(self, now: _Sample) -> Trust:
        if not now.agrees_with(self._previous):
            self._steady_since = now.elapsed
            return Trust.NONE
        steady = now.elapsed - self._steady_since >= _DAY
        right = self._trusted is None or now.agrees_with(self._trusted)
        return Trust.FULL if right or steady else Trust.NONE

    def _vouched(self, now: _Sample, newest: Newest) -> Trust:
        """Compare a clock that was never looked at with what the database holds."""
        last = newest(None)
        if last is not None and last > now.wall + _DAY:
            self._trusted = None  # who of the two is wrong shows later
            return Trust.NONE
        # What this run has written says nothing: it was this clock that dated it.
        before = newest(self._start.wall)
        old = before is not None and before < now.wall - _DAY
        return Trust.LATER if old else Trust.FULL

    def _sample(self) -> _Sample:
        return _Sample(self._wall(), self._elapsed())


logger = logging.getLogger(__name__)
Steps: TypeAlias = Generator[float, None, None]
OpenDatabase: TypeAlias = Callable[[int], PruneTarget]
"""Opens the database; where another process writes to a file it waits that many milliseconds."""

_BUSY_MS = 20  # that a step waits for another process's write: frames wait behind it
_REST = 4.0  # times what a batch took: others have the database four fifths of the time
_MIN_REST = 0.01  # seconds
# A tenant at a time, which the index answers at once.
_NEWEST = "SELECT max(started_at) FROM {exchanges} WHERE tenant_id = ?"
_NEWEST_BEFORE = f"{_NEWEST} AND started_at < ?"
_CLOCK = (
    "the clock differs by more than a day from the time that has passed, or from the newest"
    " exchange. Check the clock; retention goes on when it is right again, or steady for a day"
)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds until the first check, and between two; `measured_file` where measuring is cheap."""

    first: float = 120.0
    every: float = 3600.0
    measured_file: float = 300.0


class Retention:
    """Removes what is too old or too much. For one thread.

    `clock` is the loop's, which `due` speaks of; `wall` says what is old, and `elapsed` (seconds,
    those of a machine's sleep included) whether to believe it.
    """

    def __init__(
        self,
        config: Config,
        counters: Counters,
        errors: ErrorReporter,
        *,
        open_database: OpenDatabase,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        elapsed: Callable[[], float] = read_elapsed_seconds,
        times: Times | None = None,
    ) -> None:
        self._config = config
        self._counters = counters
        self._errors = errors
        self._open_database = open_database
        self._wall = wall
        self._clock = clock
        self._times = times or Times()
        self._clock_guard = ClockGuard(wall, elapsed)
        self._steps: Steps | None = None  # of the look that is under way
        self._due = clock() + self._times.first if config.retention else math.inf
        self._warned: set[str] = set()

    def due(self) -> float:
        """Return the time, by `clock`, at which `step` has work: infinite without rules."""
        return self._due

    def step(self) -> None:
        """Measure once, or remove one batch; nothing where none is due. Raises nothing.

        A batch takes about 4 ms; the next one is due after four times that.
        """
        if self._clock() < self._due:
            return
        if self._steps is None:
            self._steps = self._look()
        taken = self._next(self._steps)
        if taken is None:
            self._steps = None
            self._due = self._clock() + self._interval()
        else:
            self._due = self._clock() + max(_REST * taken, _MIN_REST)

    def close(self) -> None:
        """End the look that is under way; what it has not removed stays. Idempotent."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _next(self, steps: Steps) -> float | None:
        try:
            return next(steps, None)
        except StoreError as error:
            self._counters.add("retention.failed")
            self._warn_of(error)
        except Exception as error:  # noqa: BLE001 - the next look may succeed
            self._errors.report("retention", error)
        return None

    def _interval(self) -> float:
        measures_file = (
            self._config.database.server is None and self._config.retention.max_bytes is not None
        )
        return min(self._times.every, self._times.measured_file if measures_file else 1e9)

    def _look(self) -> Steps:
        """Apply the rules once; yields after each step the seconds that it took."""
        config = self._config
        with self._open_database(_BUSY_MS) as database:
            if not self._trusts_clock(database.reader):
                return
            yield 0.0
            pruner = Pruner(database, on_batch=self._count)
            if config.retention.max_age_days is not None:
                until = self._wall() - config.retention.max_age_days * _DAY
                yield from pruner.remove_steps(
                    Selection(until=until), measures.list_tenants(database.reader)
                )
            if config.retention.max_bytes is not None:
                yield from pruner.shrink_steps(config.retention.max_bytes)
            if pruner.exchanges:
                yield from pruner.release_space_steps()
        if pruner.exchanges:
            logger.info("response_store: retention removed %d exchanges", pruner.exchanges)

    def _trusts_clock(self, reader: Reader) -> bool:
        trust = self._clock_guard.look(lambda before: _find_newest(reader, before))
        if trust is Trust.NONE:
            self._counters.add("retention.clock")
            self._warn("removes nothing for now", _CLOCK)
        return trust is Trust.FULL

    def _count(self, batch: PrunedBatch) -> None:
        if batch.exchanges:
            self._counters.add("pruned", batch.exchanges)
        if batch.responses:
            self._counters.add("pruned.responses", batch.responses)

    def _warn_of(self, error: StoreError) -> None:
        """Log an error that somebody has to fix, each once."""
        if not isinstance(error, TransientStoreError):
            self._warn("can't remove anything", str(error))

    def _warn(self, what: str, why: str) -> None:
        if why not in self._warned:
            self._warned.add(why)
            logger.warning("response_store: retention %s: %s", what, why)


def _find_newest(reader: Reader, before: float | None) -> float | None:
    """Return when the newest exchange of any tenant began, of those before a time."""
    statement, bound = (_NEWEST, ()) if before is None else (_NEWEST_BEFORE, (before,))
    starts = [
        reader.rows(statement, (name, *bound))[0][0] for name in measures.list_tenants(reader)
    ]
    return max((began for began in starts if began is not None), default=None)
