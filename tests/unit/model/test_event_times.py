"""The column `event_times`: what stands in it is read back, bounded, and fits or is not shown."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from response_store.model.event_times import (
    MAX_TIMES,
    decode_event_times,
    encode_event_times,
    spread_places,
)
from tests.harness.each import each

steps = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 10**7)), min_size=1, max_size=50)


def moments(given_steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """How many events had come, by which millisecond."""
    events = accumulate(more for more, _ in given_steps)
    return list(zip(events, accumulate(later for _, later in given_steps), strict=True))


def test_how_it_is_written() -> None:
    """One number an event, a pair for several that came at once."""
    column = encode_event_times([(1, 512), (2, 532), (5, 547)])
    assert column == '{"ms":[512,20,[3,15]]}'
    assert decode_event_times(column, 5) == [512, 532, 547, 547, 547]


@given(steps)
def test_there_and_back(taken: list[tuple[int, int]]) -> None:
    """Every event gets the time by which it had come."""
    came = moments(taken)
    expected = [ms for (more, _), (_, ms) in zip(taken, came, strict=True) for _ in range(more)]
    assert decode_event_times(encode_event_times(came), came[-1][0]) == expected


@given(steps)
def test_of_thinned_times_the_last_of_several_is_known(taken: list[tuple[int, int]]) -> None:
    """Where moments are missing, no event gets the time of another one."""
    came = moments(taken)
    times = decode_event_times(encode_event_times(came, is_thinned=True), came[-1][0])
    assert times is not None
    assert [(at + 1, ms) for at, ms in enumerate(times) if ms is not None] == came


@pytest.mark.parametrize("events", [MAX_TIMES, MAX_TIMES + 1, 25_000])
def test_it_is_bounded(events: int) -> None:
    """Of a long stream two thousand times are kept, right ones, from its beginning to its end."""
    column = encode_event_times([(at + 1, 7 * at) for at in range(events)])
    assert len(json.loads(column)["ms"]) == MAX_TIMES
    times = decode_event_times(column, events)
    assert times is not None
    assert all(ms in (None, 7 * at) for at, ms in enumerate(times))
    known = [at for at, ms in enumerate(times) if ms is not None]
    assert known[-1] == events - 1
    gaps = [after - before for before, after in pairwise(known)]
    assert max([known[0] + 1, *gaps]) <= events // MAX_TIMES + 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=200), st.integers(1, 30))
def test_places_are_spread(steps_between: list[int], most: int) -> None:
    """No more places than asked for, rising, the last one among them."""
    counts = list(accumulate(steps_between))
    places = spread_places(counts, most)
    assert places == sorted(set(places))
    assert len(places) <= most
    assert places[-1] == len(counts) - 1


@each(
    "column",
    [
        None,
        "",
        "[1]",
        '{"ms":[1,2]}',  # another number of events
        '{"ms":[1,-2,3]}',
        '{"ms":[1,[0,5],2,3]}',
        '{"ms":[[-1,5],1,2,3,4]}',
        '{"ms":[1.5,2,3]}',
        '{"ms":[[3,1,1]]}',
        '{"ms":[[999999999999999,1]]}',
        '{"ms":[1,2,99999999999999999999]}',
        '{"ms":["1",2,3]}',
        '{"ms":[1,2,3]' + " " * 70_000 + "}",
        '{"ms":[1,2,"\ud800"]}',
    ],
)
def test_what_does_not_fit_is_not_shown(column: str | None) -> None:
    """A row that somebody else has written gives no times rather than wrong ones."""
    assert decode_event_times(column, 3) is None
