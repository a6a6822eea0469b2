"""The state of a store, as its writer sees it: readable from any thread, one log line a change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import StrEnum

from response_store.errors import StoreError

logger = logging.getLogger(__name__)


class StorePhase(StrEnum):
    """The phase of a store's life."""

    NEW = "new"
    OPENING = "opening"
    READY = "ready"
    WAITING = "waiting"  # failed; the next attempt comes by itself
    FAILED = "failed"  # failed for a reason that somebody has to fix; attempts go on


class Health:
    """Phase, last error and commits of a store. Written by one thread, read by any.

    `name` is what the log calls the store that is back.
    """

    def __init__(self, clock: Callable[[], float], name: str = "the store") -> None:
        self._clock = clock
        self.name = name
        self.failures = 0  # since the last success
        self.phase = StorePhase.NEW
        self.error: StoreError | None = None
        self.retry_at = 0.0
        self.commits = 0
        self.busy_since: float | None = None

    @property
    def ready(self) -> bool:
        """Return whether the last attempt succeeded."""
        return self.phase is StorePhase.READY

    def retry_in(self) -> float:
        """Return the seconds until the next attempt."""
        return max(0.0, self.retry_at - self._clock())

    # By the writer's thread

    def opening(self) -> None:
        """Note that the first attempt begins."""
        self.phase = StorePhase.OPENING

    def opened(self) -> None:
        """Note that an attempt to open succeeded."""
        self._recovered()

    def busy(self) -> None:
        """Note that a commit begins."""
        self.busy_since = self._clock()

    def idle(self) -> None:
        """Note that nothing is being committed."""
        self.busy_since = None

    def committed(self) -> None:
        """Note that a commit succeeded."""
        self.busy_since = None
        self.commits += 1
        self._recovered()

    def failed(self, error: StoreError, passing: bool, retry_at: float = 0.0) -> None:
        """Note that an attempt failed.

        A permanent error of the first one is the proxy's to show, which gets it as the verdict.
        """
        self.busy_since = None
        self.failures += 1
        self.retry_at = retry_at
        first_opening = self.phase is StorePhase.OPENING
        changed = self.ready or first_opening or str(error) != str(self.error)
        self.error = error
        self.phase = StorePhase.WAITING if passing else StorePhase.FAILED
        if changed and (passing or not first_opening):
            logger.warning("response_store: %s; records wait, attempts go on", error)

    def _recovered(self) -> None:
        failed = self.phase in (StorePhase.WAITING, StorePhase.FAILED)
        self.error = None
        self.failures = 0
        self.phase = StorePhase.READY
        if failed:
            logger.warning("response_store: %s is back, writing goes on", self.name)
