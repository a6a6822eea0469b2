"""Find out when each event of a stream came, from when its bytes did.

Runs in the ingester, and only where the stream is kept. Where bytes have come unseen, or are not
those that came, there are no times: none is better than a wrong one.
"""

from __future__ import annotations

from itertools import accumulate

from response_store.capture.draft import Arrivals
from response_store.limits import VALUES
from response_store.model.event_times import MAX_TIMES, encode_event_times, thin_moments
from response_store.openai_api.sse import BOM, begins_stream, find_frame_ends

_MAX_JOINED = 8 * MAX_TIMES  # moments of one stream: an hour of it may have many


def join_arrivals(earlier: Arrivals | None, later: Arrivals | None, body: bytes) -> Arrivals | None:
    """Return the arrivals of a stream and of its next part `body`; None where some are unknown.

    `earlier` is extended.
    """
    if later is None or earlier is None:
        return None if body else earlier
    earlier.started = later.started
    earlier.at += later.at
    earlier.ends += later.ends
    earlier.is_thinned = earlier.is_thinned or later.is_thinned
    if len(earlier.ends) > _MAX_JOINED:
        earlier.at, earlier.ends = thin_moments(earlier.at, earlier.ends)
        earlier.is_thinned = True
    return earlier


def build_event_times(arrivals: Arrivals | None, body: bytes, stored: bytes) -> str | None:
    """Return the column for a stream that came as `body` and is kept as `stored`; None without.

    What is kept may have secrets masked, but must have as many events.
    """
    if arrivals is None or not begins_stream(body.removeprefix(BOM)):
        return None
    ends, moments = arrivals.ends, dict[int, int]()  # places of arrivals: events by then
    place = events = 0
    for events, end in enumerate(find_frame_ends(body), 1):
        while place < len(ends) and ends[place] < end:
            place += 1
        if place == len(ends) or events > VALUES:
            return None
        # Where moments are left out, an event that does not end at one may have come before it.
        if not arrivals.is_thinned or ends[place] == end:
            moments[place] = events
    if stored is not body and events != sum(1 for _ in find_frame_ends(stored)):
        return None
    moments[place] = events
    ms = accumulate((_count_ms(arrivals, place) for place in moments), max)
    return encode_event_times(
        [*zip(moments.values(), ms, strict=True)], is_thinned=arrivals.is_thinned
    )


def _count_ms(arrivals: Arrivals, place: int) -> int:
    return max(0, round((arrivals.at[place] - arrivals.started) * 1000))
