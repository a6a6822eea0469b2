"""A guard against a wrong wall clock, before rows are removed by age.

A clock that is set wrong makes everything look old, and what was removed does not come back. So the
progress of the clock is compared with a clock that nobody sets, and its time with the newest
exchange that was there before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

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
