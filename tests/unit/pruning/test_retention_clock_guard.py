"""When a clock is trusted with what is too old."""

from __future__ import annotations

import math
import time

import pytest

from response_store.pruning.retention import ClockGuard, Trust, read_elapsed_seconds

HOUR, DAY = 3600.0, 86_400.0
FULL, LATER, NONE = Trust.FULL, Trust.LATER, Trust.NONE


class Clocks:
    """Two clocks, and the starts of the exchanges that a database has."""

    def __init__(self, *started_at: float) -> None:
        self.wall = 1_000 * DAY
        self.elapsed = 5.0
        self.started_at = [self.wall + since for since in started_at]
        self.asked = 0
        self.guard = ClockGuard(lambda: self.wall, lambda: self.elapsed)

    def look(self, hours: float = 1.0, *, jump: float = 0.0) -> Trust:
        """Look so many hours later, and where the clock has jumped by some seconds."""
        self.elapsed += hours * HOUR
        self.wall += hours * HOUR + jump
        return self.guard.look(self._newest)

    def _newest(self, before: float | None) -> float | None:
        self.asked += 1
        known = [s for s in self.started_at if s < (math.inf if before is None else before)]
        return max(known, default=None)


def test_a_clock_that_goes_as_it_should() -> None:
    """It is trusted at once, and the database is asked at the first look alone."""
    clocks = Clocks(-2 * HOUR)
    assert [clocks.look() for _ in range(5)] == [FULL] * 5
    assert clocks.asked == 2


def test_an_empty_database_says_nothing() -> None:
    """Nor does what this run has written itself."""
    assert Clocks().look() is FULL
    assert Clocks(60.0).look() is FULL


def test_a_database_that_was_not_written_for_months() -> None:
    """The clock may be right: it is trusted when it has gone as it should for an interval."""
    clocks = Clocks(-100 * DAY, 60.0)
    assert [clocks.look() for _ in range(3)] == [LATER, FULL, FULL]


def test_a_database_from_the_future() -> None:
    """One of the two is wrong; a clock that is too early removes nothing that it should not."""
    clocks = Clocks(-HOUR, 2 * DAY)
    assert [clocks.look() for _ in range(3)] == [NONE, FULL, FULL]


def test_a_clock_that_starts_too_early_and_is_set() -> None:
    """As without a battery: the database knows better, so what it is set to is believed."""
    clocks = Clocks(900 * DAY)
    assert clocks.look() is NONE
    assert clocks.look(jump=900 * DAY) is NONE
    assert clocks.look() is FULL


@pytest.mark.parametrize("jump", [DAY + 60, -DAY - 60, 10_000 * DAY])
def test_a_clock_that_jumps_and_comes_back(jump: float) -> None:
    """It is distrusted as long as it is away, and until it was right for an interval."""
    clocks = Clocks(-HOUR)
    assert clocks.look() is FULL
    assert [clocks.look(jump=jump), *(clocks.look() for _ in range(10))] == [NONE] * 11
    assert clocks.look(jump=-jump) is NONE
    assert [clocks.look(), clocks.look()] == [FULL, FULL]


def test_a_clock_that_jumps_before_the_first_look() -> None:
    """The time of the start counts too."""
    clocks = Clocks(-HOUR)
    assert clocks.look(jump=2 * DAY) is NONE
    assert clocks.look() is NONE
    assert clocks.look(jump=-2 * DAY) is NONE
    assert clocks.look() is FULL


def test_a_clock_that_stays_where_it_has_jumped_to() -> None:
    """After a day it is believed: a machine that was stopped from outside has lost the time."""
    clocks = Clocks(-HOUR)
    assert clocks.look() is FULL
    looks = [clocks.look(jump=30 * DAY), *(clocks.look() for _ in range(24))]
    assert looks == [NONE] * 24 + [FULL]
    assert clocks.look() is FULL


def test_small_jumps_are_no_matter() -> None:
    """A change of a few hours, or a slow clock that is set now and then."""
    clocks = Clocks(-HOUR)
    jumps = [3 * HOUR, -5 * HOUR, 20 * HOUR, 20 * HOUR, 20 * HOUR]
    assert [clocks.look(jump=jump) for jump in jumps] == [FULL] * 5


def test_a_machine_that_sleeps() -> None:
    """Both clocks go on meanwhile: a week asleep is no jump."""
    clocks = Clocks(-HOUR)
    assert clocks.look() is FULL
    assert clocks.look(hours=7 * 24) is FULL


def test_the_clock_that_nobody_sets() -> None:
    """It counts seconds, and knows those that the machine has slept."""
    began, monotonic = read_elapsed_seconds(), time.monotonic()
    assert began >= monotonic - 1.0
    assert 0.0 <= read_elapsed_seconds() - began < 5.0
