"""A question whose answer holds for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable


class Seldom:
    """Asks at most every so many seconds; in between, the answer is yes."""

    def __init__(self, ask: Callable[[], bool], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._at = 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._at:
            return True
        self._at = now + self._seconds
        return self._ask()
