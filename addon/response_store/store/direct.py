"""A database that takes records at once: the writer commits to it, and nothing is in between."""

from __future__ import annotations

from typing import Generic

from response_store.counts import Counts
from response_store.errors import StoreError
from response_store.faults import Faults
from response_store.store.base import Store
from response_store.store.intake import Queue
from response_store.store.storage import (
    Build,
    Ending,
    OnSettled,
    P,
    health_lines,
    longest_pause,
    start_error,
    state_of,
)
from response_store.store.writer import Writer


class Direct(Generic[P]):
    """A Storage that is one store."""

    def __init__(
        self,
        store: Store,
        build: Build[P],
        *,
        counts: Counts,
        faults: Faults,
        on_settled: OnSettled[P],
    ) -> None:
        self._store = store
        self.writer: Writer[P] = Writer(
            store, build, counts=counts, faults=faults, on_settled=on_settled
        )

    @property
    def acknowledges(self) -> bool:
        return self.writer.health.ready

    @property
    def commits(self) -> int:
        return self.writer.health.commits

    @property
    def waiting(self) -> Queue:
        return self.writer.queue

    def describe(self) -> str:
        return self._store.describe()

    def status_lines(self) -> list[str]:
        health, queue = self.writer.health, self.writer.queue
        return [
            f"store: {self._store.describe()}, {state_of(health)}",
            *health_lines(health),
            f"waiting: {queue.records} records, {queue.bytes} bytes",
        ]

    def start(self) -> None:
        self.writer.start()

    def wait_opened(self, seconds: float) -> StoreError | None:
        return start_error(seconds, self.writer.health)

    def unavailable_for(self) -> float | None:
        return longest_pause(self.writer.health)

    def drain(self, seconds: float) -> bool:
        return self.writer.drain(seconds)

    def close(self, seconds: float, patience: float = 0.0) -> Ending:  # noqa: ARG002
        return Ending(self.writer.close(seconds))
