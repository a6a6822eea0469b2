"""When the events of a stream came, of when its bytes did: the last byte of each counts."""

from __future__ import annotations

import random
from itertools import accumulate, pairwise

import pytest

from response_store.capture.draft import Arrivals
from response_store.ingest.event_times import build_event_times, join_arrivals
from response_store.model.event_times import MAX_TIMES, decode_event_times

EVENTS = [b"data: %d\n\n" % number for number in range(4)]


def arrivals(*chunks: bytes, thinned: bool = False, every: int = 1) -> Arrivals:
    """Chunks that came one a second; with `every` some moments are left out, never the last."""
    came = [*enumerate(accumulate(map(len, chunks)), 1)]
    kept = [one for one in came if one[0] % every == 0 or one == came[-1]]
    at, ends = [100.0 + at for at, _ in kept], [end for _, end in kept]
    return Arrivals(100.0, at, ends, thinned or every > 1)


def times(chunks: list[bytes], events: int, *, every: int = 1) -> list[int | None] | None:
    body = b"".join(chunks)
    column = build_event_times(arrivals(*chunks, every=every), body, body)
    return decode_event_times(column, events)


def test_an_event_a_chunk() -> None:
    """Each event has the time of its chunk."""
    assert times(EVENTS, 4) == [1000, 2000, 3000, 4000]


def test_several_events_in_a_chunk() -> None:
    """What came at once has one time."""
    assert times([EVENTS[0], b"".join(EVENTS[1:3]), EVENTS[3]], 4) == [1000, 2000, 2000, 3000]


def test_events_that_are_cut_anywhere() -> None:
    """An event has come with its last byte, its blank line included."""
    body = b"".join(EVENTS)
    assert times([body[:4], body[4:8], body[8:9], body[9:20], body[20:]], 4) == [
        3000, 4000, 5000, 5000,
    ]  # fmt: skip


def test_comments_and_an_end_that_is_missing() -> None:
    """A comment has a time of its own, and so has a last event that was cut off."""
    assert times([b": hello\n\n", b"data: 1\n\n", b"data: 2"], 3) == [1000, 2000, 3000]


def test_a_byte_order_mark() -> None:
    """A mark before the first event belongs to it."""
    assert times([b"\xef\xbb\xbf", *EVENTS], 4) == [2000, 3000, 4000, 5000]


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends(line_end: bytes) -> None:
    """Line ends of any kind end an event."""
    chunks = [event.replace(b"\n", line_end) for event in EVENTS]
    assert times(chunks, 4) == [1000, 2000, 3000, 4000]


def test_where_moments_are_left_out_no_event_gets_that_of_another() -> None:
    """Only an event whose end is a moment has one; the last one always has."""
    assert times(EVENTS, 4, every=3) == [None, None, 3000, 4000]
    halves = [half for event in EVENTS for half in (event[:5], event[5:])]
    assert times(halves, 4, every=3) == [None, None, 6000, 8000]


@pytest.mark.parametrize("every", [1, 7])
def test_any_chunks(every: int) -> None:
    """However a stream is cut, an event's time is the one of the chunk with its last byte."""
    rng = random.Random(5)
    for _ in range(50):
        events = [b"data: %s\n\n" % (b"x" * rng.randrange(1, 30)) for _ in range(40)]
        body = b"".join(events)
        cuts = sorted({0, len(body), *(rng.randrange(len(body)) for _ in range(60))})
        chunks = [body[start:end] for start, end in pairwise(cuts)]
        seconds = {end: at for at, end in enumerate(cuts)}
        found = times(chunks, 40, every=every)
        assert found is not None
        for end, ms in zip(accumulate(map(len, events)), found, strict=True):
            expected = 1000 * min(at for cut, at in seconds.items() if cut >= end)
            assert ms == expected if every == 1 else ms in (None, expected)
        assert found[-1] is not None


def test_a_long_stream_is_bounded() -> None:
    """Parts of an hour's stream are joined to few moments, its beginning and end among them."""
    joined: Arrivals | None = Arrivals(0.0, [], [])
    parts, size = 40, 1000
    for part in range(parts):
        first = part * size
        ends = [10 * (first + at + 1) for at in range(size)]
        body = b"data: 12\n\n" * size
        joined = join_arrivals(joined, Arrivals(0.0, [end / 10 for end in ends], ends), body)
    assert joined is not None
    assert len(joined.ends) <= 9 * MAX_TIMES
    body = b"data: 12\n\n" * size * parts
    found = decode_event_times(build_event_times(joined, body, body), size * parts)
    assert found is not None
    known = [(at, ms) for at, ms in enumerate(found) if ms is not None]
    assert all(ms == 1000 * (at + 1) for at, ms in known)
    assert MAX_TIMES / 2 < len(known) <= MAX_TIMES
    assert known[-1][0] == size * parts - 1


def test_no_times_where_bytes_came_unseen() -> None:
    """A part without moments, as another version's, leaves the whole stream without times."""
    body = b"".join(EVENTS)
    assert build_event_times(arrivals(*EVENTS[:3]), body, body) is None
    nothing = Arrivals(0.0, [], [])
    assert join_arrivals(nothing, None, b"data: 1\n\n") is None
    assert join_arrivals(None, arrivals(*EVENTS), body) is None
    assert join_arrivals(arrivals(*EVENTS), None, b"") == arrivals(*EVENTS)


def test_no_times_where_another_text_is_kept() -> None:
    """What is masked within events has their times; what has other events has none."""
    body = b"".join(EVENTS)
    masked = body.replace(b"2", b"***")
    assert build_event_times(arrivals(*EVENTS), body, masked) is not None
    assert build_event_times(arrivals(*EVENTS), body, body.replace(b"\n\ndata: 2", b"")) is None


@pytest.mark.parametrize("body", [b"", b'{"error": {}}', b"\x1f\x8b\x08"])
def test_no_times_of_what_is_no_stream(body: bytes) -> None:
    """An answer that says that it streams may be anything."""
    assert build_event_times(arrivals(body), body, body) is None
    assert build_event_times(None, body, body) is None
