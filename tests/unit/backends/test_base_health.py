"""The state of a store: phases, and one log line a change."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from response_store.backends.base import Health, StorePhase
from response_store.errors import PermanentStoreError, TransientStoreError

LOCKED, CORRUPT = TransientStoreError("locked"), PermanentStoreError("corrupt")


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock, caplog: pytest.LogCaptureFixture) -> Health:
    caplog.set_level(logging.INFO)
    return Health(clock)


def opened(health: Health) -> Health:
    health.opening()
    health.opened()
    return health


def test_a_life_without_failure_logs_nothing(health: Health, caplog: Any) -> None:
    """From new over opening to ready; commits are counted."""
    assert health.phase is StorePhase.NEW
    assert not health.ready
    opened(health)
    health.busy()
    health.committed()
    assert (health.phase, health.commits, health.busy_since) == (StorePhase.READY, 1, None)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("error", "phase"), [(LOCKED, StorePhase.WAITING), (CORRUPT, StorePhase.FAILED)]
)
def test_an_outage_is_two_lines(health: Health, caplog: Any, error: Any, phase: StorePhase) -> None:
    """However many attempts fail alike, an outage is one line, and its end another."""
    opened(health)
    for _ in range(5):
        health.busy()
        health.failed(error, phase is StorePhase.WAITING)
        assert (health.phase, health.error, health.busy_since) == (phase, error, None)
    health.committed()
    health.committed()
    assert [line.split()[1] for line in caplog.messages] == [f"{error};", "the"]
    assert health.ready
    assert health.error is None


def test_another_reason_is_another_line(health: Health, caplog: Any) -> None:
    """A failure that changes is told."""
    opened(health)
    health.failed(LOCKED, True)
    health.failed(CORRUPT, False)
    health.failed(CORRUPT, False)
    assert len(caplog.messages) == 2


def test_a_first_opening_that_can_not_work_is_left_to_its_caller(
    health: Health, caplog: Any
) -> None:
    """Whoever starts a session shows the permanent error itself; a passing one is logged here."""
    health.opening()
    health.failed(CORRUPT, False)
    assert caplog.messages == []


def test_failures_are_counted_until_the_next_success(health: Health) -> None:
    """How often it failed in a row is there to be shown."""
    opened(health)
    health.failed(LOCKED, True)
    health.failed(LOCKED, True)
    assert health.failures == 2
    health.committed()
    assert health.failures == 0


def test_a_late_opening_is_told(health: Health, caplog: Any) -> None:
    """A store that was locked at first and opens later is said to be back."""
    health.opening()
    health.failed(LOCKED, True)
    health.opened()
    assert health.ready
    assert len(caplog.messages) == 2


def test_the_one_that_is_back_has_a_name(clock: Clock, caplog: Any) -> None:
    """Where there are two stores, the log says which is back."""
    health = opened(Health(clock, "the database"))
    health.failed(LOCKED, True)
    health.opened()
    assert caplog.messages[-1] == "response_store: the database is back, writing goes on"


def test_the_next_attempt_is_told_in_seconds(health: Health, clock: Clock) -> None:
    """`retry_in` counts down, and never below nothing."""
    health.failed(LOCKED, True, retry_at=clock.now + 3)
    assert health.retry_in() == 3
    clock.now += 10
    assert health.retry_in() == 0
