"""The bound on what is copied, over all exchanges (per exchange there is `max_body_bytes`)."""

from __future__ import annotations


class Budget:
    """Bytes that may be held at once. Used by the event loop's thread only."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def take(self, size: int) -> bool:
        """Take `size` bytes if there is room; return whether there was."""
        if self._held + size > self._total:
            return False
        self._held += size
        return True

    def release(self, size: int) -> None:
        """Return bytes that were taken."""
        self._held -= size
