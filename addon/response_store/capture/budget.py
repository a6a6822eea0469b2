"""Bound the bytes that live exchanges hold in memory, all together.

Streams that expect more borrow room for it, and settle where others need that room.
"""

from __future__ import annotations

from collections.abc import Callable


class Budget:
    """Bytes that may be held at once. Used by the event loop's thread only."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._loans: set[Callable[[], None]] = set()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def take(self, size: int) -> bool:
        """Take `size` bytes if there is room; return whether there was."""
        if self._held + size > self._total:
            for settle in tuple(self._loans):
                settle()
        if self._held + size > self._total:
            return False
        self._held += size
        return True

    def release(self, size: int) -> None:
        """Return bytes that were taken."""
        self._held -= size

    def lend(self, size: int, settle: Callable[[], None]) -> bool:
        """Lend bytes that may not be needed, of the first half; return whether there was room.

        `settle` is called where others need them: it repays what is not used.
        """
        if 2 * (self._held + size) > self._total:
            return False
        self._held += size
        self._loans.add(settle)
        return True

    def repay(self, size: int, settle: Callable[[], None]) -> None:
        """End a loan: take back what was not used; the rest stays held."""
        self._held -= size
        self._loans.discard(settle)
