"""Hold when the events of a stream came, as the column `event_times` does: short, bounded JSON.

`{"ms": [512, 20, [3, 15]]}` says that the first event came 512 ms after the start of its exchange,
the second 20 ms later, and then three at once after 15 ms more. With `"thinned": true` some times
were left out: of several events that stand together only that of the last one is known.

An event here is a frame of the stream, also one that is a comment; a last one may be cut short. So
whatever is replaced within events, each keeps its time. Where the number of events is another one,
the times are of another text, and nobody gets them.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

MAX_TIMES = 2_000
"""Times that are kept of one stream: some 6 KB, where there are so many."""
_MAX_CHARACTERS = 1 << 16  # of a row that may come from anywhere
_MS = range(1 << 53)


class _EventTimes(msgspec.Struct, omit_defaults=True):
    # No bounds here: msgspec 0.23 crashes on those of an integer that may be a tuple instead.
    ms: list[int | tuple[int, int]]
    thinned: bool = False


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_EventTimes).decode


def spread_places(counts: Sequence[int], at_most: int) -> list[int]:
    """Return the places of at most `at_most` rising counts, spread over what is counted.

    The last one is among them.
    """
    total = counts[-1] or 1
    shares = {(count - 1) * at_most // total: place for place, count in enumerate(counts)}
    return list(shares.values())


def thin_moments(at: Sequence[float], ends: Sequence[int]) -> tuple[list[float], list[int]]:
    """Return at most `MAX_TIMES` of the moments at which bytes up to these ends had come."""
    places = spread_places(ends, MAX_TIMES)
    return [at[place] for place in places], [ends[place] for place in places]


def encode_event_times(came: Sequence[tuple[int, int]], *, is_thinned: bool = False) -> str:
    """Return the column for how many events had come by which millisecond since the start.

    Both numbers rise. `is_thinned` says that not all such moments are there.
    """
    if len(came) > MAX_TIMES:
        came = [came[place] for place in spread_places([events for events, _ in came], MAX_TIMES)]
        is_thinned = True
    steps: list[int | tuple[int, int]] = []
    events_before = ms_before = 0
    for events, ms in came:
        more, later = events - events_before, ms - ms_before
        steps.append(later if more == 1 else (more, later))
        events_before, ms_before = events, ms
    return _encode(_EventTimes(steps, is_thinned)).decode()


def decode_event_times(column: str | None, events: int) -> list[int | None] | None:
    """Return the milliseconds from the start to each of so many events, None where not known.

    None where there are no times, or those of another number of events.
    """
    if column is None or len(column) > _MAX_CHARACTERS:
        return None
    try:
        times = _decode(column)
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return None
    steps = [(1, step) if isinstance(step, int) else step for step in times.ms]
    is_sane = all(more > 0 and later in _MS for more, later in steps)
    if not is_sane or sum(more for more, _ in steps) != events:
        return None
    decoded: list[int | None] = []
    at = 0
    for more, later in steps:
        at += later
        decoded += [None if times.thinned else at] * (more - 1)
        decoded.append(at)
    return decoded
