"""A growing pause between attempts: a small value that is fed with the time."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Pauses in seconds: from `first`, doubling up to `cap`, each shortened by a random share."""

    first: float = 0.1
    cap: float = 5.0
    jitter: float = 0.25
    attempts: int = 0
    next_at: float = 0.0

    def failed(self, now: float) -> float:
        """Note a failure at `now`; return the pause until the next attempt."""
        pause = min(self.cap, self.first * 2.0 ** min(self.attempts, 30))
        pause *= 1.0 - self.jitter * random.random()  # noqa: S311 - spreads attempts, guards nothing
        self.attempts += 1
        self.next_at = now + pause
        return pause

    def succeeded(self) -> None:
        """Start again from the first pause."""
        self.attempts = 0
        self.next_at = 0.0
