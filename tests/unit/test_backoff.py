"""Pauses between attempts: a value that is fed with the time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from response_store.backoff import Backoff


def test_pauses_double_up_to_the_cap() -> None:
    """Each failure doubles the pause, until the cap."""
    backoff = Backoff(first=0.1, cap=1.0, jitter=0.0)
    assert [backoff.failed(0.0) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_the_next_attempt_has_a_time() -> None:
    """A failure says when the next attempt may come, on the clock that it was fed with."""
    backoff = Backoff(first=0.5, jitter=0.0)
    assert backoff.next_at == 0.0
    backoff.failed(100.0)
    assert backoff.next_at == 100.5


def test_success_starts_again() -> None:
    """After a success there is no pause, and the next failure begins with the first."""
    backoff = Backoff(first=0.1, jitter=0.0)
    backoff.failed(1.0)
    backoff.failed(2.0)
    backoff.succeeded()
    assert (backoff.attempts, backoff.next_at) == (0, 0.0)
    assert backoff.failed(3.0) == 0.1


@given(failures=st.integers(1, 3000), jitter=st.floats(0, 1))
def test_pauses_stay_within_bounds(failures: int, jitter: float) -> None:
    """However long an outage lasts, a pause is never beyond the cap nor below its share."""
    backoff = Backoff(first=0.1, cap=5.0, jitter=jitter, attempts=failures - 1)
    whole = min(5.0, 0.1 * 2.0 ** min(failures - 1, 30))
    assert whole * (1 - jitter) <= backoff.failed(0.0) <= whole


def test_many_proxies_do_not_try_at_one_moment() -> None:
    """The pauses of several writers differ."""
    assert len({Backoff().failed(0.0) for _ in range(20)}) > 10
