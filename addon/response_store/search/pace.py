"""When the indexer may work: in moments when nothing is written, and never long at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

QUIET = 0.25  # seconds without a commit, after which the writer counts as idle
LATEST = 2.0  # seconds that a bite waits for that
SHARE = 0.2  # of one core, at most
BITE = 0.002  # seconds of work without a pause: the event loop may wait so long for its lock
_MOST = 1.0
_LOOK = 0.05


class StoppedError(Exception):
    """The work is to end at once; what is left is done later."""


class Pace:
    """The pace of one thread's work. `busy` tells whether the writer has anything to do."""

    def __init__(self, busy: Callable[[], bool], stop: threading.Event) -> None:
        self._busy = busy
        self._stop = stop
        self._written_at = 0.0
        self._since = time.monotonic()

    def written(self) -> None:
        """Note a commit. From any thread."""
        self._written_at = time.monotonic()

    def wait_for_quiet(self) -> None:
        """Wait until the writer is idle; where it never is, `LATEST` seconds."""
        deadline = time.monotonic() + LATEST
        while not self._is_quiet() and time.monotonic() < deadline:
            self.rest(_LOOK)

    def breathe(self) -> None:
        """Pause after every bite, so long that the work is a small share of the time."""
        worked = time.monotonic() - self._since
        if worked >= BITE:
            self.rest(min(_MOST, worked * (1 / SHARE - 1)))

    def rest(self, seconds: float) -> None:
        """Pause. Raises StoppedError at once where the work is to end."""
        if self._stop.wait(seconds):
            raise StoppedError
        self._since = time.monotonic()

    def _is_quiet(self) -> bool:
        return not self._busy() and time.monotonic() - self._written_at >= QUIET
