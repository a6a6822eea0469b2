"""Pace the wake-ups of an ingester: at once when little is appended, in batches under load.

A batch costs both processes as much as some ten rows, so under load a batch that has more of them
leaves more of the machine to the traffic.
"""

from __future__ import annotations

WAKE_DELAY = 0.003
"""Seconds in which appends share one wake-up."""
MAX_WAKE_DELAY = 0.1
"""The same under load."""
_LOAD = 200  # appends a second from which on the delay doubles


class WakePace:
    """Decides after which delay wake-ups are sent. Used by the event loop's thread only.

    `adapts`: whether the delay grows under load; not where clients wait for the database.
    """

    def __init__(self, *, adapts: bool) -> None:
        self._adapts = adapts
        self._delay = WAKE_DELAY
        self._wakes_at = 0.0  # what was appended before that is heard of then
        self._appended = 0  # since `_counted_since`
        self._counted_since = 0.0

    def note_append(self, now: float) -> float | None:
        """Return after how many seconds to wake the ingester; None where that is on its way.

        `now` is of the event loop's clock, in seconds.
        """
        self._appended += 1
        if now < self._wakes_at:
            return None
        is_busy = self._appended > _LOAD * (now - self._counted_since)
        grows = is_busy and self._adapts
        self._delay = min(2 * self._delay, MAX_WAKE_DELAY) if grows else WAKE_DELAY
        self._appended, self._counted_since = 0, now
        self._wakes_at = now + self._delay
        return self._delay
