"""Counters by reason: what was seen, written, skipped and dropped (no silent loss)."""

from __future__ import annotations

from collections import Counter
from threading import Lock


class Counters:
    """Named counters that any thread may add to."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counter: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> None:
        """Count `number` more of `name`."""
        with self._lock:
            self._counter[name] += number

    def get(self, name: str) -> int:
        """Return how many of `name` were counted."""
        with self._lock:
            return self._counter[name]

    def snapshot(self) -> dict[str, int]:
        """Return all counters, by name."""
        with self._lock:
            return dict(sorted(self._counter.items()))
