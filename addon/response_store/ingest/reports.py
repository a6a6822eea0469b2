"""Report the ingester's state to the proxy: when it changes, and while a statement hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from response_store.diagnostics import Counters
from response_store.ingest.channel import Report

if TYPE_CHECKING:
    from response_store.ingest.loop import Worker

REPORT_EVERY = 0.05  # seconds at least
BUSY_EVERY = 0.25  # while a statement takes its time


class Reporter:
    """Makes the reports of one worker. For one thread.

    `is_prompt`: somebody waits for each commit, so that it is reported at once.
    """

    def __init__(
        self, worker: Worker, counters: Counters, *, is_prompt: bool, clock: Callable[[], float]
    ) -> None:
        self._worker = worker
        self._counters = counters
        self._is_prompt = is_prompt
        self._clock = clock
        self._last: Report | None = None
        self._counted: dict[str, int] = {}
        self._next_at = 0.0

    def due_at(self) -> float | None:
        """Return when a report is due, by the clock; None where there is nothing new."""
        last, now = self._last, self._state()
        if last is None or (self._is_prompt and last.committed != now.committed):
            return 0.0
        if self._worker.busy_for() is not None:
            return self._next_at + BUSY_EVERY - REPORT_EVERY
        return self._next_at if last != now or self._counted != self._counters.snapshot() else None

    def report(self, *, at_once: bool = False) -> Report | None:
        """Return the report that is due, if one is, or one `at_once`."""
        due = self.due_at()
        now = self._clock()
        if not at_once and (due is None or now < due):
            return None
        self._last = self._state()
        self._next_at = now + REPORT_EVERY
        report = self._state()
        health = self._worker.health
        report.bytes_on_disk = self._worker.measure()  # the proxy counts on from there
        report.retry_in = health.retry_in()
        report.busy_for = self._worker.busy_for()
        report.lag_seconds = self._worker.lag_seconds()
        report.counters = self._new_counts()
        return report

    def _state(self) -> Report:
        """Return what a report is due for when it changes."""
        worker, health = self._worker, self._worker.health
        return Report(
            applied=worker.applied,
            committed=worker.committed,
            phase=health.phase.value,
            error=str(health.error) if health.error is not None else None,
            failures=health.failures,
            bytes_on_disk=worker.bytes_on_disk,
            dead_letters=worker.dead_letters.number,
            dead_letter_bytes=worker.dead_letters.size,
        )

    def _new_counts(self) -> dict[str, int]:
        before, now = self._counted, self._counters.snapshot()
        self._counted = now
        return {name: n - before.get(name, 0) for name, n in now.items() if n != before.get(name)}
