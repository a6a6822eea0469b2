"""Remove all that a rule selects, batch by batch, with pauses in which others write.

Whoever has a loop of its own takes the steps itself: each does one batch or one measurement, and
yields the seconds for which the database was busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from response_store.errors import TransientStoreError
from response_store.model.selection import Selection
from response_store.pruning import batch as measures
from response_store.pruning.batch import (
    START,
    PruneCursor,
    PrunedBatch,
    PruneTarget,
    retry_while_busy,
)

_MIN_BATCH_SIZE, _MAX_BATCH_SIZE = 1, 200  # rows in a batch
_FIRST_BATCH_SIZE = 20
_BATCH_SECONDS = 0.004  # that others may wait for one
_EXCESS_SHARE = 0.5  # of what seems too much, at a time: rows are not alike
_MIN_EXCESS_ROWS = 10  # rows

Pause = Callable[[float], bool]
"""Called after each batch with the seconds that it took; False ends it all."""


@dataclass(slots=True)
class Pruner:
    """Removes rows from one database; counts what was removed. `on_batch` gets each batch.

    `remove`, `shrink` and `release_space` take all steps at once, with `pause` between them.
    """

    database: PruneTarget
    pause: Pause = lambda _: True
    on_batch: Callable[[PrunedBatch], None] = lambda _: None
    exchanges: int = 0
    responses: int = 0
    stopped: bool = False
    _rows: int = _FIRST_BATCH_SIZE

    def remove(self, selection: Selection, tenants: Iterable[str]) -> None:
        """Remove what a selection means, of these tenants."""
        self._take(self.remove_steps(selection, tenants))

    def shrink(self, max_bytes: int) -> None:
        """Remove the oldest exchanges, of whichever tenant, until the rest fits."""
        self._take(self.shrink_steps(max_bytes))

    def release_space(self) -> None:
        """Return free space to the disk in small steps, as far as the database can."""
        self._take(self.release_space_steps())

    def remove_steps(self, selection: Selection, tenants: Iterable[str]) -> Iterator[float]:
        """Take the steps of `remove`."""
        for tenant in tenants:
            after: PruneCursor | None = START
            while after is not None:
                after = yield from self._batch(tenant, selection, after)

    def shrink_steps(self, max_bytes: int) -> Iterator[float]:
        """Take the steps of `shrink`."""
        reader, factor = self.database.reader, 1
        while True:
            began, before = time.monotonic(), self.exchanges
            excess = measures.select_excess(reader, max_bytes, _EXCESS_SHARE)
            if excess is None:
                return
            count = max(excess[1], _MIN_EXCESS_ROWS) * factor
            selection = measures.select_oldest(reader, count)
            tenants = measures.list_tenants(reader)
            yield time.monotonic() - began
            yield from self.remove_steps(selection, tenants)
            if self.exchanges > before:
                factor = 1
            elif selection.until is None:
                return  # all that is left is open, or not ours
            else:
                factor *= 2  # the oldest are open: look behind them

    def release_space_steps(self) -> Iterator[float]:
        """Take the steps of `release_space`."""
        more = True
        while more:
            began = time.monotonic()
            try:
                more = self.database.remover.shrink_step()
            except TransientStoreError:
                return  # what is free is used again
            yield time.monotonic() - began
        self.database.remover.checkpoint()

    def _take(self, steps: Iterator[float]) -> None:
        while not self.stopped and (taken := next(steps, None)) is not None:
            self.stopped = not self.pause(taken)

    def _batch(
        self, tenant: str, selection: Selection, after: PruneCursor
    ) -> Generator[float, None, PruneCursor | None]:
        batch, taken = yield from self._removed(tenant, selection, after)
        self.exchanges += batch.exchanges
        self.responses += batch.responses
        self.on_batch(batch)
        self.database.remover.checkpoint()
        if batch.last is not None:
            self._rows = _choose_batch_size(self._rows, taken)
            yield taken
        return batch.last

    def _removed(
        self, tenant: str, selection: Selection, after: PruneCursor
    ) -> Generator[float, None, tuple[PrunedBatch, float]]:
        """Remove one batch; return it with the seconds that it took."""

        def remove() -> tuple[PrunedBatch, float]:
            began = time.monotonic()
            batch = self.database.remover.remove(tenant, selection, after, self._rows)
            return batch, time.monotonic() - began

        return (yield from retry_while_busy(remove))


def _choose_batch_size(rows: int, taken: float) -> int:
    """Return how many rows fit the time of a batch; at most twice as many as before."""
    fitting = int(rows * _BATCH_SECONDS / max(taken, 1e-6))
    return min(max(fitting, _MIN_BATCH_SIZE), 2 * rows, _MAX_BATCH_SIZE)
