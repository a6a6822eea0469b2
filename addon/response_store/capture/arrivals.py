"""Note when the bytes of a streamed answer come, for the times of its events.

It costs the event loop one number a chunk. Which events those bytes are, the ingester finds out,
and only where the stream is kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from response_store.capture.draft import Arrivals
from response_store.model.event_times import MAX_TIMES, thin_moments


class ArrivalLog:
    """When bytes of one stream came. Used by the event loop's thread only.

    Times are seconds of one clock; an end is how many decoded bytes had come by then. It holds at
    most 4,000 moments: from there on half of them, spread over the whole stream.
    """

    __slots__ = ("_at", "_ends", "_is_thinned", "_taken")

    def __init__(self) -> None:
        self._at: list[float] = []
        self._ends: list[int] = []
        self._is_thinned = False
        self._taken = 0  # bytes whose moments were taken

    def note(self, at: float, end: int) -> None:
        """Note that all up to a place has come now."""
        if end > (self._ends[-1] if self._ends else 0):
            self._at.append(at)
            self._ends.append(end)
            self._thin()

    def note_chunks(self, at: Sequence[float], start: int, chunks: Sequence[bytes]) -> None:
        """Note chunks that have come one behind the other from a place on, each at its time."""
        ends = accumulate(map(len, chunks), initial=start)
        next(ends)
        self._at += at
        self._ends += ends
        self._thin()

    def take(self, started: float, *, all_of_it: bool = False) -> Arrivals:
        """Return what was not taken yet, or all of it; the exchange began at `started`."""
        first = 0 if all_of_it else bisect_right(self._ends, self._taken)
        if self._ends:
            self._taken = self._ends[-1]
        return Arrivals(started, self._at[first:], self._ends[first:], self._is_thinned)

    def _thin(self) -> None:
        """Drop every other moment or so once there are too many.

        What was taken by then stays taken: that is told by bytes, not by places.
        """
        if len(self._at) <= 2 * MAX_TIMES:
            return
        self._at, self._ends = thin_moments(self._at, self._ends)
        self._is_thinned = True
