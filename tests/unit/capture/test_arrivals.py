"""When the bytes of a stream came: each moment once, bounded, the last one always."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from response_store.capture.arrivals import ArrivalLog
from response_store.capture.draft import Arrivals
from response_store.model.event_times import MAX_TIMES


def test_moments_of_chunks_and_pieces() -> None:
    """Chunks that passed at once are noted as if each had been noted by itself."""
    one, other = ArrivalLog(), ArrivalLog()
    one.note(1.0, 3)
    one.note_chunks([2.0, 3.0], 3, [b"1234", b"5"])
    for at, end in ((1.0, 3), (2.0, 7), (3.0, 8)):
        other.note(at, end)
    assert one.take(0.5) == other.take(0.5) == Arrivals(0.5, [1.0, 2.0, 3.0], [3, 7, 8])


def test_what_brings_nothing_is_no_moment() -> None:
    """An encoded chunk of which nothing comes yet is not noted."""
    log = ArrivalLog()
    for at, end in ((1.0, 0), (2.0, 4), (3.0, 4)):
        log.note(at, end)
    assert log.take(0.0) == Arrivals(0.0, [2.0], [4])


def test_each_moment_is_taken_once() -> None:
    """A later part has the moments since the one before; all of them are to be had again."""
    log = ArrivalLog()
    log.note(1.0, 5)
    assert log.take(0.0).ends == [5]
    assert log.take(0.0) == Arrivals(0.0, [], [])
    log.note(2.0, 9)
    assert log.take(0.0) == Arrivals(0.0, [2.0], [9])
    assert log.take(0.0, all_of_it=True) == Arrivals(0.0, [1.0, 2.0], [5, 9])


@given(st.lists(st.integers(1, 3000), max_size=12), st.sets(st.integers(0, 12)))
def test_it_is_bounded(batches: list[int], taken_after: set[int]) -> None:
    """However many chunks come, few moments are held, each a true one, and the last is there."""
    log, came, parts = ArrivalLog(), 0, list[Arrivals]()
    for number, size in enumerate(batches):
        log.note_chunks([float(came + at + 1) for at in range(size)], 2 * came, [b"ab"] * size)
        came += size
        if number in taken_after:
            parts.append(log.take(0.0))
    parts.append(log.take(0.0))
    ends = [end for part in parts for end in part.ends]
    assert ends == sorted(set(ends))
    assert [end / 2 for end in ends] == [at for part in parts for at in part.at]
    everything = log.take(0.0, all_of_it=True)
    assert len(everything.ends) <= 2 * MAX_TIMES
    assert everything.ends[-1:] == ends[-1:] == ([2 * came] if came else [])
    assert everything.is_thinned == (len(everything.ends) < came)
