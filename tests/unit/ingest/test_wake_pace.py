"""How soon an ingester hears of what was appended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from response_store.ingest.wake_pace import MAX_WAKE_DELAY, WAKE_DELAY, WakePace


def append(pace: WakePace, start: float, seconds: float, rate: int) -> Iterator[float]:
    """Append at a rate; yield the delays after which wake-ups are sent."""
    for number in range(round(seconds * rate)):
        delay = pace.note_append(start + number / rate)
        if delay is not None:
            yield delay


def test_what_comes_alone_is_heard_of_at_once() -> None:
    """Twenty a second are no load."""
    pace = WakePace(adapts=True)
    assert list(append(pace, 100.0, 2.0, 20)) == [WAKE_DELAY] * 40


def test_load_is_heard_of_in_batches() -> None:
    """The delay doubles up to its bound, and every append is followed by a wake-up in time."""
    pace = WakePace(adapts=True)
    delays = list(append(pace, 100.0, 2.0, 1000))
    assert delays[0] == WAKE_DELAY
    assert delays[1] == 2 * WAKE_DELAY
    assert delays[-1] == MAX_WAKE_DELAY == max(delays)
    assert 20 <= len(delays) <= 30


def test_the_delay_is_short_again_after_the_load() -> None:
    """The first append after a pause is heard of at once."""
    pace = WakePace(adapts=True)
    list(append(pace, 100.0, 2.0, 1000))
    assert pace.note_append(105.0) == WAKE_DELAY


@pytest.mark.parametrize("rate", [20, 1000])
def test_clients_that_wait_for_the_database(rate: int) -> None:
    """They are not kept waiting for a batch."""
    pace = WakePace(adapts=False)
    assert set(append(pace, 100.0, 1.0, rate)) == {WAKE_DELAY}
