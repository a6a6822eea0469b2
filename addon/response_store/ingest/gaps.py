"""Which frames that are missing in a journal may still come, as its living proxy says."""

from __future__ import annotations

from collections.abc import Collection


class Gaps:
    """Up to `last_seq` only what is `outstanding` may come, beyond it everything but what is void.

    What was passed once does not come any more. `void` may be called by another thread.
    """

    def __init__(self, last_seq: int, outstanding: Collection[int]) -> None:
        self._last_seq = last_seq
        self._outstanding = frozenset(outstanding)
        self._voids: set[int] = set()
        self._passed = 0

    def void(self, seq: int) -> None:
        """Note that no frame of this seq will come."""
        self._voids.add(seq)

    def is_outstanding(self, seq: int) -> bool:
        """Return whether a frame that is not there may still come."""
        if seq <= self._passed or seq in self._voids:
            return False
        return seq > self._last_seq or seq in self._outstanding

    def reach(self, position: int) -> int:
        """Return the last frame up to which nothing can come any more, once `position` is read."""
        while position + 1 in self._voids:
            position += 1
        self._passed = max(self._passed, position)
        if self._voids:
            self._voids.difference_update([seq for seq in tuple(self._voids) if seq < position])
        return position
